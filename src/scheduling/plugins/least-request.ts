/** Fewer requests first: a filter that drops endpoints whose engine has a long queue, and a scorer by load. */
import { z } from 'zod';
import type { Endpoint } from '../../endpoints/endpoint.ts';
import type { FilterDefinition, ScorerDefinition } from '../plugin.ts';

/** What the filter and the scorer read from the one `least-request` entry of `pluginConfig`. */
interface LeastRequestParams {
  readonly maxWaitingRequests: number;
  readonly loadScale: number;
}

const params = z.strictObject({
  maxWaitingRequests: z
    .int()
    .min(1)
    .default(10)
    .describe('The filter drops an endpoint whose engine has this many requests in its queue, or more.'),
  loadScale: z
    .number()
    .min(0)
    .default(10)
    .describe(
      'The scorer calls this many requests a full load as long as no candidate has more. 0 compares the candidates ' +
        'with each other only.',
    ),
});

/**
 * Keeps an endpoint while `waiting < maxWaitingRequests`; an unknown queue is not a full queue. What ended since the scrape
 * has let as many move up.
 */
export const leastRequestFilter: FilterDefinition<LeastRequestParams> = {
  kind: 'filter',
  type: 'least-request',
  description: 'Drops endpoints whose engine has too many requests in its queue.',
  params,
  whenEmpty: 'saturated',
  create({ maxWaitingRequests }) {
    return {
      keep(_request, { inFlight, metrics }) {
        if (metrics?.waiting === undefined) return true;
        const ended = Math.max(0, metrics.inFlightAtScrape - inFlight);
        return metrics.waiting - ended < maxWaitingRequests;
      },
    };
  },
};

/**
 * score = (M - load) / M, where load is what `loadOf` says and M the greatest load among the candidates, but at least
 * `loadScale`. Above that floor this is Kthena's formula; the floor keeps a difference of one request between idle
 * endpoints from weighing as much as a whole cached prompt.
 */
export const leastRequestScorer: ScorerDefinition<LeastRequestParams> = {
  kind: 'scorer',
  type: 'least-request',
  description:
    'Prefers endpoints with fewer requests in flight, and strongly those whose engine does not queue them.',
  params,
  create({ loadScale }) {
    return {
      score(_request, candidates, scores) {
        let greatest = loadScale;
        for (let i = 0; i < candidates.length; i++) {
          const load = loadOf(candidates[i]!);
          scores[i] = load;
          if (load > greatest) greatest = load;
        }
        for (let i = 0; i < candidates.length; i++) {
          scores[i] = greatest === 0 ? 1 : (greatest - scores[i]!) / greatest;
        }
      },
    };
  },
};

/** One waiting request weighs as much as this many running ones. */
const waitingWeight = 100;

/**
 * Requests in flight, plus 100 for each that the engine knew of and did not run. Only requests sent before the scrape
 * count as known: later ones cannot be in its `running`, and are no sign of a queue.
 */
function loadOf({ inFlight, metrics }: Endpoint): number {
  if (metrics?.running === undefined) return inFlight;
  const known = Math.min(inFlight, metrics.inFlightAtScrape);
  return inFlight + waitingWeight * Math.max(known - metrics.running, 0);
}
