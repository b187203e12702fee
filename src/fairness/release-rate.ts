/** At most so many turns a second, evenly spaced. */

/** How far the rate may catch up after its timer was late: timers are, but a stall must not end in a burst. */
const mostLateMs = 20;

export interface ReleaseRate {
  /** @param maxPerSecond 0 is no limit. */
  update(maxPerSecond: number, nowMs: number): void;
  /** Looks at the time. Idle time before it is not saved up. */
  begin(nowMs: number): void;
  /** Whether one may go at the time of `begin`. */
  readonly ready: boolean;
  /** One went. */
  took(): void;
  /** Says whether somebody has to wait for nothing but the rate. */
  keeps(somebody: boolean): void;
  /** When the next may go. */
  readonly nextMs: number;
}

export function createReleaseRate(): ReleaseRate {
  let intervalMs = 0;
  let nextMs = -Infinity;
  let timeMs = -Infinity;
  let keeping = false;
  return {
    update(maxPerSecond, nowMs) {
      intervalMs = maxPerSecond > 0 ? 1000 / maxPerSecond : 0;
      nextMs = Math.min(nextMs, nowMs + intervalMs);
    },
    begin(nowMs) {
      timeMs = nowMs;
      nextMs = Math.max(nextMs, keeping ? nowMs - mostLateMs : nowMs);
    },
    get ready() {
      return nextMs <= timeMs;
    },
    took() {
      nextMs += intervalMs;
    },
    keeps(somebody) {
      keeping = somebody;
    },
    get nextMs() {
      return nextMs;
    },
  };
}
