import { describe, expect, it } from '@jest/globals';
import { noUsage, SlotCounts, type UsageCount } from '../../src/fairness/slot-counts.ts';

function used(inputTokens: number): UsageCount {
  return {
    inputTokens,
    cachedInputTokens: 1,
    outputTokens: 2 * inputTokens,
    requests: 1,
    estimatedTokens: 3,
  };
}

describe('SlotCounts', () => {
  it('add() counts until the slot is more than 60 back', () => {
    const counts = new SlotCounts();
    counts.add(100, used(10));
    counts.add(100, used(20));
    counts.add(101, used(5));
    counts.slideTo(160);
    expect(counts.sum).toEqual({
      inputTokens: 35,
      cachedInputTokens: 3,
      outputTokens: 70,
      requests: 3,
      estimatedTokens: 9,
    });
    counts.slideTo(161);
    expect(counts.sum).toEqual(used(5));
    counts.slideTo(162);
    expect([counts.sum, counts.empty]).toEqual([noUsage(), true]);
  });

  it('add() takes slots in any order', () => {
    const counts = new SlotCounts();
    for (const slot of [30, 10, 20, 10]) counts.add(slot, used(1));
    expect(counts.since(0).map(({ slot, requests }) => [slot, requests])).toEqual([
      [10, 2],
      [20, 1],
      [30, 1],
    ]);
  });

  it('replace() puts one count in the place of another', () => {
    const counts = new SlotCounts();
    counts.add(7, used(10));
    counts.add(8, used(1));
    expect(counts.replace(7, used(4))).toMatchObject(used(10));
    expect(counts.replace(9, used(2))).toMatchObject(noUsage());
    expect(counts.sum.inputTokens).toBe(7);
    expect(counts.since(7).map(({ inputTokens }) => inputTokens)).toEqual([4, 1, 2]);
  });

  it('since() leaves out earlier slots', () => {
    const counts = new SlotCounts();
    for (const slot of [1, 2, 3]) counts.add(slot, used(slot));
    expect(counts.since(2).map(({ slot }) => slot)).toEqual([2, 3]);
  });

  it('slideTo() forgets what is more than a window ahead, after the wall clock was set back', () => {
    const counts = new SlotCounts();
    counts.add(1060, used(1));
    counts.add(1061, used(10));
    counts.slideTo(1000);
    expect(counts.sum).toEqual(used(1));
  });

  it('slideTo() leaves nothing of counts that are too large to be exact', () => {
    const counts = new SlotCounts();
    counts.add(1, { ...used(1), inputTokens: 2 ** 53 - 1 });
    counts.add(2, used(1));
    counts.add(3, { ...used(1), inputTokens: 2 ** 53 - 1 });
    counts.slideTo(100);
    expect(counts.sum).toEqual(noUsage());
  });

  it.each<[string, number, number, [slot: number, requests: number][]]>([
    [
      'shorter: it counts as at the end of the old slot',
      60_000,
      5000,
      [
        [131, 1],
        [143, 1],
        [155, 2],
      ],
    ],
    [
      'longer: slots become one',
      5000,
      60_000,
      [
        [0, 2],
        [1, 2],
      ].map(([slot, n]) => [slot!, n!]),
    ],
    [
      'the same: nothing moves',
      1000,
      1000,
      [
        [10, 1],
        [11, 1],
        [12, 2],
      ],
    ],
  ])('resize() to slots that are %s', (_, slotMs, newSlotMs, expected) => {
    const counts = new SlotCounts();
    for (const slot of [10, 11, 12, 12]) counts.add(slot, used(1));
    counts.resize(slotMs, newSlotMs);
    expect(counts.since(0).map(({ slot, requests }) => [slot, requests])).toEqual(expected);
    expect(counts.sum.requests).toBe(4);
  });
});
