import { describe, expect, it } from '@jest/globals';
import { createEnginePageReader, type EngineReading } from '../../src/endpoints/engine-metrics.ts';

const read = createEnginePageReader();

const nothing: EngineReading = {
  waiting: undefined,
  running: undefined,
  kvCacheUsage: undefined,
  ttft: undefined,
  tpot: undefined,
  prefixCache: undefined,
  processStart: undefined,
};

function lines(...samples: readonly string[]): Buffer {
  return Buffer.from(`${samples.join('\n')}\n`);
}

describe('createEnginePageReader()', () => {
  it('reads the current names of vLLM', () => {
    const labels = '{engine="0",model_name="m"}';
    const page = lines(
      'process_start_time_seconds 1.75e+09',
      `vllm:num_requests_running${labels} 3.0`,
      `vllm:num_requests_waiting${labels} 2.0`,
      `vllm:num_requests_waiting_by_reason{reason="capacity"} 9.0`,
      `vllm:kv_cache_usage_perc${labels} 0.25`,
      `vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1"} 4.0`,
      `vllm:time_to_first_token_seconds_count${labels} 8.0`,
      `vllm:time_to_first_token_seconds_sum${labels} 1.5`,
      `vllm:time_to_first_token_seconds_created${labels} 1.75e+09`,
      `vllm:inter_token_latency_seconds_count${labels} 100.0`,
      `vllm:inter_token_latency_seconds_sum${labels} 2.0`,
      `vllm:request_time_per_output_token_seconds_count${labels} 1.0`,
      `vllm:request_time_per_output_token_seconds_sum${labels} 7.0`,
    );
    expect(read(page)).toEqual({
      waiting: 2,
      running: 3,
      kvCacheUsage: 0.25,
      ttft: { sum: 1.5, count: 8 },
      tpot: { sum: 2, count: 100 },
      prefixCache: undefined,
      processStart: 1.75e9,
    });
  });

  it.each(['vllm:', 'vllm:gpu_'])('reads what is in the prefix cache, of all ranks: %s', (prefix) => {
    const page = lines(
      `${prefix}prefix_cache_queries_total{engine="0"} 100`,
      `${prefix}prefix_cache_queries_total{engine="1"} 20`,
      `${prefix}prefix_cache_hits_total{engine="0"} 30`,
      `${prefix}prefix_cache_hits_total{engine="1"} 0`,
      'vllm:num_requests_running 1',
    );
    expect(read(page)?.prefixCache).toEqual({ queries: 120, hits: 30 });
  });

  const generations: readonly [string, readonly string[], Partial<EngineReading>][] = [
    [
      'the names of older vLLM',
      [
        'vllm:gpu_cache_usage_perc{model_name="m"} 0.5',
        'vllm:time_per_output_token_seconds_sum{model_name="m"} 4',
        'vllm:time_per_output_token_seconds_count{model_name="m"} 200',
      ],
      { kvCacheUsage: 0.5, tpot: { sum: 4, count: 200 } },
    ],
    [
      'the newer of two names on one page',
      [
        'vllm:gpu_cache_usage_perc 0.5',
        'vllm:kv_cache_usage_perc 0.6',
        'vllm:time_per_output_token_seconds_sum 4',
        'vllm:time_per_output_token_seconds_count 200',
        'vllm:inter_token_latency_seconds_sum 5',
        'vllm:inter_token_latency_seconds_count 100',
      ],
      { kvCacheUsage: 0.6, tpot: { sum: 5, count: 100 } },
    ],
    [
      'the mean per request where nothing finer exists',
      [
        'vllm:request_time_per_output_token_seconds_sum 3',
        'vllm:request_time_per_output_token_seconds_count 30',
      ],
      { tpot: { sum: 3, count: 30 } },
    ],
    [
      'the names of SGLang',
      [
        'sglang:num_running_reqs{model_name="m"} 4.0',
        'sglang:num_queue_reqs{model_name="m"} 1.0',
        'sglang:token_usage{model_name="m"} 0.28',
        'sglang:time_to_first_token_seconds_sum{model_name="m"} 2.0',
        'sglang:time_to_first_token_seconds_count{model_name="m"} 4.0',
        'sglang:inter_token_latency_seconds_sum{model_name="m"} 1.0',
        'sglang:inter_token_latency_seconds_count{model_name="m"} 50.0',
      ],
      {
        running: 4,
        waiting: 1,
        kvCacheUsage: 0.28,
        ttft: { sum: 2, count: 4 },
        tpot: { sum: 1, count: 50 },
      },
    ],
    [
      'SGLang with underscores',
      ['sglang_num_running_reqs 2', 'sglang_token_usage 0.1'],
      { running: 2, kvCacheUsage: 0.1 },
    ],
  ];
  it.each(generations)('reads %s', (_name, samples, expected) => {
    expect(read(lines(...samples))).toEqual({ ...nothing, ...expected });
  });

  it('sums the series of a family and averages ratios', () => {
    const page = lines(
      'vllm:num_requests_running{engine="0"} 3',
      'vllm:num_requests_running{engine="1"} 4',
      'vllm:kv_cache_usage_perc{engine="0"} 0.2',
      'vllm:kv_cache_usage_perc{engine="1"} 0.6',
      'vllm:time_to_first_token_seconds_sum{engine="0"} 1',
      'vllm:time_to_first_token_seconds_sum{engine="1"} 2',
      'vllm:time_to_first_token_seconds_count{engine="0"} 10',
      'vllm:time_to_first_token_seconds_count{engine="1"} 20',
    );
    expect(read(page)).toEqual({ ...nothing, running: 7, kvCacheUsage: 0.4, ttft: { sum: 3, count: 30 } });
  });

  it('leaves undefined what is not a finite number, and keeps values in their range', () => {
    const page = lines(
      'vllm:num_requests_running NaN',
      'vllm:num_requests_waiting -2',
      'vllm:kv_cache_usage_perc 1.3',
    );
    expect(read(page)).toEqual({ ...nothing, waiting: 0, kvCacheUsage: 1 });
  });

  it('returns undefined for pages of other programs', () => {
    expect(read(lines('node_load1 0.5', 'process_start_time_seconds 1.75e+09'))).toBeUndefined();
    expect(read(Buffer.alloc(0))).toBeUndefined();
  });
});
