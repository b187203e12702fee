/** What two readings of one engine tell together: mean latencies of the time between them, and restarts. */
import type { EngineReading, HistogramTotals } from './engine-metrics.ts';

interface LatencyHistory {
  /** Cumulative totals of the last reading; undefined where it had none. */
  readonly totals: HistogramTotals | undefined;
  /** The last mean that had new observations, and when. */
  readonly last: { readonly seconds: number; readonly atMs: number } | undefined;
}

/** Carried from one reading of an engine to the next. */
export interface EngineHistory {
  readonly processStart: number | undefined;
  readonly ttft: LatencyHistory;
  readonly tpot: LatencyHistory;
}

export interface EngineProgress {
  readonly history: EngineHistory;
  /** Undefined until there was something to measure, and again when that is older than the bound. */
  readonly ttftSeconds: number | undefined;
  readonly tpotSeconds: number | undefined;
  /** The engine is another process than at the last reading: its caches are empty. */
  readonly restarted: boolean;
}

const noLatency: LatencyHistory = { totals: undefined, last: undefined };

/**
 * Adds a reading taken at `nowMs`. The first reading gives no latency: a mean over the engine's whole life says
 * nothing about now. Where nothing new was observed the last mean holds for at most `maxAgeMs`.
 */
export function advanceHistory(
  before: EngineHistory | undefined,
  reading: EngineReading,
  nowMs: number,
  maxAgeMs: number,
): EngineProgress {
  const restarted = before !== undefined && hasRestarted(before, reading);
  // Everything a new process counted happened since the last reading; what the old one measured is void.
  const since = restarted ? afterRestart(reading) : before;
  const ttft = advanceLatency(since?.ttft ?? noLatency, reading.ttft, nowMs, maxAgeMs);
  const tpot = advanceLatency(since?.tpot ?? noLatency, reading.tpot, nowMs, maxAgeMs);
  return {
    history: { processStart: reading.processStart ?? since?.processStart, ttft, tpot },
    ttftSeconds: ttft.last?.seconds,
    tpotSeconds: tpot.last?.seconds,
    restarted,
  };
}

function hasRestarted(before: EngineHistory, reading: EngineReading): boolean {
  const { processStart } = before;
  if (
    processStart !== undefined &&
    reading.processStart !== undefined &&
    processStart !== reading.processStart
  ) {
    return true;
  }
  return fell(before.ttft.totals, reading.ttft) || fell(before.tpot.totals, reading.tpot);
}

function fell(before: HistogramTotals | undefined, now: HistogramTotals | undefined): boolean {
  return before !== undefined && now !== undefined && now.count < before.count;
}

function afterRestart(reading: EngineReading): EngineHistory {
  const zero: LatencyHistory = { totals: { sum: 0, count: 0 }, last: undefined };
  return { processStart: reading.processStart, ttft: zero, tpot: zero };
}

function advanceLatency(
  before: LatencyHistory,
  totals: HistogramTotals | undefined,
  nowMs: number,
  maxAgeMs: number,
): LatencyHistory {
  const seconds = before.totals && totals && meanBetween(before.totals, totals);
  if (seconds !== undefined) return { totals, last: { seconds, atMs: nowMs } };
  const keeps = before.last !== undefined && nowMs - before.last.atMs <= maxAgeMs;
  return { totals, last: keeps ? before.last : undefined };
}

/** Mean of the observations between two totals; undefined where there were none, or the sums make no sense. */
function meanBetween(before: HistogramTotals, now: HistogramTotals): number | undefined {
  const count = now.count - before.count;
  const mean = (now.sum - before.sum) / count;
  return count > 0 && mean > 0 ? mean : undefined;
}
