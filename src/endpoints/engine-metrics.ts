/** What an engine's metrics page says: the families of vLLM (both generations) and SGLang as one reading. */
import type { PrefixCacheTotals } from './endpoint.ts';
import { createSampleScanner } from './prometheus-text.ts';

/** Cumulative totals of a histogram, over all of its series. */
export interface HistogramTotals {
  readonly sum: number;
  readonly count: number;
}

/** One page, read. What the engine does not export is undefined, never zero. */
export interface EngineReading {
  readonly waiting: number | undefined;
  readonly running: number | undefined;
  /** 0 to 1. */
  readonly kvCacheUsage: number | undefined;
  readonly ttft: HistogramTotals | undefined;
  readonly tpot: HistogramTotals | undefined;
  readonly prefixCache: PrefixCacheTotals | undefined;
  /** Seconds since the epoch: tells one process from the next. */
  readonly processStart: number | undefined;
}

/**
 * Family names by meaning; the first that the page has is believed. vLLM renamed `gpu_cache_usage_perc` and
 * `time_per_output_token_seconds`, and releases in between export both names. `request_time_per_output_token_seconds`
 * is a mean of means per request: better than nothing. Some SGLang releases write `sglang_` for `sglang:`.
 */
const gaugeFamilies = {
  waiting: ['vllm:num_requests_waiting', 'sglang:num_queue_reqs', 'sglang_num_queue_reqs'],
  running: ['vllm:num_requests_running', 'sglang:num_running_reqs', 'sglang_num_running_reqs'],
  kvCacheUsage: [
    'vllm:kv_cache_usage_perc',
    'vllm:gpu_cache_usage_perc',
    'sglang:token_usage',
    'sglang_token_usage',
  ],
  processStart: ['process_start_time_seconds'],
  prefixCacheQueries: ['vllm:prefix_cache_queries_total', 'vllm:gpu_prefix_cache_queries_total'],
  prefixCacheHits: ['vllm:prefix_cache_hits_total', 'vllm:gpu_prefix_cache_hits_total'],
} as const;

const histogramFamilies = {
  ttft: [
    'vllm:time_to_first_token_seconds',
    'sglang:time_to_first_token_seconds',
    'sglang_time_to_first_token_seconds',
  ],
  tpot: [
    'vllm:inter_token_latency_seconds',
    'vllm:time_per_output_token_seconds',
    'vllm:request_time_per_output_token_seconds',
    'sglang:inter_token_latency_seconds',
    'sglang_inter_token_latency_seconds',
    'sglang:time_per_output_token_seconds',
  ],
} as const;

const sampleNames: readonly string[] = [
  ...Object.values(gaugeFamilies).flat(),
  ...Object.values(histogramFamilies)
    .flat()
    .flatMap((family) => [`${family}_sum`, `${family}_count`]),
];

/** All finite samples of one name, over its series. */
interface Series {
  total: number;
  count: number;
}

/**
 * Creates a reader of metrics pages. It returns undefined for a page that has no family of an engine. Several series
 * of a family (data-parallel ranks, several model names) are summed, ratios averaged.
 */
export function createEnginePageReader(): (page: Buffer) => EngineReading | undefined {
  const scan = createSampleScanner(sampleNames);
  return (page) => {
    const found = new Map<string, Series>();
    scan(page, (index, value) => {
      const name = sampleNames[index];
      if (name === undefined || !Number.isFinite(value)) return;
      const series = found.get(name);
      if (series === undefined) found.set(name, { total: value, count: 1 });
      else {
        series.total += value;
        series.count++;
      }
    });
    const usage = firstOf(found, gaugeFamilies.kvCacheUsage);
    const reading: EngineReading = {
      waiting: atLeastZero(firstOf(found, gaugeFamilies.waiting)?.total),
      running: atLeastZero(firstOf(found, gaugeFamilies.running)?.total),
      kvCacheUsage: usage && Math.min(1, Math.max(0, usage.total / usage.count)),
      ttft: firstHistogram(found, histogramFamilies.ttft),
      tpot: firstHistogram(found, histogramFamilies.tpot),
      prefixCache: prefixCacheTotals(found),
      processStart: firstOf(found, gaugeFamilies.processStart)?.total,
    };
    const { waiting, running, kvCacheUsage, ttft, tpot } = reading;
    return [waiting, running, kvCacheUsage, ttft, tpot].some((value) => value !== undefined)
      ? reading
      : undefined;
  };
}

function firstOf(found: ReadonlyMap<string, Series>, names: readonly string[]): Series | undefined {
  const name = names.find((candidate) => found.has(candidate));
  return name === undefined ? undefined : found.get(name);
}

function firstHistogram(
  found: ReadonlyMap<string, Series>,
  families: readonly string[],
): HistogramTotals | undefined {
  for (const family of families) {
    const sum = found.get(`${family}_sum`);
    const count = found.get(`${family}_count`);
    if (sum !== undefined && count !== undefined) return { sum: sum.total, count: count.total };
  }
  return undefined;
}

function prefixCacheTotals(found: ReadonlyMap<string, Series>): PrefixCacheTotals | undefined {
  const queries = firstOf(found, gaugeFamilies.prefixCacheQueries);
  const hits = firstOf(found, gaugeFamilies.prefixCacheHits);
  return queries && hits && { queries: queries.total, hits: hits.total };
}

function atLeastZero(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.max(0, value);
}
