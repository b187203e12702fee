import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { RecentCounts } from '../../src/lib/recent-counts.ts';

describe('RecentCounts', () => {
  it('count() counts what happened within the window, as vllm-router does', () => {
    const counts = new RecentCounts(10_000);
    for (const seconds of [0, 1, 2, 11]) counts.add(0, seconds * 1000);
    expect(counts.count(0, 11_000)).toBe(3);
    expect(counts.count(0, 30_000)).toBe(0);
  });

  it('count() keeps indexes apart', () => {
    const counts = new RecentCounts(10_000);
    counts.add(0, 1000);
    counts.add(40, 1000);
    counts.add(40, 2000);
    expect([0, 1, 40, 5000].map((index) => counts.count(index, 2000))).toEqual([1, 0, 2, 0]);
  });

  it('forget() counts one index from 0 again', () => {
    const counts = new RecentCounts(10_000);
    counts.add(1, 1000);
    counts.add(2, 1000);
    counts.forget(1);
    counts.forget(99);
    counts.add(1, 2000);
    expect([counts.count(1, 2000), counts.count(2, 2000)]).toEqual([1, 1]);
    expect([counts.count(1, 11_500), counts.count(2, 11_500)]).toEqual([1, 0]);
  });

  it('count() is right to within a sixtieth of the window', () => {
    const windowMs = 6000;
    const stepMs = windowMs / 60;
    const pauses = fc.array(
      fc.record({ pauseMs: fc.integer({ min: 0, max: 9000 }), index: fc.integer({ min: 0, max: 40 }) }),
      { maxLength: 100 },
    );
    fc.assert(
      fc.property(pauses, (events) => {
        const counts = new RecentCounts(windowMs);
        const times: { atMs: number; index: number }[] = [];
        let nowMs = 0;
        for (const { pauseMs, index } of events) {
          nowMs += pauseMs;
          counts.add(index, nowMs);
          times.push({ atMs: nowMs, index });
          for (let i = 0; i <= 40; i++) {
            const own = times.filter((event) => event.index === i);
            const count = counts.count(i, nowMs);
            expect(count).toBeGreaterThanOrEqual(own.filter(({ atMs }) => atMs >= nowMs - windowMs).length);
            expect(count).toBeLessThanOrEqual(
              own.filter(({ atMs }) => atMs > nowMs - windowMs - stepMs).length,
            );
          }
        }
      }),
      { numRuns: 50 },
    );
  });
});
