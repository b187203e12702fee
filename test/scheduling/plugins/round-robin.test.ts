import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Endpoint } from '../../../src/endpoints/endpoint.ts';
import type { Scorer } from '../../../src/scheduling/plugin.ts';
import { createProfile } from '../../../src/scheduling/profile.ts';
import { roundRobinScorer } from '../../../src/scheduling/plugins/round-robin.ts';
import { anEndpoint, aRequest } from '../../support/endpoints.ts';
import { createScorer, fakeDeps, scoresOf } from '../../support/scoring.ts';

const [a, b, c, d] = [anEndpoint(0), anEndpoint(1), anEndpoint(2), anEndpoint(3)];

/** Routes one request, and tells to whom. */
function route(scorer: Scorer, candidates: readonly Endpoint[]): Endpoint {
  const chosen = candidates[scoresOf(scorer, candidates).indexOf(1)]!;
  scorer.onRouted?.(aRequest(), chosen);
  return chosen;
}

describe('round-robin scorer', () => {
  it('score() is 1 for whose turn it is and 0 for the others', () => {
    const scorer = createScorer(roundRobinScorer);
    const scores = [1, 2, 3, 4].map(() => {
      const given = scoresOf(scorer, [a, b, c]);
      scorer.onRouted?.(aRequest(), a);
      return given;
    });
    expect(scores).toEqual([
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
      [1, 0, 0],
    ]);
  });

  it('score() goes by URL, in the order of its characters', () => {
    const scorer = createScorer(roundRobinScorer);
    const [ten, nine, two] = ['10', '9', '2'].map((host, slot) =>
      anEndpoint(slot, { url: `http://10.0.0.${host}:8000` }),
    );
    expect([1, 2, 3].map(() => route(scorer, [nine!, two!, ten!]))).toEqual([ten, two, nine]);
  });

  it('score() takes a turn only when a request is routed', () => {
    const scorer = createScorer(roundRobinScorer);
    expect(scoresOf(scorer, [a, b])).toEqual([1, 0]);
    expect(scoresOf(scorer, [a, b])).toEqual([1, 0]);
    // A mixed profile may well send it elsewhere: its turn is taken all the same.
    scorer.onRouted?.(aRequest(), b);
    expect(scoresOf(scorer, [a, b])).toEqual([0, 1]);
  });

  it('score() does not depend on the order of the candidates', () => {
    const scorer = createScorer(roundRobinScorer);
    expect(route(scorer, [a, b])).toBe(a);
    expect(route(scorer, [b, a])).toBe(b);
    expect(route(scorer, [b, a])).toBe(a);
  });

  it('score() begins a new set with its first, and does not disturb others', () => {
    const scorer = createScorer(roundRobinScorer);
    expect(route(scorer, [a, b])).toBe(a);
    expect([1, 2, 3, 4].map(() => route(scorer, [a, b, c]))).toEqual([a, b, c, a]);
    expect([1, 2].map(() => route(scorer, [c, d]))).toEqual([c, d]);
    expect(route(scorer, [a, b])).toBe(b);
  });

  it('score() lets an endpoint that came back go on with the turns of its URL', () => {
    const scorer = createScorer(roundRobinScorer);
    expect(route(scorer, [a, b])).toBe(a);
    expect(route(scorer, [a])).toBe(a);
    // The slot was another's in between.
    const other = anEndpoint(1, { url: 'http://10.0.9.9:8000' });
    expect(route(scorer, [a, other])).toBe(a);
    const again = anEndpoint(1);
    expect(route(scorer, [a, again])).toBe(again);
  });

  it('score() is fair to every subset, whatever list it comes in', () => {
    const endpoints = Array.from({ length: 30 }, (_, slot) => anEndpoint(slot));
    // One list, rewritten for each request, as filters do.
    const list: Endpoint[] = [];
    fc.assert(
      fc.property(
        fc.array(fc.shuffledSubarray(endpoints, { minLength: 1 }), { minLength: 1, maxLength: 60 }),
        (sets) => {
          const scorer = createScorer(roundRobinScorer);
          const turns = new Map<string, number>();
          for (const set of sets) {
            list.splice(0, list.length, ...set);
            const urls = set.map(({ url }) => url).sort();
            const turn = turns.get(urls.join()) ?? 0;
            turns.set(urls.join(), turn + 1);
            expect(route(scorer, list).url).toBe(urls[turn % urls.length]);
          }
        },
      ),
    );
  });

  it('memory() is bounded: the set used longest ago begins anew', () => {
    const scorer = createScorer(roundRobinScorer);
    const many = Array.from({ length: 1023 }, (_, i) => anEndpoint(i + 10));
    expect([route(scorer, [a, b]), route(scorer, [c, d])]).toEqual([a, c]);
    for (const endpoint of many.slice(1)) route(scorer, [endpoint]);
    expect(scorer.memory?.()).toEqual({ entries: 1024, evictions: 0 });
    expect(route(scorer, [a, b])).toBe(b);
    route(scorer, [many[0]!]);
    expect(scorer.memory?.()).toEqual({ entries: 1024, evictions: 1 });
    expect(route(scorer, [c, d])).toBe(c);
    expect(route(scorer, [a, b])).toBe(a);
  });

  it('alone in a profile ranks those whose turn comes next behind the chosen', () => {
    const profile = createProfile(
      {
        filters: [],
        scorers: [{ type: 'round-robin', params: {}, weight: 1 }],
        picker: { type: 'max-score', params: {} },
      },
      fakeDeps,
    );
    const rankings = Array.from({ length: 6 }, () => {
      const decision = profile.run(aRequest(), [c, b, a], 3);
      if (decision.kind !== 'chosen') throw new Error('nobody was chosen');
      profile.onRouted(aRequest(), decision.ranked[0]);
      return decision.ranked.map(({ slot }) => slot);
    });
    expect(rankings.map(([first]) => first)).toEqual([0, 1, 2, 0, 1, 2]);
    expect(rankings.slice(3)).toEqual([
      [0, 1, 2],
      [1, 2, 0],
      [2, 0, 1],
    ]);
  });
});
