import { describe, expect, it } from '@jest/globals';
import {
  advanceHistory,
  type EngineHistory,
  type EngineProgress,
} from '../../src/endpoints/engine-history.ts';
import type { EngineReading } from '../../src/endpoints/engine-metrics.ts';

const maxAgeMs = 60_000;

type Totals = readonly [sum: number, count: number] | undefined;

function reading(ttft: Totals, tpot?: Totals, processStart?: number): EngineReading {
  const histogram = (totals: Totals) => totals && { sum: totals[0], count: totals[1] };
  return {
    waiting: 0,
    running: 0,
    kvCacheUsage: 0,
    ttft: histogram(ttft),
    tpot: histogram(tpot),
    prefixCache: undefined,
    processStart,
  };
}

/** Readings one second apart; the progress after each. */
function run(...readings: readonly EngineReading[]): EngineProgress[] {
  let history: EngineHistory | undefined;
  return readings.map((next, index) => {
    const progress = advanceHistory(history, next, index * 1000, maxAgeMs);
    history = progress.history;
    return progress;
  });
}

const ttfts = (progress: readonly EngineProgress[]) => progress.map(({ ttftSeconds }) => ttftSeconds);
const restarts = (progress: readonly EngineProgress[]) => progress.map(({ restarted }) => restarted);

describe('advanceHistory()', () => {
  it('takes the mean of what was observed between two readings', () => {
    const progress = run(
      reading([100, 50], [10, 1000]),
      reading([101, 54], [12, 1100]),
      reading([104, 56], [12.5, 1110]),
    );
    expect(ttfts(progress)).toEqual([undefined, 0.25, 1.5]);
    expect(progress.map(({ tpotSeconds }) => tpotSeconds)).toEqual([undefined, 0.02, 0.05]);
    expect(restarts(progress)).toEqual([false, false, false]);
  });

  it('keeps the last mean while nothing new is observed, for a bounded time', () => {
    let { history } = advanceHistory(undefined, reading([0, 0]), 0, maxAgeMs);
    const at = (ms: number, totals: Totals) => {
      const progress = advanceHistory(history, reading(totals), ms, maxAgeMs);
      history = progress.history;
      return progress.ttftSeconds;
    };
    expect(at(1000, [2, 4])).toBe(0.5);
    expect(at(61_000, [2, 4])).toBe(0.5);
    expect(at(61_001, [2, 4])).toBeUndefined();
    expect(at(62_000, [5, 5])).toBe(3);
  });

  it('counts everything of a new process as new, and nothing of the old one', () => {
    const fell = run(reading([100, 50]), reading([101, 52]), reading([0.6, 3]));
    expect(ttfts(fell)).toEqual([undefined, 0.5, expect.closeTo(0.2)]);
    expect(restarts(fell)).toEqual([false, false, true]);
    const idle = run(reading([100, 50]), reading([101, 52]), reading([0, 0]), reading([3, 2]));
    expect(ttfts(idle)).toEqual([undefined, 0.5, undefined, 1.5]);
  });

  it('sees a restart by the start time, even where counts grew', () => {
    const progress = run(reading([1, 2], undefined, 1000), reading([9, 6], undefined, 2000));
    expect(restarts(progress)).toEqual([false, true]);
    expect(ttfts(progress)).toEqual([undefined, 1.5]);
  });

  it('sees a restart by the tokens where no first token was counted', () => {
    expect(restarts(run(reading(undefined, [5, 100]), reading(undefined, [1, 10])))).toEqual([false, true]);
  });

  it('does not take a missing family or start time for a restart', () => {
    const progress = run(
      reading([1, 2], undefined, 1000),
      reading(undefined),
      reading([1, 2], undefined, 1000),
      reading([2, 4], undefined, 1000),
    );
    expect(restarts(progress)).toEqual([false, false, false, false]);
    expect(ttfts(progress)).toEqual([undefined, undefined, undefined, 0.5]);
  });

  it('remembers the start time over a page without it', () => {
    const progress = run(reading([1, 2], undefined, 1000), reading([1, 2]), reading([1, 2], undefined, 2000));
    expect(restarts(progress)).toEqual([false, false, true]);
  });

  it('ignores sums that make no sense', () => {
    expect(ttfts(run(reading([5, 5]), reading([5, 7]), reading([4, 9])))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});
