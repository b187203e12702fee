/** What every plugin said in one scheduling run, written into buffers that the next run in the same place reuses. */
import type { Endpoint } from '../endpoints/endpoint.ts';

/** What the plugins of a profile are called, in the order in which they run. */
export interface ProfileNames {
  readonly filters: readonly string[];
  readonly scorers: readonly { readonly name: string; readonly weight: number }[];
}

/** The full account of one run. Positions in `scores` and `totals` count the candidates that all filters kept. */
export class DecisionTrace {
  names: ProfileNames = { filters: [], scorers: [] };
  candidates: readonly Endpoint[] = [];
  /** For each candidate, 0 where it was kept, else 1 + the index of the filter that removed it. */
  removedBy = new Uint8Array(0);
  /** With n kept candidates: what scorer s says about the k-th of them is scores[s * n + k], clamped to [0, 1]. */
  scores = new Float64Array(0);
  /** Weighted sum of the scores of each kept candidate. */
  totals = new Float64Array(0);

  /** Starts the account of a run. `candidates` is kept as it is and must never change. */
  begin(names: ProfileNames, candidates: readonly Endpoint[]): void {
    this.names = names;
    this.candidates = candidates;
    const { length } = candidates;
    if (this.removedBy.length < length) {
      this.removedBy = new Uint8Array(length);
      this.totals = new Float64Array(length);
    }
    if (this.scores.length < length * names.scorers.length) {
      this.scores = new Float64Array(length * names.scorers.length);
    }
    this.removedBy.fill(0, 0, length);
    this.totals.fill(0, 0, length);
  }
}
