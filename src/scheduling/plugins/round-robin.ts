/** Turns: each set of candidates has its own. */
import { z } from 'zod';
import type { Endpoint } from '../../endpoints/endpoint.ts';
import { ringPosition } from '../../lib/hash-ring.ts';
import type { PluginMemory, Scorer, ScorerDefinition } from '../plugin.ts';

/** Sets whose turn is remembered; the one that was used longest ago makes room. */
const maxSets = 1024;

/**
 * score = 1 for the candidate whose turn it is, 0 for the others. Turns go by URL, in the order of its characters, and
 * begin with the first: the order of the candidates does not matter. Every routed request takes one, wherever it went.
 */
export const roundRobinScorer: ScorerDefinition<Record<string, never>> = {
  kind: 'scorer',
  type: 'round-robin',
  description: 'Lets the endpoints that can serve a request take turns.',
  params: z.strictObject({}),
  create: () => new RoundRobin(),
};

/** Sums of hashes are kept below this, where they are exact. */
const hashRange = 2 ** 52;

class RoundRobin implements Scorer {
  /** By the sum of the hashes of its URLs: what a set has had of its current round. */
  readonly #turns = new Map<number, number>();
  #evictions = 0;
  /** The set of the last scoring, whose turn it is to move on when the request is routed. */
  #set = 0;
  #setSize = 1;

  /** Endpoints that were candidates, by slot. One that left stays until its slot is another's. */
  readonly #known: (Endpoint | undefined)[] = [];
  readonly #hashes: number[] = [];
  #slotsByUrl: number[] = [];
  /** Where in the list an endpoint was when it was last a candidate, by slot. */
  readonly #candidateAt: number[] = [];

  score(_request: unknown, candidates: readonly Endpoint[], scores: Float64Array): void {
    this.#takeIn(candidates);
    let before = this.#turns.get(this.#set) ?? 0;
    for (const slot of this.#slotsByUrl) {
      const at = this.#candidateAt[slot]!;
      if (candidates[at]?.slot !== slot || before-- > 0) continue;
      scores[at] = 1;
      return;
    }
  }

  onRouted(): void {
    const turn = this.#turns.get(this.#set) ?? 0;
    // Deleted first, so that the map is ordered by use.
    this.#turns.delete(this.#set);
    if (this.#turns.size === maxSets) {
      this.#turns.delete(this.#turns.keys().next().value!);
      this.#evictions++;
    }
    this.#turns.set(this.#set, (turn + 1) % this.#setSize);
  }

  memory(): PluginMemory {
    return { entries: this.#turns.size, evictions: this.#evictions };
  }

  /** Identifies the set, and notes where in the list each of it is. */
  #takeIn(candidates: readonly Endpoint[]): void {
    let set = 0;
    let isNew = false;
    for (let i = 0; i < candidates.length; i++) {
      const endpoint = candidates[i]!;
      const { slot } = endpoint;
      if (this.#known[slot] !== endpoint) {
        this.#known[slot] = endpoint;
        this.#hashes[slot] = ringPosition(endpoint.url);
        isNew = true;
      }
      this.#candidateAt[slot] = i;
      set += this.#hashes[slot]!;
      if (set >= hashRange) set -= hashRange;
    }
    this.#set = set;
    this.#setSize = candidates.length;
    if (isNew) this.#slotsByUrl = slotsByUrl(this.#known);
  }
}

function slotsByUrl(endpoints: readonly (Endpoint | undefined)[]): number[] {
  return endpoints
    .filter((endpoint) => endpoint !== undefined)
    .sort((a, b) => (a.url < b.url ? -1 : 1))
    .map(({ slot }) => slot);
}
