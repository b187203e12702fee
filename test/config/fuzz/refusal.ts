/** What is wrong with how a configuration is refused. */
import { ConfigError, type ConfigFault } from '../../../src/config/config-error.ts';

/** Faults of a whole file, which have no place in it. */
const ofAll = /which does not configure Sluice|is larger than 1 MiB/;

/** Sentences; none where the error is of use to whoever wrote the text. */
export function mistakesIn(error: unknown, text: string, file: string): string[] {
  if (!(error instanceof ConfigError))
    return [`threw ${error instanceof Error ? error.stack! : String(error)}`];
  const { faults, message } = error;
  const lines = message.split('\n');
  return [
    ...(faults.length === 0 ? ['refused without a fault'] : []),
    ...(lines.length === faults.length + 1 ? [] : [`${faults.length} faults in ${lines.length} lines`]),
    ...lines.filter((line) => /\p{Cc}/u.test(line)).map((line) => `no line: ${JSON.stringify(line)}`),
    ...faults.flatMap((fault) =>
      mistakesOf(fault, text, file).map((mistake) => `${mistake}: ${shown(fault)}`),
    ),
    ...faults
      .filter(({ line, column }, i) => i > 0 && isBefore({ line, column }, faults[i - 1]!))
      .map((fault) => `out of order: ${shown(fault)}`),
  ];
}

function mistakesOf(fault: ConfigFault, text: string, file: string): string[] {
  const mistakes: string[] = [];
  if (fault.file !== file) mistakes.push('in another file');
  if (fault.line === 0 ? !isOfAll(fault) : !isInside(fault, text)) mistakes.push('is nowhere');
  if (fault.message.trim() === '') mistakes.push('says nothing');
  if (/\bundefined\b|\[object |\bat .*:\d+:\d+\)/.test(`${fault.path}: ${fault.message}`))
    mistakes.push('is not for people');
  if (/\b(NaN|Infinity)\b/.test(fault.message) && !/NaN|Infinity/.test(text))
    mistakes.push('shows a number as JavaScript does');
  return mistakes;
}

function isOfAll({ column, path, message }: ConfigFault): boolean {
  return column === 0 && path === '' && ofAll.test(message);
}

function isInside({ line, column }: ConfigFault, text: string): boolean {
  const lines = text.split('\n');
  return line >= 1 && line <= lines.length && column >= 1 && column <= lines[line - 1]!.length + 1;
}

type Place = Pick<ConfigFault, 'line' | 'column'>;

function isBefore(a: Place, b: Place): boolean {
  return a.line < b.line || (a.line === b.line && a.column < b.column);
}

function shown(fault: ConfigFault): string {
  return JSON.stringify(fault);
}
