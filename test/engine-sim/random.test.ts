import { describe, expect, it } from '@jest/globals';
import { logNormal, seededRandom } from '../../src/engine-sim/random.ts';

describe('seededRandom()', () => {
  it('repeats itself for a seed, in [0, 1)', () => {
    const [a, b, c] = [seededRandom(7), seededRandom(7), seededRandom(8)];
    const first = Array.from({ length: 1000 }, a);
    expect(Array.from({ length: 1000 }, b)).toEqual(first);
    expect(Array.from({ length: 1000 }, c)).not.toEqual(first);
    expect(first.every((value) => value >= 0 && value < 1)).toBe(true);
  });
});

describe('logNormal()', () => {
  it('has the median it is given, and sigma 0 is always the median', () => {
    const random = seededRandom(1);
    const drawn = Array.from({ length: 9999 }, () => logNormal(random, 100, 0.86)).sort((a, b) => a - b);
    expect(Math.abs((drawn[4999] ?? 0) - 100)).toBeLessThan(5);
    // The 90th percentile of a log-normal is median * exp(1.2816 * sigma) = 301.
    expect(Math.abs((drawn[8999] ?? 0) - 301)).toBeLessThan(20);
    expect(logNormal(random, 100, 0)).toBe(100);
  });
});
