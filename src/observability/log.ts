/** The log: JSON lines for machines, single readable lines for people at a terminal. */
import { Writable } from 'node:stream';
import { destination, pino, type DestinationStream, type Logger } from 'pino';
import pretty from 'pino-pretty';
import { secretLogPaths } from './redact.ts';

export type { Logger } from 'pino';

/** From the most to the fewest lines. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** `auto`: pretty at a terminal, JSON elsewhere. */
export type LogFormat = 'auto' | 'json' | 'pretty';

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Where to write; standard output where it is absent. */
  readonly destination?: DestinationStream & { readonly isTTY?: boolean };
}

/**
 * Creates the root logger. Lines of known secrets are removed, but a record should not hold any: see redactHeader.
 * JSON to standard output is written in the background, several lines at a time, at most a tenth of a second late, and
 * flushed at exit; pretty lines are written at once.
 */
export function createLogger({ level, format, destination: target }: LoggerOptions): Logger {
  const isTty = target === undefined ? process.stdout.isTTY : target.isTTY === true;
  const isPretty = format === 'pretty' || (format === 'auto' && isTty);
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: [...secretLogPaths], censor: '****' },
  };
  return pino(
    options,
    isPretty
      ? prettyStream(target, isTty)
      : (target ?? destination({ fd: 1, sync: false, minLength: 4096, periodicFlush: 100 })),
  );
}

function prettyStream(target: DestinationStream | undefined, colorize: boolean): DestinationStream {
  return pretty({
    colorize,
    sync: true,
    ignore: 'pid,hostname',
    hideObject: true,
    translateTime: 'SYS:HH:MM:ss.l',
    messageFormat: readableLine,
    ...(target === undefined ? {} : { destination: lineWriter(target) }),
  });
}

/** pino-pretty wants a stream: whatever can take a line will do. */
function lineWriter(target: DestinationStream): Writable {
  return new Writable({
    decodeStrings: false,
    write(line: string, _encoding, done) {
      target.write(line);
      done();
    },
  });
}

const ownKeys: ReadonlySet<string> = new Set(['level', 'time', 'msg', 'pid', 'hostname', 'err']);

/**
 * `message key=value key=value`, one line whatever the values hold; the stack of an error follows on its own lines. At
 * level info messages are whole sentences for people, and stand alone.
 */
function readableLine(record: Readonly<Record<string, unknown>>): string {
  const message = typeof record['msg'] === 'string' ? [record['msg'].replaceAll('\n', ' ')] : [];
  const pairs = Object.entries(record).flatMap(([key, value]) =>
    record['level'] === 'info' || ownKeys.has(key) || value === undefined
      ? []
      : [`${key}=${readableValue(value)}`],
  );
  return [...message, ...pairs].join(' ') + errorText(record['err']);
}

function readableValue(value: unknown): string {
  if (typeof value === 'string' && /^[^\s"=\p{Cc}]+$/u.test(value)) return value;
  return JSON.stringify(value);
}

function errorText(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '';
  if ('stack' in error && typeof error.stack === 'string')
    return `\n${error.stack.replaceAll(/^/gm, '    ')}`;
  return ` err=${JSON.stringify(error)}`;
}
