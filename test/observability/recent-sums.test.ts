import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { RecentSums } from '../../src/observability/recent-sums.ts';

describe('RecentSums', () => {
  it('total() adds up what came within the window', () => {
    const sums = new RecentSums(1, 10_000);
    for (const seconds of [0, 1, 2, 11]) sums.add(0, 1, seconds * 1000);
    expect(sums.total(0, 11_000)).toBe(3);
    expect(sums.total(0, 30_000)).toBe(0);
  });

  it('total() keeps quantities apart', () => {
    const sums = new RecentSums(3, 10_000);
    sums.add(0, 0.5, 1000);
    sums.add(2, 7, 1000);
    sums.add(2, 1, 2000);
    expect([0, 1, 2].map((quantity) => sums.total(quantity, 2000))).toEqual([0.5, 0, 8]);
  });

  it('total() is right to within a sixtieth of the window', () => {
    const windowMs = 6000;
    const pauses = fc.array(
      fc.record({ pauseMs: fc.integer({ min: 0, max: 9000 }), amount: fc.integer({ min: 1, max: 9 }) }),
      { maxLength: 100 },
    );
    fc.assert(
      fc.property(pauses, (events) => {
        const sums = new RecentSums(2, windowMs);
        const added: { atMs: number; amount: number }[] = [];
        let nowMs = 0;
        const sumSince = (sinceMs: number): number =>
          added.filter(({ atMs }) => atMs >= sinceMs).reduce((sum, { amount }) => sum + amount, 0);
        for (const { pauseMs, amount } of events) {
          nowMs += pauseMs;
          sums.add(1, amount, nowMs);
          added.push({ atMs: nowMs, amount });
          expect(sums.total(1, nowMs)).toBeGreaterThanOrEqual(sumSince(nowMs - windowMs));
          expect(sums.total(1, nowMs)).toBeLessThanOrEqual(sumSince(nowMs - (windowMs * 61) / 60));
        }
      }),
      { numRuns: 100 },
    );
  });

  it('resized() loses nothing of a shorter window, whenever it is', () => {
    const sums = new RecentSums(1, 6000);
    for (let atMs = 0; atMs < 13_000; atMs += 100) {
      sums.add(0, 1, atMs);
      if (atMs >= 6000) expect(Math.abs(sums.resized(4000, atMs).total(0, atMs) - 40)).toBeLessThan(3);
    }
  });

  it('resized() puts nothing into the future', () => {
    const sums = new RecentSums(1, 3_600_000);
    sums.add(0, 1, 3_600_000);
    const resized = sums.resized(1000, 3_600_000);
    expect([3_600_000, 3_601_000, 3_601_100].map((nowMs) => resized.total(0, nowMs))).toEqual([1, 1, 0]);
  });

  it('resized() keeps what is known, each at its time to within a step of the window before', () => {
    const oldMs = 6000;
    const oldStepMs = oldMs / 60;
    const history = fc.record({
      pausesMs: fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 80 }),
      windowMs: fc.integer({ min: 600, max: 30_000 }),
      laterMs: fc.integer({ min: 0, max: 5000 }),
    });
    fc.assert(
      fc.property(history, ({ pausesMs, windowMs, laterMs }) => {
        const sums = new RecentSums(2, oldMs);
        const times: number[] = [];
        let nowMs = 0;
        for (const pauseMs of pausesMs) times.push((nowMs += pauseMs));
        for (const atMs of times) sums.add(1, 1, atMs);
        const resized = sums.resized(windowMs, nowMs);
        resized.add(0, 1, nowMs);
        const knownSinceMs = nowMs - oldMs;
        const countSince = (sinceMs: number): number => times.filter((atMs) => atMs >= sinceMs).length;
        const laterNowMs = nowMs + laterMs;
        const since = Math.max(knownSinceMs, laterNowMs - windowMs + oldStepMs);
        const sinceAtMost = Math.max(knownSinceMs - oldStepMs, laterNowMs - (windowMs * 61) / 60 - oldStepMs);
        expect(resized.total(1, laterNowMs)).toBeGreaterThanOrEqual(countSince(since));
        expect(resized.total(1, laterNowMs)).toBeLessThanOrEqual(countSince(sinceAtMost));
        expect(resized.total(0, nowMs + windowMs)).toBe(1);
        expect(resized.total(0, nowMs + (windowMs * 62) / 60)).toBe(0);
        expect(resized.windowMs).toBe(windowMs);
      }),
      { numRuns: 500 },
    );
  });
});
