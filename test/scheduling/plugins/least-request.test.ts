import { describe, expect, it } from '@jest/globals';
import { leastRequestFilter, leastRequestScorer } from '../../../src/scheduling/plugins/least-request.ts';
import { anEndpoint, aRequest, someMetrics } from '../../support/endpoints.ts';
import { createScorer, fakeDeps, scoresOf } from '../../support/scoring.ts';

describe('least-request filter', () => {
  const cases: [string, Record<string, unknown>, number | undefined, boolean][] = [
    ['keeps an endpoint below the limit', {}, 9, true],
    ['removes an endpoint at the limit', {}, 10, false],
    ['removes an endpoint above the limit', {}, 11, false],
    ['keeps an endpoint whose queue is unknown', {}, undefined, true],
    ['follows maxWaitingRequests', { maxWaitingRequests: 1 }, 1, false],
    ['keeps an idle endpoint at the least limit', { maxWaitingRequests: 1 }, 0, true],
  ];
  it.each(cases)('keep() %s', (_, params, waiting, kept) => {
    const filter = leastRequestFilter.create(leastRequestFilter.params.parse(params), fakeDeps);
    expect(filter.keep(aRequest(), anEndpoint(0, { metrics: someMetrics({ waiting }) }))).toBe(kept);
  });

  it('keep() keeps an endpoint that was never scraped', () => {
    const filter = leastRequestFilter.create(leastRequestFilter.params.parse({}), fakeDeps);
    expect(filter.keep(aRequest(), anEndpoint(0))).toBe(true);
  });

  it('params refuses a limit that would remove everybody', () => {
    expect(leastRequestFilter.params.safeParse({ maxWaitingRequests: 0 }).success).toBe(false);
    expect(leastRequestFilter.params.safeParse({ maxWaitingRequests: -1 }).success).toBe(false);
  });
});

/** An endpoint with `inFlight` requests, `atScrape` of them sent before a scrape that saw `running`. */
function loaded(slot: number, inFlight: number, running?: number, atScrape = inFlight) {
  const metrics = running === undefined ? undefined : someMetrics({ running, inFlightAtScrape: atScrape });
  return anEndpoint(slot, { inFlight, metrics });
}

describe('least-request scorer', () => {
  const cases: [string, Record<string, unknown>, ReturnType<typeof loaded>[], number[]][] = [
    ['no candidates', {}, [], []],
    ['all idle', {}, [loaded(0, 0, 0), loaded(1, 0, 0)], [1, 1]],
    // The floor of 10: one request is a tenth of a full load.
    ['one request of difference', {}, [loaded(0, 1, 1), loaded(1, 0, 0)], [0.9, 1]],
    ['equal loads below the scale', {}, [loaded(0, 4, 4), loaded(1, 4, 4)], [0.6, 0.6]],
    // Loads 20, 5: M = 20.
    ['more than the scale', {}, [loaded(0, 20, 20), loaded(1, 5, 5)], [0, 0.75]],
    // Loads 4 + 100 * 2 = 204, 1, 5.
    ['queued requests', {}, [loaded(0, 4, 2), loaded(1, 1), loaded(2, 5, 5)], [0, 0.9951, 0.9755]],
    // Two of six were sent before the scrape and run: nothing is queued as far as anybody knows.
    ['requests younger than the scrape', {}, [loaded(0, 6, 2, 2), loaded(1, 0, 0)], [0.4, 1]],
    // min(3, 5) - 1 = 2: those that ended since are not counted. Load 203.
    ['requests that ended since the scrape', {}, [loaded(0, 3, 1, 5), loaded(1, 0, 0)], [0, 1]],
    ['other clients of the engine', {}, [loaded(0, 1, 8), loaded(1, 0, 0)], [0.9, 1]],
    ['unknown running: in flight alone', {}, [loaded(0, 5), loaded(1, 0)], [0.5, 1]],
    ['another scale', { loadScale: 2 }, [loaded(0, 1, 1), loaded(1, 0, 0)], [0.5, 1]],
    ['no scale, all idle', { loadScale: 0 }, [loaded(0, 0, 0), loaded(1, 0)], [1, 1]],
    [
      'no scale, as Kthena',
      { loadScale: 0 },
      [loaded(0, 2, 2), loaded(1, 1, 1), loaded(2, 0, 0)],
      [0, 0.5, 1],
    ],
    ['no scale, all equal, as Kthena', { loadScale: 0 }, [loaded(0, 3, 3), loaded(1, 3, 3)], [0, 0]],
  ];
  it.each(cases)('score() %s', (_, params, candidates, scores) => {
    expect(scoresOf(createScorer(leastRequestScorer, params), candidates)).toEqual(scores);
  });
});
