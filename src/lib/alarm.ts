/** One timer for many moments: it rings at the earliest of them. */
import type { Clock, Timer } from './clock.ts';

export interface Alarm {
  /** Makes it ring at this moment of the clock, or earlier where it was asked for that before. */
  at(momentMs: number): void;
  /** Forgets all moments. */
  cancel(): void;
}

/**
 * Creates an alarm. When it rings, the later moments are forgotten: `ring` asks for them again. It may ring for a moment
 * that nobody cares about any more, and a fraction of a millisecond early.
 */
export function createAlarm(clock: Clock, ring: () => void): Alarm {
  let timer: Timer | undefined;
  let dueMs = 0;
  return {
    at(momentMs) {
      if (timer !== undefined && dueMs <= momentMs) return;
      timer?.cancel();
      dueMs = momentMs;
      timer = clock.after(momentMs - clock.nowMs(), () => {
        timer = undefined;
        ring();
      });
    },
    cancel() {
      timer?.cancel();
      timer = undefined;
    },
  };
}
