/** What is wrong in a text, before it is known as a fault in a file. */
import { ConfigError, type ConfigFault } from '../config-error.ts';
import type { ConfigPath } from '../dialects/dialect.ts';
import { pathText } from '../written.ts';
import type { PlacedText } from './placed-text.ts';

export interface Mistake {
  /** Offset in the text. */
  readonly at: number;
  readonly path: ConfigPath;
  readonly message: string;
}

/** More faults than that help nobody: the rest mostly follows from the first. */
const mostFaults = 50;

/** The mistake as a fault of the file, at the closest place that the file has for it. */
export function toFault({ at, path, message }: Mistake, text: PlacedText, file: string): ConfigFault {
  return {
    file,
    ...text.positionAt(at),
    path: pathText(path),
    message: text.exact ? message : `${message} (${text.lineAt(at)})`,
  };
}

/** The error for all of these faults, in the order of the file. */
export function refusal(file: string, faults: readonly ConfigFault[]): ConfigError {
  const sorted = faults.toSorted((a, b) => a.line - b.line || a.column - b.column);
  const more = sorted.length - mostFaults;
  if (more <= 0) return new ConfigError(file, sorted);
  const last = sorted[mostFaults]!;
  return new ConfigError(file, [
    ...sorted.slice(0, mostFaults),
    { ...last, path: '', message: `and ${more} more faults from here on` },
  ]);
}

/** A fault of a file or folder of which no place is to blame. */
export function faultOfAll(file: string, message: string): ConfigFault {
  return { file, line: 0, column: 0, path: '', message };
}
