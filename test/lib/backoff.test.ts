import { describe, expect, it } from '@jest/globals';
import { createBackoff } from '../../src/lib/backoff.ts';

describe('createBackoff()', () => {
  it('doubles up to the bound and starts over after reset()', () => {
    const backoff = createBackoff({ firstMs: 100, maxMs: 500, random: () => 0 });
    expect([1, 2, 3, 4, 5].map(() => backoff.nextMs())).toEqual([100, 200, 400, 500, 500]);
    backoff.reset();
    expect(backoff.nextMs()).toBe(100);
  });

  it('shortens pauses at random and never lengthens them', () => {
    const draws = [0, 0.5, 1];
    const backoff = createBackoff({
      firstMs: 100,
      maxMs: 100,
      jitter: 0.4,
      random: () => draws.shift() ?? 0,
    });
    expect([backoff.nextMs(), backoff.nextMs(), backoff.nextMs()]).toEqual([100, 80, 60]);
  });

  it('respects a bound below the first pause, and another factor', () => {
    expect(createBackoff({ firstMs: 100, maxMs: 30, random: () => 0 }).nextMs()).toBe(30);
    const backoff = createBackoff({ firstMs: 1, maxMs: 100, factor: 3, random: () => 0 });
    expect([1, 2, 3].map(() => backoff.nextMs())).toEqual([1, 3, 9]);
  });
});
