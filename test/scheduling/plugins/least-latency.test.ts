import { describe, expect, it } from '@jest/globals';
import { leastLatencyScorer } from '../../../src/scheduling/plugins/least-latency.ts';
import { anEndpoint, someMetrics } from '../../support/endpoints.ts';
import { createScorer, scoresOf } from '../../support/scoring.ts';

function timed(slot: number, ttftSeconds?: number, tpotSeconds?: number) {
  return anEndpoint(slot, { metrics: someMetrics({ ttftSeconds, tpotSeconds }) });
}

const three = [timed(0, 0.1, 0.02), timed(1, 0.2, 0.01), timed(2, 0.3, 0.02)];

describe('least-latency scorer', () => {
  const cases: [string, Record<string, unknown>, ReturnType<typeof timed>[], number[]][] = [
    ['no candidates', {}, [], []],
    // TTFT gives 1, 0.5, 0; TPOT gives 0, 1, 0.
    ['both halves', {}, three, [0.5, 0.75, 0]],
    ['TTFT only', { TTFTTPOTWeightFactor: 1 }, three, [1, 0.5, 0]],
    ['TPOT only', { TTFTTPOTWeightFactor: 0 }, three, [0, 1, 0]],
    ['a quarter', { TTFTTPOTWeightFactor: 0.25 }, three, [0.25, 0.875, 0]],
    ['all equal', {}, [timed(0, 0.1, 0.02), timed(1, 0.1, 0.02)], [1, 1]],
    // Half of the slowest apart counts in full where the spread is at most that; 1/8 apart counts for a quarter of 1/2.
    ['noise', { minSpread: 0.5 }, [timed(0, 0.8, 0.8), timed(1, 0.7, 0.7)], [0.75, 1]],
    ['noise, when told that it is none', { minSpread: 0 }, [timed(0, 0.8, 0.8), timed(1, 0.7, 0.7)], [0, 1]],
    ['nobody measured', {}, [timed(0), anEndpoint(1)], [0.5, 0.5]],
    ['one measured says nothing', {}, [timed(0, 9, 9), timed(1)], [0.5, 0.5]],
    ['an unmeasured one among two', {}, [timed(0, 0.1, 0.01), timed(1), timed(2, 0.2, 0.02)], [1, 0.5, 0]],
    [
      'half a measurement is none',
      {},
      [timed(0, 0.1), timed(1, 0.1, 0.01), timed(2, 0.2, 0.02)],
      [0.5, 1, 0],
    ],
    [
      'zero is no measurement',
      {},
      [timed(0, 0, 0.01), timed(1, 0.1, 0.01), timed(2, 0.2, 0.02)],
      [0.5, 1, 0],
    ],
  ];
  it.each(cases)('score() %s', (_, params, candidates, scores) => {
    const written = scoresOf(createScorer(leastLatencyScorer, params), candidates);
    expect(written).toEqual(scores.map((score) => expect.closeTo(score, 10)));
  });

  it.each([-0.1, 1.1, Number.NaN, '0.5'])('params refuses %p', (TTFTTPOTWeightFactor) => {
    expect(leastLatencyScorer.params.safeParse({ TTFTTPOTWeightFactor }).success).toBe(false);
  });
});
