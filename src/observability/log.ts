/** The log: JSON lines for machines, single readable lines for people at a terminal. */
import { constants, openSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { pino, type DestinationStream, type Logger } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { systemClock } from '../lib/clock.ts';
import { createLineWriter, systemCalls } from './line-writer.ts';
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
  /** `stdout`, `stderr`, or the path of a file, which is appended to. Default: stdout. */
  readonly output?: string;
  /** Takes the lines instead of `output`. */
  readonly destination?: LogStream;
}

type LogStream = DestinationStream & { readonly isTTY?: boolean };

/**
 * Creates the root logger. Lines of known secrets are removed, but a record should not hold any: see redactHeader.
 * At a terminal a line is written at once; elsewhere in the background, several lines at a time, at most a tenth of a
 * second late, and what is left when the process exits. Setting `level` later changes it for children too, unless they
 * were made with a level of their own.
 *
 * @throws Error where the file cannot be opened.
 */
export function createLogger(options: LoggerOptions): Logger {
  const { level, format, output = 'stdout' } = options;
  const stream = options.destination ?? openOutput(output);
  const isPretty = format === 'pretty' || (format === 'auto' && stream.isTTY === true);
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label: string) => ({ level: label }) },
      redact: { paths: [...secretLogPaths], censor: '****' },
    },
    isPretty ? prettyStream(stream) : stream,
  );
}

/** How late a line may be where nobody watches. */
const delayMs = 100;

function openOutput(output: string): LogStream {
  const fd = output === 'stdout' ? 1 : output === 'stderr' ? 2 : openLogFile(output);
  const isTTY = isatty(fd);
  const writer = createLineWriter(
    { calls: systemCalls, clock: systemClock, onTrouble: (problem) => complain(output, problem) },
    { fd, delayMs: isTTY ? 0 : delayMs },
  );
  let used = false;
  return {
    isTTY,
    write(line) {
      if (!used) {
        used = true;
        process.once('exit', () => writer.flush());
      }
      writer.write(line);
    },
  };
}

function openLogFile(path: string): number {
  // O_NONBLOCK: opening a named pipe that nobody reads is an error, and does not wait for a reader.
  const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants;
  try {
    return openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `Cannot open the log "${path}": ${why}; log.output is stdout, stderr, or the path of a file in a folder that exists`,
      { cause },
    );
  }
}

/** The log itself cannot say it. */
function complain(output: string, problem: string): void {
  if (output === 'stderr') return;
  try {
    writeSync(2, `sluice: Cannot write the log to "${output}": ${problem}\n`);
  } catch {
    // Nobody reads that either.
  }
}

function prettyStream(target: LogStream): DestinationStream {
  const colorize = target.isTTY === true;
  const format = prettyFactory({
    colorize,
    ignore: 'pid,hostname',
    hideObject: true,
    translateTime: 'SYS:HH:MM:ss.l',
    messageFormat: readableLine,
  });
  return {
    write(line) {
      target.write((colorize ? undefined : plainLine(line)) ?? format(line));
    },
  };
}

/**
 * What `format` would make of a record of level info without an error, without colours: nearly all lines are that, with
 * one or two of them for each exchange, and this takes a tenth of the time.
 */
function plainLine(line: string): string | undefined {
  if (!line.startsWith('{"level":"info",')) return undefined;
  const record = JSON.parse(line) as Readonly<Record<string, unknown>>;
  const { time, msg, err } = record;
  if (typeof time !== 'string' || typeof msg !== 'string' || err !== undefined) return undefined;
  return `[${clockTime(new Date(time))}] INFO: ${readableMessage(msg)}\n`;
}

/** Local time as `HH:MM:ss.l`. */
function clockTime(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const milliseconds = String(at.getMilliseconds()).padStart(3, '0');
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${milliseconds}`;
}

const ownKeys: ReadonlySet<string> = new Set(['level', 'time', 'msg', 'pid', 'hostname', 'err']);

/**
 * `message key=value key=value`, one line whatever the values hold; the stack of an error follows on its own lines. At
 * level info messages are whole sentences for people, and stand alone.
 */
function readableLine(record: Readonly<Record<string, unknown>>): string {
  const message = typeof record['msg'] === 'string' ? [readableMessage(record['msg'])] : [];
  const pairs = Object.entries(record).flatMap(([key, value]) =>
    record['level'] === 'info' || ownKeys.has(key) || value === undefined
      ? []
      : [`${key}=${readableValue(value)}`],
  );
  return [...message, ...pairs].join(' ') + errorText(record['err']);
}

/** A message that begins with a line feed is a block of ours; in any other, line feeds may be a client's. */
function readableMessage(message: string): string {
  return message.startsWith('\n') ? message : message.replaceAll('\n', ' ');
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
