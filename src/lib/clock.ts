/** Time as an argument: everything that waits or measures takes a Clock, so that tests own time. */

export interface Timer {
  /** Stops the timer; harmless when it already fired. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds with a fraction; the origin is arbitrary. */
  nowMs(): number;
  /** Wall-clock milliseconds since the Unix epoch: for logs, `created` fields, and what several processes have to agree on. */
  epochMs(): number;
  /** Calls `callback` once after `delayMs`. Never keeps the process alive. */
  after(delayMs: number, callback: () => void): Timer;
}

/** The real clock. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  epochMs: () => Date.now(),
  after(delayMs, callback) {
    // A longer delay than Node's timers hold would fire at once.
    const handle = setTimeout(callback, Math.min(delayMs, 2 ** 31 - 1)).unref();
    return { cancel: () => clearTimeout(handle) };
  },
};
