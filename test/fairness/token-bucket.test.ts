import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { fullInMs, refilled, remaining, waitMs } from '../../src/fairness/token-bucket.ts';

describe('refilled()', () => {
  it.each([
    ['by the amount in a period', 0, 1000, 1000],
    ['by a share of it in a share of the period', 0, 250, 250],
    ['to the amount at most', 900, 500, 1000],
    ['out of debt too', -500, 250, -250],
  ])('refills %s', (_name, level, elapsedMs, expected) => {
    expect(refilled(level, 1000, 1000, elapsedMs)).toBe(expected);
  });
});

describe('waitMs()', () => {
  it.each([
    ['nothing, where there is enough', 10, 10, 0],
    ['until what is missing is there', 10, 40, 30_000],
    ['until it is full, for more than it holds', 10, 500, 90_000],
    ['nothing, for more than it holds where it is full', 100, 500, 0],
    ['until a debt is paid too', -50, 50, 100_000],
    ['nothing, for nothing, even in debt', -50, 0, 0],
    ['whole milliseconds, rounded up', 99.9999, 100, 1],
  ])('is %s', (_name, level, cost, expected) => {
    expect(waitMs(level, 100, 100_000, cost)).toBe(expected);
  });

  it('tells a time after which there is enough, and a millisecond before which there was not', () => {
    const amount = fc.integer({ min: 1, max: 10_000_000 });
    const perMs = fc.constantFrom(1000, 60_000, 3_600_000, 86_400_000);
    const share = fc.double({ min: -3, max: 1, noNaN: true });
    fc.assert(
      fc.property(
        amount,
        perMs,
        share,
        fc.integer({ min: 0, max: 20_000_000 }),
        (amount, perMs, share, cost) => {
          const level = share * amount;
          const neededMs = waitMs(level, amount, perMs, cost);
          const after = (ms: number): number =>
            waitMs(refilled(level, amount, perMs, ms), amount, perMs, cost);
          expect(after(neededMs)).toBe(0);
          if (neededMs > 1) expect(after(neededMs - 2)).toBeGreaterThan(0);
        },
      ),
    );
  });
});

describe('fullInMs()', () => {
  it('is the time until nothing is missing', () => {
    expect([fullInMs(100, 100, 1000), fullInMs(75, 100, 1000), fullInMs(-100, 100, 1000)]).toEqual([
      0, 250, 2000,
    ]);
  });
});

describe('remaining()', () => {
  it.each([
    [10, 10],
    [9.5, 9],
    [9.999_999_999_9, 10],
    [0.9, 0],
    [-3, 0],
  ])('of %p is %p', (level, expected) => {
    expect(remaining(level, 100)).toBe(expected);
  });
});
