import { describe, expect, it } from '@jest/globals';
import { createLogger, type LogFormat, type Logger, type LogLevel } from '../../src/observability/log.ts';

function capture(
  format: LogFormat,
  options: { level?: LogLevel; isTTY?: boolean } = {},
): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line), isTTY: options.isTTY ?? false };
  return { log: createLogger({ level: options.level ?? 'info', format, destination }), lines };
}

/** The lines without colours. */
function plain(lines: readonly string[]): string {
  return lines.join('').replaceAll(new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, 'g'), '');
}

describe('createLogger()', () => {
  it('writes one JSON object per line, with words for levels and ISO times', () => {
    const { log, lines } = capture('json');
    log.info({ port: 8001 }, 'Listening');
    expect(lines).toHaveLength(1);
    const record: unknown = JSON.parse(lines[0] ?? '');
    expect(record).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      port: 8001,
      msg: 'Listening',
    });
  });

  it('writes readable single lines for people', () => {
    const { log, lines } = capture('pretty');
    log
      .child({ part: 'envoy' })
      .warn({ url: 'http://x:1', note: 'two words', list: ['a', 'b\nc'] }, 'Got\nstuck');
    expect(plain(lines)).toMatch(
      /^\[\d\d:\d\d:\d\d\.\d{3}\] WARN: Got stuck part=envoy url=http:\/\/x:1 note="two words" list=\["a","b\\nc"\]\n$/,
    );
  });

  it('shows the stack and the cause of an error', () => {
    const { log, lines } = capture('pretty');
    log.error({ err: new Error('outer', { cause: new Error('inner') }), id: 7 }, 'Failed');
    expect(plain(lines)).toMatch(/ERROR: Failed id=7\n {4}Error: outer[\s\S]+caused by: Error: inner/);
  });

  it('chooses pretty at a terminal and JSON elsewhere', () => {
    const terminal = capture('auto', { isTTY: true });
    terminal.log.info('hello');
    expect(plain(terminal.lines)).toMatch(/INFO: hello\n$/);
    const pipe = capture('auto');
    pipe.log.info('hello');
    expect(JSON.parse(pipe.lines[0] ?? '')).toMatchObject({ msg: 'hello' });
  });

  it('obeys the level', () => {
    const { log, lines } = capture('json', { level: 'error' });
    log.warn('quiet');
    log.error('loud');
    expect(lines).toHaveLength(1);
  });

  it.each(['json', 'pretty'] as const)(
    'keeps secrets out of %s lines that carry headers by mistake',
    (format) => {
      const { log, lines } = capture(format);
      const headers = {
        authorization: 'Bearer sesame',
        'x-api-key': 'sesame',
        cookie: 'id=sesame',
        accept: '*/*',
      };
      log.warn({ headers, request: { headers }, authorization: 'sesame' }, 'Oops');
      expect(plain(lines)).not.toContain('sesame');
      expect(plain(lines)).toContain('*/*');
    },
  );
});
