/** Chance: the baseline that other profiles are measured against. */
import { z } from 'zod';
import type { ScorerDefinition } from '../plugin.ts';

/** score = a uniform random number, for each endpoint and request anew. */
export const randomScorer: ScorerDefinition<Record<string, never>> = {
  kind: 'scorer',
  type: 'random',
  description: 'Spreads requests by chance; must be the only scorer.',
  exclusive: true,
  params: z.strictObject({}),
  create(_params, { random }) {
    return {
      score(_request, candidates, scores) {
        for (let i = 0; i < candidates.length; i++) scores[i] = random();
      },
    };
  },
};
