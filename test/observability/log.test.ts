import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, type LogFormat, type Logger, type LogLevel } from '../../src/observability/log.ts';
import { startChild, type Child } from '../support/child.ts';

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

  it('writes a block line by line, and nothing else', () => {
    const { log, lines } = capture('pretty');
    log.info('\nfirst\nsecond');
    log.info('a client wrote this\nINFO: forged');
    const text = lines.join('');
    expect(text).toMatch(/INFO: \n\s*first\n\s*second\n/);
    expect(text).toContain('a client wrote this INFO: forged\n');
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

  it('changes the level for all, children that were made before included', () => {
    const { log, lines } = capture('json', { level: 'silent' });
    const child = log.child({ part: 'a' });
    const grandchild = child.child({ part: 'b' });
    const own = log.child({}, { level: 'error' });
    child.fatal('unheard');
    log.level = 'debug';
    for (const logger of [log, child, grandchild, own]) logger.debug('heard');
    expect(lines).toHaveLength(3);
    log.level = 'warn';
    for (const logger of [log, child, grandchild]) logger.info('unheard');
    expect(lines).toHaveLength(3);
    expect(child.level).toBe('warn');
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

describe('createLogger() in a process of its own', () => {
  let folder: string;
  const children: Child[] = [];
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sluice-log-'));
  });
  afterAll(async () => {
    await Promise.all(children.map((child) => child.end()));
    rmSync(folder, { recursive: true });
  });

  /** Logs `hello 0` and so on, and exits at once, before anything could be written in the background. */
  function script(options: object, { lines = 1, after = 'process.exit(3)' } = {}): string {
    return `import { createLogger } from './src/observability/log.ts';
      const log = createLogger(${JSON.stringify({ level: 'info', format: 'json', ...options })});
      for (let i = 0; i < ${lines}; i++) log.info('hello ' + i);
      ${after};`;
  }

  function run(code: string, shell = '"$@"'): Child {
    const node = [process.execPath, '--input-type=module', '-e', code];
    const child = startChild('/bin/sh', ['-c', shell, 'sh', ...node]);
    children.push(child);
    return child;
  }

  function messages(text: string): string[] {
    return [...text.matchAll(/hello \d+/g)].map(([message]) => message);
  }

  const many = Array.from({ length: 500 }, (_, i) => `hello ${i}`);

  it.each(['json', 'pretty'])(
    'writes all %s lines to standard output before the process exits',
    async (format) => {
      const child = run(script({ format }, { lines: 500 }));
      expect(await child.exited).toEqual({ code: 3, signal: null });
      expect(messages(child.lines.join('\n'))).toEqual(many);
      expect(child.stderr).toBe('');
    },
  );

  it('writes to standard error', async () => {
    const child = run(script({ output: 'stderr' }, { lines: 500 }));
    await child.exited;
    expect(messages(child.stderr)).toEqual(many);
    expect(child.lines).toEqual([]);
  });

  it.each(['json', 'pretty', 'auto'])('appends %s lines to a file, without colours', async (format) => {
    const output = join(folder, `${format}.log`);
    writeFileSync(output, 'before\n');
    const child = run(script({ format, output }, { lines: 500 }));
    await child.exited;
    const text = readFileSync(output, 'utf8');
    expect(text).toMatch(/^before\n/);
    expect(messages(text)).toEqual(many);
    expect(text).not.toContain(String.fromCharCode(27));
    expect(child.lines).toEqual([]);
  });

  it('has written all when an error ends the process', async () => {
    const child = run(script({}, { after: 'throw new Error("boom")' }));
    expect((await child.exited).code).toBe(1);
    expect(messages(child.lines.join())).toEqual(['hello 0']);
  });

  it('ends although nobody reads its log any more', async () => {
    const child = run(script({}), '"$@" | true');
    expect((await child.exited).signal).toBeNull();
  });

  it('goes on where the disk is full, says so, and ends', async () => {
    const complaints = join(folder, 'complaints');
    const after = `const { readFileSync } = await import('node:fs');
      setInterval(() => readFileSync(${JSON.stringify(complaints)}).length > 0 && process.exit(3), 5)`;
    const child = run(script({ output: '/dev/full' }, { after }), `"$@" 2> '${complaints}'`);
    expect(await child.exited).toEqual({ code: 3, signal: null });
    expect(readFileSync(complaints, 'utf8')).toBe(
      'sluice: Cannot write the log to "/dev/full": ENOSPC: no space left on device, write; it is tried again every second\n',
    );
  });

  it.each([
    ['a file in no folder', () => join(folder, 'absent', 'x.log'), /ENOENT/],
    ['a folder', () => folder, /EISDIR/],
    ['a pipe that nobody reads', () => pipe(join(folder, 'pipe')), /ENXIO/],
  ])('does not open %s', (_, output, why) => {
    const path = output();
    const open = (): unknown => createLogger({ level: 'info', format: 'json', output: path });
    expect(open).toThrow(`Cannot open the log "${path}": `);
    expect(open).toThrow(why);
    expect(open).toThrow('log.output is stdout, stderr, or the path of a file in a folder that exists');
  });

  function pipe(path: string): string {
    execFileSync('mkfifo', [path]);
    return path;
  }
});
