import { describe, expect, it } from '@jest/globals';
import { LatencyHistogram } from '../../src/observability/latency-histogram.ts';

describe('LatencyHistogram', () => {
  it('has no samples while nothing was observed', () => {
    expect(new LatencyHistogram().samples({ a: 'b' })).toEqual([]);
  });

  it('counts into the buckets of vllm-router, bounds included', () => {
    const histogram = new LatencyHistogram();
    for (const seconds of [0, 0.05, 0.06, 1, 120, 121]) histogram.observe(seconds);
    const samples = histogram.samples({ a: 'b' });
    expect(samples.slice(0, 12).map(({ suffix, labels, value }) => [suffix, labels['le'], value])).toEqual([
      ['_bucket', '0.05', 2],
      ['_bucket', '0.1', 3],
      ['_bucket', '0.25', 3],
      ['_bucket', '0.5', 3],
      ['_bucket', '1.0', 4],
      ['_bucket', '2.5', 4],
      ['_bucket', '5.0', 4],
      ['_bucket', '10.0', 4],
      ['_bucket', '30.0', 4],
      ['_bucket', '60.0', 4],
      ['_bucket', '120.0', 5],
      ['_bucket', '+Inf', 6],
    ]);
    expect(samples.slice(12)).toEqual([
      { suffix: '_count', labels: { a: 'b' }, value: 6 },
      { suffix: '_sum', labels: { a: 'b' }, value: 242.11 },
    ]);
  });
});
