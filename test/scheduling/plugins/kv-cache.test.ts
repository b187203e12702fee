import { describe, expect, it } from '@jest/globals';
import { kvCacheScorer } from '../../../src/scheduling/plugins/kv-cache.ts';
import { anEndpoint, someMetrics } from '../../support/endpoints.ts';
import { createScorer, scoresOf } from '../../support/scoring.ts';

function using(slot: number, kvCacheUsage: number | undefined, inFlight = 0) {
  return anEndpoint(slot, { inFlight, metrics: someMetrics({ kvCacheUsage }) });
}

describe('kv-cache scorer', () => {
  const cases: [string, ReturnType<typeof using>[], number[]][] = [
    ['no candidates', [], []],
    ['the free share', [using(0, 0), using(1, 0.25), using(2, 1)], [1, 0.75, 0]],
    ['no truncation', [using(0, 0.9)], [0.1]],
    ['unknown and idle is not empty', [using(0, undefined), using(1, 0)], [0.9, 1]],
    ['unknown and busiest is not full', [using(0, undefined, 8), using(1, 1, 4)], [0.1, 0]],
    ['unknown is the share of the most in flight', [using(0, undefined, 2), using(1, 0.5, 8)], [0.75, 0.5]],
    ['never scraped', [anEndpoint(0), anEndpoint(1, { inFlight: 2 })], [0.9, 0.1]],
  ];
  it.each(cases)('score() %s', (_, candidates, scores) => {
    expect(scoresOf(createScorer(kvCacheScorer), candidates)).toEqual(scores);
  });

  it('aliases names the plugin of older configurations', () => {
    expect(kvCacheScorer.aliases).toEqual(['gpu-usage']);
  });
});
