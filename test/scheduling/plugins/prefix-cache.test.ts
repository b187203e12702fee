import { describe, expect, it } from '@jest/globals';
import { prefixCacheScorer } from '../../../src/scheduling/plugins/prefix-cache.ts';
import { anEndpoint, anOutcome, aRequest } from '../../support/endpoints.ts';
import type { Scorer } from '../../../src/scheduling/plugin.ts';
import { createScorer, fakeDeps, scoresOf } from '../../support/scoring.ts';

/** Blocks of four bytes, so that prompts stay readable. */
const create = (params: Record<string, unknown> = {}) =>
  createScorer(prefixCacheScorer, { blockSizeToHash: 4, ...params });

/** The scorer that replaces `previous`. By itself it would have another seed. */
function successor(previous: Scorer, params: Record<string, unknown>): Scorer {
  const parsed = prefixCacheScorer.params.parse({ blockSizeToHash: 4, ...params });
  return prefixCacheScorer.create(parsed, { ...fakeDeps, random: () => 0.123 }, previous);
}

const [a, b, c] = [anEndpoint(0), anEndpoint(1), anEndpoint(2)];

describe('prefix-cache scorer', () => {
  it('score() is the share of blocks that the endpoint was sent', () => {
    const scorer = create();
    scorer.onRouted?.(aRequest('aaaabbbbcccc'), a);
    scorer.onRouted?.(aRequest('aaaaxxxx'), b);
    const cases: [string, number[]][] = [
      ['aaaabbbbccccdddd', [0.75, 0.25, 0]],
      ['aaaabbbbcccc', [1, 0.3333, 0]],
      ['aaaaxxxxcccc', [0.3333, 0.6667, 0]],
      ['bbbbcccc', [0, 0, 0]],
      ['aaaab', [0.5, 0.5, 0]],
      ['', [0, 0, 0]],
    ];
    for (const [prompt, scores] of cases)
      expect(scoresOf(scorer, [a, b, c], aRequest(prompt))).toEqual(scores);
  });

  it('score() matches a last, shorter block only where all of it is equal', () => {
    const scorer = create();
    scorer.onRouted?.(aRequest('aaaabb'), a);
    expect(scoresOf(scorer, [a], aRequest('aaaabb'))).toEqual([1]);
    expect(scoresOf(scorer, [a], aRequest('aaaabbb'))).toEqual([0.5]);
  });

  it('score() keeps models apart', () => {
    const scorer = create();
    scorer.onRouted?.(aRequest('aaaa', { model: 'm' }), a);
    expect(scoresOf(scorer, [a], aRequest('aaaa', { model: 'n' }))).toEqual([0]);
  });

  it('score() looks at maxBlocksToMatch blocks only', () => {
    const scorer = create({ maxBlocksToMatch: 2 });
    expect(scorer.promptHeadBytes).toBe(8);
    scorer.onRouted?.(aRequest('aaaabbbbcccc'), a);
    expect(scoresOf(scorer, [a], aRequest('aaaabbbbdddd'))).toEqual([1]);
  });

  it('score() stops after topKMatches holders, but finishes the depth', () => {
    const scorer = create({ topKMatches: 1 });
    scorer.onRouted?.(aRequest('aaaabbbb'), a);
    scorer.onRouted?.(aRequest('aaaabbbb'), b);
    scorer.onRouted?.(aRequest('aaaa'), c);
    expect(scoresOf(scorer, [c, b, a], aRequest('aaaabbbb'))).toEqual([0, 1, 1]);
  });

  it.each([
    [0, [0.75, 0.25, 0]],
    [4, [0.75, 0.25, 0]],
    [5, [0.75, 0, 0]],
    [12, [0.75, 0, 0]],
    [13, [0, 0, 0]],
  ])('score() leaves out holders of less than minMatchBytes, here %d, in whole blocks', (least, scores) => {
    const scorer = create({ minMatchBytes: least });
    scorer.onRouted?.(aRequest('aaaabbbbcccc'), a);
    scorer.onRouted?.(aRequest('aaaaxxxx'), b);
    expect(scoresOf(scorer, [a, b, c], aRequest('aaaabbbbccccdddd'))).toEqual(scores);
  });

  it('minMatchBytes must be within what is looked at', () => {
    const valid = (params: object) => prefixCacheScorer.params.safeParse(params).success;
    expect(valid({ minMatchBytes: 64 * 128 })).toBe(true);
    expect(valid({ minMatchBytes: 64 * 128 + 1 })).toBe(false);
    expect(valid({ minMatchBytes: 64 * 128 + 1, maxBlocksToMatch: 129 })).toBe(true);
  });

  it('onRouted() learns at once, so the second request of a burst follows the first', () => {
    const scorer = create();
    const first = aRequest('aaaabbbb', { id: '1' });
    expect(scoresOf(scorer, [a, b], first)).toEqual([0, 0]);
    scorer.onRouted?.(first, b);
    expect(scoresOf(scorer, [a, b], aRequest('aaaabbbb', { id: '2' }))).toEqual([0, 1]);
  });

  it('onSettled() learns who served where that is somebody else', () => {
    const scorer = create();
    const request = aRequest('aaaabbbb');
    scorer.onRouted?.(request, a);
    scorer.onSettled?.(request, a, anOutcome(b));
    expect(scoresOf(scorer, [a, b, c], request)).toEqual([1, 1, 0]);
  });

  it('onSettled() learns nothing where nobody served', () => {
    const scorer = create();
    scorer.onSettled?.(aRequest('aaaa'), a, anOutcome(undefined));
    expect(scoresOf(scorer, [a], aRequest('aaaa'))).toEqual([0]);
  });

  it('onEndpointLost() forgets the endpoint and no other', () => {
    const scorer = create();
    scorer.onRouted?.(aRequest('aaaa'), a);
    scorer.onRouted?.(aRequest('aaaa'), b);
    scorer.onEndpointLost?.(a);
    expect(scoresOf(scorer, [a, b], aRequest('aaaa'))).toEqual([0, 1]);
    scorer.onRouted?.(aRequest('aaaa'), a);
    expect(scoresOf(scorer, [a, b], aRequest('aaaa'))).toEqual([1, 1]);
  });

  it('onSettled() gives a successor in the slot nothing of a lost endpoint', () => {
    const scorer = create();
    const request = aRequest('aaaa');
    scorer.onRouted?.(request, b);
    scorer.onEndpointLost?.(a);
    scorer.onSettled?.(request, b, anOutcome(a));
    expect(scoresOf(scorer, [anEndpoint(0, { port: 9000 })], request)).toEqual([0]);
  });

  const kept: [string, Record<string, unknown>][] = [
    ['topKMatches', { topKMatches: 1 }],
    ['maxBlocksToMatch', { maxBlocksToMatch: 3 }],
    ['more of maxBlocksToMatch', { maxBlocksToMatch: 1000 }],
    ['maxHashCacheSize', { maxHashCacheSize: 3 }],
    ['maxTotalEntries', { maxTotalEntries: 1000 }],
    ['minMatchBytes', { minMatchBytes: 4 }],
    ['all of them', { topKMatches: 1, maxBlocksToMatch: 3, maxHashCacheSize: 3, maxTotalEntries: 9 }],
  ];
  it.each(kept)('create() keeps what its predecessor learned over another %s', (_, params) => {
    const old = create();
    old.onRouted?.(aRequest('aaaabbbbcccc'), a);
    const scorer = successor(old, params);
    expect(scoresOf(scorer, [a, b], aRequest('aaaabbbbcccc'))).toEqual([1, 0]);
    scorer.onRouted?.(aRequest('xxxx'), b);
    expect(scoresOf(scorer, [a, b], aRequest('aaaabbbbcccc'))).toEqual([1, 0]);
    expect(scoresOf(scorer, [a, b], aRequest('xxxx'))).toEqual([0, 1]);
  });

  it('create() follows the new parameters in what it keeps', () => {
    const old = create({ maxHashCacheSize: 4, topKMatches: 2 });
    old.onRouted?.(aRequest('aaaabbbb'), a);
    old.onRouted?.(aRequest('aaaa'), b);
    const scorer = successor(old, { maxHashCacheSize: 2, topKMatches: 1 });
    expect(scoresOf(scorer, [a, b], aRequest('aaaabbbb'))).toEqual([1, 0]);
    scorer.onRouted?.(aRequest('ccccdddd'), a);
    expect(scoresOf(scorer, [a], aRequest('aaaabbbb'))).toEqual([0]);
    expect(scoresOf(scorer, [a], aRequest('ccccdddd'))).toEqual([1]);
  });

  it('create() begins anew with another blockSizeToHash, but for what was lost and counted', () => {
    const old = create({ maxHashCacheSize: 2 });
    const request = aRequest('aaaabbbb');
    old.onRouted?.(aRequest('ccccdddd'), c);
    old.onRouted?.(request, c);
    old.onEndpointLost?.(a);
    const scorer = successor(old, { blockSizeToHash: 2 });
    expect(scoresOf(scorer, [c], request)).toEqual([0]);
    expect(scorer.memory?.()).toEqual({ entries: 0, evictions: 2 });
    scorer.onSettled?.(request, c, anOutcome(a));
    expect(scoresOf(scorer, [anEndpoint(0, { port: 9000 })], request)).toEqual([0]);
  });

  it('create() knows which endpoints its predecessor saw lost', () => {
    const old = create();
    const request = aRequest('aaaa');
    old.onEndpointLost?.(a);
    const scorer = successor(old, { topKMatches: 1 });
    scorer.onSettled?.(request, b, anOutcome(a));
    expect(scoresOf(scorer, [anEndpoint(0, { port: 9000 })], request)).toEqual([0]);
  });

  it('create() ignores a predecessor that is something else', () => {
    const scorer = successor({ score: () => undefined }, {});
    expect(scoresOf(scorer, [a], aRequest('aaaa'))).toEqual([0]);
  });

  it('memory() never counts backwards over many successors', () => {
    let scorer = create({ maxHashCacheSize: 3 });
    const evictions: number[] = [];
    for (const params of [
      { maxHashCacheSize: 2 },
      { maxTotalEntries: 5 },
      { blockSizeToHash: 2 },
      { blockSizeToHash: 2, maxTotalEntries: 7 },
    ]) {
      for (const text of ['aaaa', 'bbbb', 'cccc', 'dddd']) scorer.onRouted?.(aRequest(text), a);
      evictions.push(scorer.memory?.().evictions ?? 0);
      scorer = successor(scorer, params);
      evictions.push(scorer.memory?.().evictions ?? 0);
    }
    expect(evictions).toEqual(evictions.toSorted((x, y) => x - y));
    expect(evictions.at(-1)).toBeGreaterThan(evictions[0]!);
  });
});
