/** Envoy's own log: lines to levels, and what a dying Envoy meant to say. */
import type { EnvoyLog } from './log.ts';

/** Arguments that make every entry one line: level, component, and the message with its special characters escaped. */
export const logFormatArguments = ['--log-format', '[%l][%n] %v', '--log-format-escaped'] as const;

export interface EnvoyLine {
  readonly level: keyof EnvoyLog;
  readonly component: string;
  readonly message: string;
}

const levels: Readonly<Record<string, keyof EnvoyLog>> = {
  trace: 'debug',
  debug: 'debug',
  info: 'info',
  warning: 'warn',
  error: 'error',
  critical: 'error',
};

/** Reads one line; one that Envoy's logger did not write (a crash, a wrong argument) is an error. */
export function parseEnvoyLine(line: string): EnvoyLine {
  const [, name = '', component = '', escaped = ''] =
    /^\[(\w+)\]\[(\w+)\] (?:\[source\/\S+\] )?(.*)$/.exec(line) ?? [];
  const level = levels[name];
  if (level === undefined) return { level: 'error', component: 'process', message: line };
  const message = unescape(escaped);
  return { level: wellKnown(message) ? 'debug' : level, component, message };
}

/** Takes C escapes back, except that a message stays one line. */
function unescape(text: string): string {
  return text
    .replace(/\\([ntr'"\\])/g, (_, character: string) => ('ntr'.includes(character) ? ' ' : character))
    .trim();
}

/** Warnings about choices of ours that say nothing to an operator. */
function wellKnown(message: string): boolean {
  return message.includes('marked as work-in-progress');
}

/** The reason for an early end, from its last lines; undefined where they give none. */
export function tellingLine(lines: readonly EnvoyLine[]): string | undefined {
  const errors = lines.filter(({ level }) => level === 'error').map(({ message }) => message);
  for (const message of errors) {
    const bind = /cannot bind '([^']+)': (.+)$/i.exec(message);
    if (bind !== null) return `Cannot listen on ${bind[1]!}: ${bind[2]!.toLowerCase()}`;
  }
  const message =
    errors.find((text) => /error initializing|error adding|Unable to|Proto constraint/i.test(text)) ??
    errors.at(-1);
  return message?.slice(0, 1_000);
}
