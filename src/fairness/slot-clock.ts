/** Time in numbered slots of equal length: at the same moment the same number in every replica. */
import type { Clock } from '../lib/clock.ts';

/** A sliding window is counted in this many slots. */
export const slotsPerWindow = 60;

/** Where a window ends. */
export interface WindowPosition {
  /** The slot under way. */
  readonly slot: number;
  readonly slotMs: number;
}

/**
 * Slots are counted from the Unix epoch: replicas that tell each other what they counted in a slot have only the wall
 * clock in common, while the monotonic clock of each began with its process. A wall clock that is set is followed from
 * the next slot on.
 */
export class SlotClock implements WindowPosition {
  readonly slotMs: number;
  readonly #clock: Clock;
  #slot = 0;
  #endsAtMs = -Infinity;

  constructor(clock: Clock, windowSizeMs: number) {
    this.#clock = clock;
    this.slotMs = windowSizeMs / slotsPerWindow;
  }

  get slot(): number {
    return this.slotAt(this.#clock.nowMs());
  }

  /** The number of the slot under way; `nowMs` is the clock's time. */
  slotAt(nowMs: number): number {
    if (nowMs < this.#endsAtMs) return this.#slot;
    const epochMs = this.#clock.epochMs();
    this.#slot = Math.floor(epochMs / this.slotMs);
    this.#endsAtMs = nowMs + (this.#slot + 1) * this.slotMs - epochMs;
    return this.#slot;
  }
}
