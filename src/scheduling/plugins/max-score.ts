/** The greatest total first. */
import { z } from 'zod';
import type { Endpoint } from '../../endpoints/endpoint.ts';
import type { Picker, PickerDefinition } from '../plugin.ts';

/**
 * Ranks by total, greatest first. Among equal totals, who was first in a ranking longest ago comes first, so ties take
 * turns however the requests of several models interleave.
 */
export const maxScorePicker: PickerDefinition<Record<string, never>> = {
  kind: 'picker',
  type: 'max-score',
  description: 'Ranks endpoints by their total score; ties take turns.',
  params: z.strictObject({}),
  create: () => new MaxScore(),
};

class MaxScore implements Picker {
  /** When the endpoint in a slot was last ranked first, counted in rankings. */
  #lastFirst = new Float64Array(16);
  #rankings = 0;
  /** Positions of the best candidates so far, best first. */
  #best = new Int32Array(4);

  rank(candidates: readonly Endpoint[], totals: Float64Array, max: number): Endpoint[] {
    if (this.#best.length < max) this.#best = new Int32Array(max);
    const best = this.#best;
    let ranked = 0;
    for (let i = 0; i < candidates.length; i++) {
      this.#makeRoomFor(candidates[i]!.slot);
      if (ranked === max && !this.#precedes(i, best[ranked - 1]!, candidates, totals)) continue;
      let at = ranked < max ? ranked++ : ranked - 1;
      for (; at > 0 && this.#precedes(i, best[at - 1]!, candidates, totals); at--) best[at] = best[at - 1]!;
      best[at] = i;
    }

    const ranking: Endpoint[] = [];
    for (let i = 0; i < ranked; i++) ranking.push(candidates[best[i]!]!);
    const first = ranking[0];
    if (first !== undefined) this.#lastFirst[first.slot] = ++this.#rankings;
    return ranking;
  }

  #precedes(i: number, j: number, candidates: readonly Endpoint[], totals: Float64Array): boolean {
    const difference = totals[i]! - totals[j]!;
    if (difference !== 0) return difference > 0;
    return this.#lastFirst[candidates[i]!.slot]! < this.#lastFirst[candidates[j]!.slot]!;
  }

  #makeRoomFor(slot: number): void {
    if (slot < this.#lastFirst.length) return;
    const larger = new Float64Array(Math.max(slot + 1, this.#lastFirst.length * 2));
    larger.set(this.#lastFirst);
    this.#lastFirst = larger;
  }
}
