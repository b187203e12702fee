/** What was used of each model since the start, for metrics. */
import { addUsage, noUsage, type UsageCount, type UsageSum } from './slot-counts.ts';

/** What all models beyond the cap are called. */
const otherModels = 'other';

/** Sums by model: each of the first `max` models has its own, later ones share `other`. */
export class ModelTotals {
  readonly #max: number;
  readonly #sums = new Map<string, UsageSum>();

  constructor(max: number) {
    this.#max = max;
  }

  get byModel(): ReadonlyMap<string, UsageCount> {
    return this.#sums;
  }

  add(model: string, count: UsageCount): void {
    const name = this.#sums.has(model) || this.#sums.size < this.#max ? model : otherModels;
    let sum = this.#sums.get(name);
    if (sum === undefined) this.#sums.set(name, (sum = noUsage()));
    addUsage(sum, count);
  }
}
