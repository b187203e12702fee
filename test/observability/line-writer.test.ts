import { describe, expect, it } from '@jest/globals';
import { createLineWriter, type FileCalls } from '../../src/observability/line-writer.ts';
import { FakeClock } from '../support/fake-clock.ts';

type Done = (error: NodeJS.ErrnoException | null, writtenBytes: number) => void;

function failure(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: it is so`), { code });
}

/** A file that says what was written to it, in the background and at once, and that can fail. */
function fakeFile() {
  const background: { text: string; done: Done }[] = [];
  const atOnce: string[] = [];
  const failures: NodeJS.ErrnoException[] = [];
  let pausedMs = 0;
  const calls: FileCalls = {
    write: (fd, bytes, done) =>
      void background.push({ text: `${fd}:${Buffer.from(bytes).toString()}`, done }),
    writeSync(fd, bytes) {
      const next = failures.shift();
      if (next !== undefined) throw next;
      atOnce.push(`${fd}:${Buffer.from(bytes).toString()}`);
      return bytes.length;
    },
    pause: (ms) => void (pausedMs += ms),
  };
  return {
    calls,
    background,
    atOnce,
    failures,
    get pausedMs() {
      return pausedMs;
    },
    /** Ends the oldest write: all of it was taken, or so many bytes, or it failed. */
    end(result?: number | NodeJS.ErrnoException) {
      const { text, done } = background.shift()!;
      if (result instanceof Error) done(result, 0);
      else done(null, result ?? Buffer.byteLength(text) - '7:'.length);
    },
  };
}

function setUp(delayMs = 100) {
  const file = fakeFile();
  const clock = new FakeClock();
  const troubles: string[] = [];
  const onTrouble = (problem: string) => void troubles.push(problem);
  const writer = createLineWriter({ calls: file.calls, clock, onTrouble }, { fd: 7, delayMs });
  return { file, clock, troubles, writer };
}

const longLine = `${'x'.repeat(4095)}\n`;

describe('createLineWriter()', () => {
  it('writes lines together, in order, when the first is old enough', () => {
    const { file, clock, writer } = setUp();
    writer.write('a\n');
    clock.advance(60);
    writer.write('ü\n');
    clock.advance(39);
    expect(file.background).toEqual([]);
    clock.advance(1);
    expect(file.background.map(({ text }) => text)).toEqual(['7:a\nü\n']);
    file.end();
    expect(clock.pending).toBe(0);
  });

  it('writes without delay when enough has come together', () => {
    const { file, clock, writer } = setUp();
    writer.write('a\n');
    writer.write(longLine);
    expect(file.background.map(({ text }) => text)).toEqual([`7:a\n${longLine}`]);
    expect(clock.pending).toBe(0);
  });

  it('has one write running at a time; the lines of meanwhile follow', () => {
    const { file, clock, writer } = setUp();
    writer.write(longLine);
    writer.write(longLine);
    writer.write('b\n');
    expect(file.background).toHaveLength(1);
    file.end();
    expect(file.background.map(({ text }) => text)).toEqual([`7:${longLine}b\n`]);
    writer.write('c\n');
    file.end();
    expect(file.background).toEqual([]);
    clock.advance(100);
    expect(file.background.map(({ text }) => text)).toEqual(['7:c\n']);
  });

  it('writes the rest of what was taken in part', () => {
    const { file, clock, writer } = setUp();
    writer.write('abc\n');
    clock.advance(100);
    file.end(1);
    expect(file.background.map(({ text }) => text)).toEqual(['7:bc\n']);
  });

  it('asks a full pipe again soon, without a word', () => {
    const { file, clock, writer, troubles } = setUp();
    writer.write(longLine);
    file.end(failure('EAGAIN'));
    writer.write(longLine);
    expect(file.background).toEqual([]);
    clock.advance(10);
    expect(file.background.map(({ text }) => text)).toEqual([`7:${longLine}`]);
    file.end();
    expect(file.background.map(({ text }) => text)).toEqual([`7:${longLine}`]);
    expect(troubles).toEqual([]);
  });

  it('tries a full disk again every second, says so once, and loses nothing that fits', () => {
    const { file, clock, writer, troubles } = setUp();
    writer.write('a\n');
    clock.advance(100);
    file.end(failure('ENOSPC'));
    writer.write(longLine);
    clock.advance(999);
    expect(file.background).toEqual([]);
    clock.advance(1);
    file.end(failure('ENOSPC'));
    expect(troubles).toEqual(['ENOSPC: it is so; it is tried again every second']);
    clock.advance(1000);
    file.end();
    expect(file.background.map(({ text }) => text)).toEqual([`7:${longLine}`]);
    file.end();
    expect(clock.pending).toBe(0);
    writer.write('b\n');
    clock.advance(100);
    file.end(failure('ENOSPC'));
    expect(troubles).toHaveLength(2);
  });

  it('keeps a bounded number of lines while nobody takes them, and says how many were lost', () => {
    const { file, clock, writer, troubles } = setUp();
    writer.write(longLine);
    const kept = (4 * 1024 ** 2) / longLine.length;
    for (let i = 0; i < kept + 2; i++) writer.write(longLine);
    expect(troubles).toEqual([]);
    file.end();
    expect(troubles).toEqual(['2 lines were lost while it could not be written']);
    expect(file.background[0]!.text).toHaveLength('7:'.length + kept * longLine.length);
    file.end();
    writer.write('a\n');
    clock.advance(100);
    file.end();
    expect(troubles).toHaveLength(1);
  });

  it('stops for good when the reader is gone', () => {
    const { file, clock, writer, troubles } = setUp();
    writer.write('a\n');
    clock.advance(100);
    writer.write('b\n');
    file.end(failure('EPIPE'));
    writer.write(longLine);
    writer.flush();
    expect(file.background).toEqual([]);
    expect(file.atOnce).toEqual([]);
    expect(clock.pending).toBe(0);
    expect(troubles).toEqual(['nobody reads it any more']);
  });

  it('writes each line at once without a delay', () => {
    const { file, clock, writer } = setUp(0);
    writer.write('a\n');
    writer.write('b\n');
    expect(file.atOnce).toEqual(['7:a\n', '7:b\n']);
    file.failures.push(failure('EAGAIN'));
    writer.write('c\n');
    writer.write('d\n');
    expect(file.atOnce).toHaveLength(2);
    clock.advance(10);
    expect(file.background.map(({ text }) => text)).toEqual(['7:c\n']);
    file.end();
    writer.write('e\n');
    expect(file.atOnce.slice(2)).toEqual(['7:d\ne\n']);
  });
});

describe('flush()', () => {
  it('writes what waits, and later lines at once', () => {
    const { file, clock, writer } = setUp();
    writer.write('a\n');
    writer.flush();
    writer.write('b\n');
    expect(file.atOnce).toEqual(['7:a\n', '7:b\n']);
    expect(clock.pending).toBe(0);
  });

  it('leaves to the system what it already has', () => {
    const { file, writer } = setUp();
    writer.write(longLine);
    writer.write('b\n');
    writer.flush();
    file.end(1);
    expect(file.atOnce).toEqual(['7:b\n']);
    expect(file.background).toEqual([]);
  });

  it('waits a second for a full pipe, and no longer', () => {
    const patient = setUp();
    patient.writer.write('a\n');
    patient.file.failures.push(...Array.from({ length: 99 }, () => failure('EAGAIN')));
    patient.writer.flush();
    expect(patient.file.atOnce).toEqual(['7:a\n']);
    const stuck = setUp();
    stuck.writer.write('a\n');
    stuck.file.failures.push(...Array.from({ length: 200 }, () => failure('EAGAIN')));
    stuck.writer.flush();
    expect(stuck.file.pausedMs).toBe(1000);
  });

  it.each(['ENOSPC', 'EPIPE', 'EBADF'])('gives up at %s', (code) => {
    const { file, writer } = setUp();
    writer.write('a\n');
    file.failures.push(failure(code));
    writer.flush();
    expect(file.atOnce).toEqual([]);
    expect(file.failures).toEqual([]);
    expect(file.pausedMs).toBe(0);
  });
});
