import { describe, expect, it } from '@jest/globals';
import { createReleaseRate } from '../../src/fairness/release-rate.ts';

/** How many may go at each of the moments, where as many as may do. */
function taken(maxPerSecond: number, looksAtMs: readonly number[], waiting: boolean): number[] {
  const rate = createReleaseRate();
  rate.update(maxPerSecond, 0);
  return looksAtMs.map((nowMs) => {
    rate.begin(nowMs);
    let count = 0;
    for (; rate.ready && count < 100; count++) rate.took();
    rate.keeps(waiting);
    return count;
  });
}

describe('createReleaseRate()', () => {
  const cases: [
    title: string,
    maxPerSecond: number,
    looksAtMs: number[],
    waiting: boolean,
    expected: number[],
  ][] = [
    ['lets the first go at once, the next after an interval', 100, [0, 5, 10, 15, 20], true, [1, 0, 1, 0, 1]],
    ['catches up after a timer that was late', 1000, [0, 3, 4], true, [1, 3, 1]],
    ['does not catch up after a stall', 100, [0, 5000, 5010], true, [1, 3, 1]],
    ['saves nothing up while nobody waits', 100, [0, 5000, 5010], false, [1, 1, 1]],
    ['is slower than one a second where it is asked to', 0.5, [0, 1999, 2000], true, [1, 0, 1]],
    ['lets everybody go where there is no limit', 0, [0, 1], true, [100, 100]],
  ];
  it.each(cases)('%s', (_title, maxPerSecond, looksAtMs, waiting, expected) => {
    expect(taken(maxPerSecond, looksAtMs, waiting)).toEqual(expected);
  });

  it('update() to a higher rate does not wait for the slower one', () => {
    const rate = createReleaseRate();
    rate.update(0.01, 0);
    rate.begin(0);
    rate.took();
    expect(rate.nextMs).toBe(100_000);
    rate.update(10, 50);
    expect(rate.nextMs).toBe(150);
  });
});
