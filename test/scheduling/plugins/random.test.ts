import { describe, expect, it } from '@jest/globals';
import { randomScorer } from '../../../src/scheduling/plugins/random.ts';
import { anEndpoint } from '../../support/endpoints.ts';
import { createScorer, fakeDeps, scoresOf } from '../../support/scoring.ts';

describe('random scorer', () => {
  it('score() draws anew for each endpoint', () => {
    const draws = [0.1, 0.9, 0.4];
    const scorer = createScorer(randomScorer, {}, { ...fakeDeps, random: () => draws.shift() ?? Number.NaN });
    expect(scoresOf(scorer, [anEndpoint(0), anEndpoint(1), anEndpoint(2)])).toEqual([0.1, 0.9, 0.4]);
  });

  it('exclusive says that it runs alone', () => {
    expect(randomScorer.exclusive).toBe(true);
  });
});
