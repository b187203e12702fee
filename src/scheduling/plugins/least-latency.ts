/** Faster engines first, by time to first token and time per output token. */
import { z } from 'zod';
import type { EngineMetrics } from '../../endpoints/endpoint.ts';
import type { ScorerDefinition } from '../plugin.ts';

interface LeastLatencyParams {
  readonly TTFTTPOTWeightFactor: number;
  readonly minSpread: number;
}

/** The score of an endpoint that nothing can be said about. */
const neutral = 0.5;

/**
 * score = a * (1 - (TTFT - minTTFT) / spread) + (1 - a) * (the same of TPOT), extremes being those of the measured
 * candidates and spread = max(max - min, minSpread * max): where all are about as fast as each other, noise does not
 * become a whole point. An unmeasured endpoint scores 0.5, and so does everybody
 * while fewer than two are measured: one measurement compares with nothing.
 */
export const leastLatencyScorer: ScorerDefinition<LeastLatencyParams> = {
  kind: 'scorer',
  type: 'least-latency',
  description: 'Prefers endpoints with lower measured time to first token and time per output token.',
  params: z.strictObject({
    TTFTTPOTWeightFactor: z
      .number()
      .min(0)
      .max(1)
      .default(0.5)
      .describe('Weight of the time to first token; the rest is that of the time per output token.'),
    minSpread: z
      .number()
      .min(0)
      .max(1)
      .default(0.2)
      .describe(
        'Differences count in full from this share of the slowest on; 0 makes any difference the greatest there is.',
      ),
  }),
  create({ TTFTTPOTWeightFactor: ttftWeight, minSpread }) {
    return {
      score(_request, candidates, scores) {
        let measured = 0;
        let minTtft = Infinity;
        let maxTtft = 0;
        let minTpot = Infinity;
        let maxTpot = 0;
        for (const { metrics } of candidates) {
          if (!isMeasured(metrics)) continue;
          const { ttftSeconds, tpotSeconds } = metrics;
          measured++;
          if (ttftSeconds < minTtft) minTtft = ttftSeconds;
          if (ttftSeconds > maxTtft) maxTtft = ttftSeconds;
          if (tpotSeconds < minTpot) minTpot = tpotSeconds;
          if (tpotSeconds > maxTpot) maxTpot = tpotSeconds;
        }
        for (let i = 0; i < candidates.length; i++) {
          const { metrics } = candidates[i]!;
          if (measured < 2 || !isMeasured(metrics)) {
            scores[i] = neutral;
            continue;
          }
          const ttft = relative(metrics.ttftSeconds, minTtft, maxTtft, minSpread);
          const tpot = relative(metrics.tpotSeconds, minTpot, maxTpot, minSpread);
          scores[i] = ttft * ttftWeight + tpot * (1 - ttftWeight);
        }
      },
    };
  },
};

type Measured = EngineMetrics & { readonly ttftSeconds: number; readonly tpotSeconds: number };

function isMeasured(metrics: EngineMetrics | undefined): metrics is Measured {
  return (
    metrics?.ttftSeconds !== undefined &&
    metrics.tpotSeconds !== undefined &&
    metrics.ttftSeconds > 0 &&
    metrics.tpotSeconds > 0
  );
}

function relative(seconds: number, min: number, max: number, minSpread: number): number {
  const spread = Math.max(max - min, minSpread * max);
  return spread === 0 ? 1 : 1 - (seconds - min) / spread;
}
