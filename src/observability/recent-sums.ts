/** Sums of several quantities over one sliding window, in memory that does not grow with the rate. */

/** The window is summed in this many steps of equal length. */
const steps = 60;
/** The step under way and all that may still be in the window with it. */
const columns = steps + 1;

/**
 * Sums over a sliding window. It slides step by step: an amount counts for `windowMs` to `windowMs * 61 / 60`. Adding
 * allocates nothing and costs the same whatever the rate; reading adds up 61 numbers. Times must not go back.
 */
export class RecentSums {
  readonly windowMs: number;
  readonly #quantities: number;
  readonly #stepMs: number;
  /** What was added to quantity q in step s: sums[s % columns * quantities + q]. */
  readonly #sums: Float64Array;
  /** The step that each column is about. */
  readonly #stepOf = new Float64Array(columns).fill(-Infinity);

  /** @param quantities how many sums are kept; they are numbered from 0. */
  constructor(quantities: number, windowMs: number) {
    this.windowMs = windowMs;
    this.#quantities = quantities;
    this.#stepMs = windowMs / steps;
    this.#sums = new Float64Array(columns * quantities);
  }

  add(quantity: number, amount: number, nowMs: number): void {
    const step = Math.floor(nowMs / this.#stepMs);
    const column = step % columns;
    const start = column * this.#quantities;
    if (this.#stepOf[column] !== step) {
      this.#stepOf[column] = step;
      this.#sums.fill(0, start, start + this.#quantities);
    }
    this.#sums[start + quantity]! += amount;
  }

  /** What was added within the window. */
  total(quantity: number, nowMs: number): number {
    const oldest = Math.floor(nowMs / this.#stepMs) - steps;
    let total = 0;
    for (let column = 0; column < columns; column++) {
      if (this.#stepOf[column]! >= oldest) total += this.#sums[column * this.#quantities + quantity]!;
    }
    return total;
  }

  /** The same amounts in a window of another length. A longer one fills from what the shorter one still knows. */
  resized(windowMs: number, nowMs: number): RecentSums {
    const resized = new RecentSums(this.#quantities, windowMs);
    const oldest = Math.floor(nowMs / this.#stepMs) - steps;
    const known = [...this.#stepOf.keys()]
      .filter((column) => this.#stepOf[column]! >= oldest)
      .sort((a, b) => this.#stepOf[a]! - this.#stepOf[b]!);
    for (const column of known) {
      const middleMs = Math.min(nowMs, (this.#stepOf[column]! + 0.5) * this.#stepMs);
      for (let quantity = 0; quantity < this.#quantities; quantity++)
        resized.add(quantity, this.#sums[column * this.#quantities + quantity]!, middleMs);
    }
    return resized;
  }
}
