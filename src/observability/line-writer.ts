/** Writes log lines to a file descriptor in the background: neither a slow reader nor a full disk holds up a request. */
import { write, writeSync } from 'node:fs';
import type { Clock, Timer } from '../lib/clock.ts';

/** What is asked of the system. */
export interface FileCalls {
  /** Writes in the background and tells how many bytes were taken. */
  write(
    fd: number,
    bytes: Uint8Array,
    done: (error: NodeJS.ErrnoException | null, writtenBytes: number) => void,
  ): void;
  /** Writes now, returns how many bytes were taken, throws an ErrnoException. */
  writeSync(fd: number, bytes: Uint8Array): number;
  /** Does nothing for a while, and lets nobody else do anything. */
  pause(ms: number): void;
}

/** The real ones. */
export const systemCalls: FileCalls = {
  write,
  writeSync,
  pause: (ms) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms),
};

export interface LineWriterDeps {
  readonly calls: FileCalls;
  readonly clock: Clock;
  /** Told why lines cannot be written: once when that begins, and how many were lost when it ends. */
  readonly onTrouble: (problem: string) => void;
}

export interface LineWriterOptions {
  /** Open for writing. It is never closed. */
  readonly fd: number;
  /** How long a line may wait for others, in milliseconds; 0 writes each line before `write` returns. */
  readonly delayMs: number;
}

export interface LineWriter {
  /** Takes a line with its line feed. Never throws, and waits for nothing unless `delayMs` is 0. */
  write(line: string): void;
  /** For the end of the process: writes what is left, gives up where that fails. Later lines are written at once. */
  flush(): void;
}

/** Lines that have come together are not left waiting: a page, which also is what a pipe takes in one piece. */
const batchChars = 4096;
/** What waits while nobody takes it. Further lines are lost. */
const maxWaitingChars = 4 * 1024 ** 2;
/** A full pipe empties soon; a full disk does not. */
const fullPipeRetryMs = 10;
const troubleRetryMs = 1000;
/** How often `flush` asks a full pipe again: a second in all. */
const flushTries = 100;

const nothing = new Uint8Array(0);

/**
 * Creates a writer. Lines keep their order and are written once. A reader that is gone ends the writing for good; any
 * other failure is tried again every second.
 */
export function createLineWriter(deps: LineWriterDeps, { fd, delayMs }: LineWriterOptions): LineWriter {
  const { calls, clock, onTrouble } = deps;
  let lines: string[] = [];
  let waitingChars = 0;
  /** What goes to the system next, or is with it already. */
  let inHand: Uint8Array = nothing;
  let atOnce = delayMs === 0;
  let busy = false;
  let timer: Timer | undefined;
  let retrying = false;
  let troubled = false;
  let closed = false;
  let lost = 0;

  function take(): boolean {
    if (inHand.length === 0 && lines.length > 0) {
      inHand = Buffer.from(lines.join(''));
      lines = [];
      waitingChars = 0;
    }
    return inHand.length > 0;
  }

  function send(): void {
    timer?.cancel();
    timer = undefined;
    retrying = false;
    if (busy || !take()) return;
    const handed = inHand;
    busy = true;
    calls.write(fd, handed, (error, writtenBytes) => {
      // The process is ending: flush has taken over.
      if (handed !== inHand) return;
      busy = false;
      if (error !== null) {
        failed(error);
        return;
      }
      inHand = handed.subarray(writtenBytes);
      recovered();
      if (inHand.length > 0 || waitingChars >= batchChars) send();
      else if (lines.length > 0) wait(delayMs);
    });
  }

  function sendNow(): NodeJS.ErrnoException | undefined {
    try {
      while (take()) inHand = inHand.subarray(calls.writeSync(fd, inHand));
      recovered();
      return undefined;
    } catch (error) {
      return error as NodeJS.ErrnoException;
    }
  }

  function wait(ms: number): void {
    timer ??= clock.after(ms, send);
  }

  function failed(error: NodeJS.ErrnoException): void {
    if (error.code === 'EPIPE') {
      closed = true;
      lines = [];
      inHand = nothing;
      onTrouble('nobody reads it any more');
      return;
    }
    retrying = true;
    const isFull = error.code === 'EAGAIN';
    if (!isFull && !troubled) {
      troubled = true;
      onTrouble(`${error.message}; it is tried again every second`);
    }
    wait(isFull ? fullPipeRetryMs : troubleRetryMs);
  }

  function recovered(): void {
    troubled = false;
    if (lost === 0) return;
    onTrouble(`${lost} ${lost === 1 ? 'line was' : 'lines were'} lost while it could not be written`);
    lost = 0;
  }

  return {
    write(line) {
      if (closed) return;
      if (waitingChars + line.length > maxWaitingChars) {
        lost++;
        return;
      }
      lines.push(line);
      waitingChars += line.length;
      if (busy || retrying) return;
      if (atOnce) {
        const error = sendNow();
        if (error !== undefined) failed(error);
      } else if (waitingChars >= batchChars) send();
      else wait(delayMs);
    },
    flush() {
      timer?.cancel();
      atOnce = true;
      // The system finishes what it was given before the process ends.
      if (busy) inHand = nothing;
      busy = false;
      retrying = false;
      for (let tries = 0; !closed && tries < flushTries; tries++) {
        if (sendNow()?.code !== 'EAGAIN') return;
        calls.pause(fullPipeRetryMs);
      }
    },
  };
}
