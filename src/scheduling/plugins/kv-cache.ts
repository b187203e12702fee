/** More free KV cache first. */
import { z } from 'zod';
import type { ScorerDefinition } from '../plugin.ts';

/* An engine of unknown usage is never taken for an empty or a full one. */
const leastGuess = 0.1;
const greatestGuess = 0.9;

/**
 * score = 1 - kvCacheUsage. Where the usage is unknown it is estimated as the endpoint's share of the greatest number
 * of requests in flight among the candidates, within [0.1, 0.9].
 */
export const kvCacheScorer: ScorerDefinition<Record<string, never>> = {
  kind: 'scorer',
  type: 'kv-cache',
  aliases: ['gpu-usage'],
  description: 'Prefers endpoints with more free KV cache.',
  params: z.strictObject({}),
  create() {
    return {
      score(_request, candidates, scores) {
        let mostInFlight = 1;
        for (const { inFlight } of candidates) if (inFlight > mostInFlight) mostInFlight = inFlight;
        for (let i = 0; i < candidates.length; i++) {
          const { inFlight, metrics } = candidates[i]!;
          scores[i] = 1 - (metrics?.kvCacheUsage ?? guess(inFlight / mostInFlight));
        }
      },
    };
  },
};

function guess(share: number): number {
  return Math.min(Math.max(share, leastGuess), greatestGuess);
}
