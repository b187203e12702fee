/** A histogram of latencies, with the buckets of vllm-router. */
import type { Labels, Sample } from './exposition.ts';

/** In seconds, and as Python writes them: a bucket is found by its text. */
const bounds: readonly (readonly [seconds: number, text: string])[] = [
  [0.05, '0.05'],
  [0.1, '0.1'],
  [0.25, '0.25'],
  [0.5, '0.5'],
  [1, '1.0'],
  [2.5, '2.5'],
  [5, '5.0'],
  [10, '10.0'],
  [30, '30.0'],
  [60, '60.0'],
  [120, '120.0'],
];

export class LatencyHistogram {
  /** How many were within a bound, and within none before it. */
  readonly #counts = new Float64Array(bounds.length);
  #sum = 0;
  #count = 0;

  observe(seconds: number): void {
    this.#sum += seconds;
    this.#count++;
    for (let i = 0; i < bounds.length; i++) {
      if (seconds > bounds[i]![0]) continue;
      this.#counts[i]!++;
      return;
    }
  }

  /** Nothing while nothing was observed. */
  samples(labels: Labels): readonly Sample[] {
    if (this.#count === 0) return [];
    let within = 0;
    const buckets = bounds.map(([, le], i): Sample => {
      within += this.#counts[i]!;
      return { suffix: '_bucket', labels: { ...labels, le }, value: within };
    });
    return [
      ...buckets,
      { suffix: '_bucket', labels: { ...labels, le: '+Inf' }, value: this.#count },
      { suffix: '_count', labels, value: this.#count },
      { suffix: '_sum', labels, value: this.#sum },
    ];
  }
}
