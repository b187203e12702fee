import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Endpoint } from '../../../src/endpoints/endpoint.ts';
import type { Scorer } from '../../../src/scheduling/plugin.ts';
import { createProfile } from '../../../src/scheduling/profile.ts';
import { sessionAffinityScorer } from '../../../src/scheduling/plugins/session-affinity.ts';
import { anEndpoint, aRequest } from '../../support/endpoints.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { ringOrder } from '../../support/md5-ring.ts';
import { createScorer, fakeDeps, scoresOf } from '../../support/scoring.ts';

const ofSession = (sessionKey: string | undefined) => aRequest('', { sessionKey });

const podsAt = (...hosts: number[]) =>
  hosts.map((host) => anEndpoint(host, { url: `http://10.0.0.${host}:8000` }));

/** Scores of a session by URL, best first, without those that are 0. */
function ranking(scorer: Scorer, candidates: readonly Endpoint[], sessionKey: string): [string, number][] {
  const scores = scoresOf(scorer, candidates, ofSession(sessionKey));
  return candidates
    .map(({ url }, i): [string, number] => [url, scores[i]!])
    .filter(([, score]) => score > 0)
    .sort(([, one], [, other]) => other - one);
}

describe('session-affinity scorer', () => {
  // What vllm-router answers: owners among three and four pods.
  const cases: [string, number, number][] = [
    ['abc123', 3, 4],
    ['session2', 3, 3],
    ['session4', 3, 3],
    ['user-0', 2, 2],
    ['user-2', 2, 2],
    ['日本', 1, 1],
  ];
  it.each(cases)('score() is 1 for the owner of %j', (key, ofThree, ofFour) => {
    const scorer = createScorer(sessionAffinityScorer);
    expect(ranking(scorer, podsAt(1, 2, 3), key)[0]).toEqual([`http://10.0.0.${ofThree}:8000`, 1]);
    expect(ranking(scorer, podsAt(1, 2, 3, 4), key)[0]).toEqual([`http://10.0.0.${ofFour}:8000`, 1]);
  });

  it('score() halves from one to the next on the ring, for 16 of them', () => {
    const scorer = createScorer(sessionAffinityScorer);
    const endpoints = Array.from({ length: 20 }, (_, slot) => anEndpoint(slot));
    const order = ringOrder(
      endpoints.map(({ url }) => url),
      'abc123',
    );
    const scores = new Float64Array(20);
    scorer.score(ofSession('abc123'), endpoints, scores);
    expect(order.map((url) => scores[endpoints.findIndex((endpoint) => endpoint.url === url)])).toEqual([
      ...Array.from({ length: 16 }, (_, i) => 2 ** -i),
      ...[0, 0, 0, 0],
    ]);
  });

  it('score() lets the next on the ring take over, and leaves other sessions where they are', () => {
    const scorer = createScorer(sessionAffinityScorer);
    const all = podsAt(1, 2, 3, 4);
    const keys = Array.from({ length: 200 }, (_, i) => `user-${i}`);
    const before = keys.map((key) => ranking(scorer, all, key).map(([url]) => url));
    for (const gone of all) {
      const rest = all.filter((endpoint) => endpoint !== gone);
      const after = keys.map((key) => ranking(scorer, rest, key).map(([url]) => url));
      expect(after).toEqual(before.map((urls) => urls.filter((url) => url !== gone.url)));
    }
  });

  it('score() agrees with a ring of the candidates alone, whatever list they come in', () => {
    const endpoints = Array.from({ length: 8 }, (_, slot) => anEndpoint(slot));
    // One list, rewritten for each request, as filters do; slots change hands in between.
    const list: Endpoint[] = [];
    const lists = fc.array(
      fc.record({
        set: fc.shuffledSubarray(endpoints, { minLength: 1 }),
        moved: fc.integer({ min: 0, max: 7 }),
        key: fc.string({ minLength: 1 }),
      }),
      { minLength: 1, maxLength: 12 },
    );
    fc.assert(
      fc.property(lists, (requests) => {
        const scorer = createScorer(sessionAffinityScorer);
        for (const [i, { set, moved, key }] of requests.entries()) {
          const successor = anEndpoint(moved, { url: `http://10.1.0.${i}:8000` });
          list.splice(0, list.length, ...set.map((one) => (one.slot === moved ? successor : one)));
          const urls = list.map(({ url }) => url);
          expect(ranking(scorer, list, key).map(([url]) => url)).toEqual(ringOrder(urls, key));
        }
      }),
      { numRuns: 20 },
    );
  });

  describe('for a request without a session', () => {
    const [a, b, c] = podsAt(1, 2, 3);
    const three = [a!, b!, c!];

    /** A scorer that was told to have routed, in order. */
    function after(routed: readonly (Endpoint | undefined)[], clock = new FakeClock(), params = {}): Scorer {
      const scorer = createScorer(sessionAffinityScorer, params, { ...fakeDeps, clock });
      for (const endpoint of routed) scorer.onRouted?.(ofSession('any'), endpoint!);
      return scorer;
    }

    const fallbacks: [string, (Endpoint | undefined)[], number[]][] = [
      ['the first that was never sent one', [a], [0, 1, 0]],
      ['the first where none was', [], [1, 0, 0]],
      ['the one with the fewest', [a, a, b, c, c], [0, 1, 0]],
      ['the first of those with the fewest', [a, a, c, b], [0, 1, 0]],
    ];
    it.each(fallbacks)('score() is 1 for %s', (_, routed, scores) => {
      expect(scoresOf(after(routed), three, ofSession(undefined))).toEqual(scores);
      expect(scoresOf(after(routed), three, ofSession(''))).toEqual(scores);
    });

    it('score() counts what was sent within the window', () => {
      const clock = new FakeClock();
      const scorer = after([a, a, a, b, c], clock);
      clock.advance(30_000);
      for (const endpoint of [b!, c!, b!]) scorer.onRouted?.(ofSession(undefined), endpoint);
      expect(scoresOf(scorer, three)).toEqual([0, 0, 1]);
      // Those of the beginning are 61 seconds old: 0, 2 and 1 are left.
      clock.advance(31_000);
      expect(scoresOf(scorer, three)).toEqual([1, 0, 0]);
    });

    it('score() knows an endpoint that was sent none lately from one that never was', () => {
      const clock = new FakeClock();
      const scorer = after([a, b], clock, { statsWindowSeconds: 10 });
      clock.advance(60_000);
      expect(scoresOf(scorer, three)).toEqual([0, 0, 1]);
      expect(scoresOf(scorer, three.slice(0, 2))).toEqual([1, 0]);
    });

    it('score() holds nothing of its predecessor in the slot against an endpoint', () => {
      const scorer = after([a, b, c, c]);
      const successor = anEndpoint(c!.slot, { url: 'http://10.0.9.9:8000' });
      expect(scoresOf(scorer, [a!, b!, successor])).toEqual([0, 0, 1]);
      scorer.onRouted?.(ofSession(undefined), successor);
      expect(scoresOf(scorer, [successor, a!, b!])).toEqual([1, 0, 0]);
    });

    it('score() leaves it to other scorers where params say none', () => {
      expect(scoresOf(after([a], new FakeClock(), { withoutSession: 'none' }), three)).toEqual([0, 0, 0]);
    });

    it('create() takes over the counts of a plugin with the same window', () => {
      const create = (statsWindowSeconds: number, previous: Scorer) =>
        sessionAffinityScorer.create(
          { withoutSession: 'fewest-requests', statsWindowSeconds },
          fakeDeps,
          previous,
        );
      const previous = after([a, b, b, c, c]);
      expect(scoresOf(create(60, previous), [c!, b!, a!])).toEqual([0, 0, 1]);
      expect(scoresOf(create(61, previous), [c!, b!, a!])).toEqual([1, 0, 0]);
    });
  });

  it('memory() counts the points of endpoints that were candidates', () => {
    const scorer = createScorer(sessionAffinityScorer);
    ranking(scorer, podsAt(1, 2), 'a');
    ranking(scorer, podsAt(2, 3), 'a');
    expect(scorer.memory?.()).toEqual({ entries: 480, evictions: 0 });
  });

  it('alone in a profile fails over to the next on the ring', () => {
    const profile = createProfile(
      {
        filters: [],
        scorers: [{ type: 'session-affinity', params: {}, weight: 1 }],
        picker: { type: 'max-score', params: {} },
      },
      fakeDeps,
    );
    const endpoints = podsAt(1, 2, 3, 4);
    const decision = profile.run(ofSession('abc123'), endpoints, 3);
    const order = ringOrder(
      endpoints.map(({ url }) => url),
      'abc123',
    );
    if (decision.kind !== 'chosen') throw new Error('nobody was chosen');
    expect(decision.ranked.map(({ url }) => url)).toEqual(order.slice(0, 3));
  });
});
