/** How often something happened lately, for each of many small whole numbers, in memory that does not grow with the rate. */

/** Each window is counted in this many steps of equal length. */
const steps = 60;
/** The step under way and all that may still be in the window with it. */
const columns = steps + 1;

/** Counts over a sliding window. It slides step by step: an event is counted for `windowMs` to `windowMs * 61 / 60`. */
export class RecentCounts {
  readonly #stepMs: number;
  /** How often i happened in step s: counts[i * columns + s % columns]. */
  #counts = new Uint32Array(columns * 16);
  #totals = new Uint32Array(16);
  #step = 0;

  constructor(windowMs: number) {
    this.#stepMs = windowMs / steps;
  }

  /** Counts one event. Times must not go back. */
  add(index: number, nowMs: number): void {
    this.#slideTo(nowMs);
    this.#makeRoomFor(index);
    this.#counts[index * columns + (this.#step % columns)]!++;
    this.#totals[index]!++;
  }

  /** How often it happened within the window. */
  count(index: number, nowMs: number): number {
    this.#slideTo(nowMs);
    return this.#totals[index] ?? 0;
  }

  /** Counts it from 0 again. */
  forget(index: number): void {
    this.#counts.fill(0, index * columns, (index + 1) * columns);
    this.#totals.fill(0, index, index + 1);
  }

  #slideTo(nowMs: number): void {
    const step = Math.floor(nowMs / this.#stepMs);
    // After a whole window without events all columns are due, but none of them twice.
    const first = Math.max(this.#step + 1, step - steps);
    for (let due = first; due <= step; due++) {
      for (let index = 0; index < this.#totals.length; index++) {
        const at = index * columns + (due % columns);
        this.#totals[index]! -= this.#counts[at]!;
        this.#counts[at] = 0;
      }
    }
    this.#step = Math.max(this.#step, step);
  }

  #makeRoomFor(index: number): void {
    if (index < this.#totals.length) return;
    const room = Math.max(index + 1, this.#totals.length * 2);
    const totals = new Uint32Array(room);
    totals.set(this.#totals);
    this.#totals = totals;
    const counts = new Uint32Array(room * columns);
    counts.set(this.#counts);
    this.#counts = counts;
  }
}
