import { describe, expect, it } from '@jest/globals';
import { EngineMetricsPage } from '../../src/engine-sim/engine-metrics-page.ts';
import type { EngineStats } from '../../src/engine-sim/engine.ts';
import { smallProfile } from './support.ts';

const stats: EngineStats = {
  running: 3,
  waiting: 2,
  usedBlocks: 25,
  totalBlocks: 100,
  cachedBlocks: 0,
  runningAdapters: ['a', 'b'],
  waitingAdapters: [],
  totals: {
    steps: 9,
    prefixQueries: 40,
    prefixHits: 16,
    promptTokens: 40,
    generationTokens: 7,
    preemptions: 1,
  },
};

function page(generation: 'v0' | 'v1', speed = 1): EngineMetricsPage {
  return new EngineMetricsPage({ generation, model: 'm', profile: smallProfile(), speed, createdSeconds: 1 });
}

function families(text: string): string[] {
  return [...text.matchAll(/^# TYPE (\S+) (?:gauge|counter|histogram)$/gm)]
    .map((match) => match[1] ?? '')
    .filter((name) => !name.endsWith('_created'));
}

describe('EngineMetricsPage', () => {
  it('render() has the names of vLLM V1', () => {
    expect(families(page('v1').render(stats, { nowSeconds: 5 }))).toEqual([
      'vllm:num_requests_running',
      'vllm:num_requests_waiting',
      'vllm:kv_cache_usage_perc',
      'vllm:prefix_cache_queries_total',
      'vllm:prefix_cache_hits_total',
      'vllm:num_preemptions_total',
      'vllm:prompt_tokens_total',
      'vllm:generation_tokens_total',
      'vllm:cache_config_info',
      'vllm:request_success_total',
      'vllm:request_prompt_tokens',
      'vllm:request_generation_tokens',
      'vllm:time_to_first_token_seconds',
      'vllm:inter_token_latency_seconds',
      'vllm:e2e_request_latency_seconds',
      'vllm:request_queue_time_seconds',
      'vllm:request_prefill_time_seconds',
      'vllm:request_decode_time_seconds',
      'vllm:lora_requests_info',
    ]);
  });

  it('render() has the older names, without an engine label, in generation v0', () => {
    const text = page('v0').render(stats, undefined);
    expect(families(text)).toEqual(
      expect.arrayContaining([
        'vllm:gpu_cache_usage_perc',
        'vllm:time_per_output_token_seconds',
        'vllm:gpu_prefix_cache_hits_total',
      ]),
    );
    expect(text).toContain('vllm:gpu_cache_usage_perc{model_name="m"} 0.25\n');
    expect(text).not.toMatch(/kv_cache_usage|inter_token|engine="0"|lora_requests_info/);
  });

  it('render() says what the engine holds', () => {
    const text = page('v1').render(stats, { nowSeconds: 5 });
    for (const line of [
      'vllm:num_requests_running{engine="0",model_name="m"} 3.0',
      'vllm:num_requests_waiting{engine="0",model_name="m"} 2.0',
      'vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25',
      'vllm:prefix_cache_hits_total{engine="0",model_name="m"} 16.0',
      'vllm:lora_requests_info{max_lora="4",running_lora_adapters="a,b",waiting_lora_adapters=""} 5.0',
    ]) {
      expect(text.split('\n')).toContain(line);
    }
    expect(text).toMatch(/^vllm:cache_config_info\{block_size="4",.*num_gpu_blocks="100"\} 1\.0$/m);
  });

  it("render() keeps former combinations of adapters with the time they were last seen, as vLLM's gauge does", () => {
    const metrics = page('v1');
    metrics.render(stats, { nowSeconds: 5 });
    const text = metrics.render({ ...stats, runningAdapters: [] }, { nowSeconds: 6 });
    expect(text.match(/^vllm:lora_requests_info.*$/gm)).toEqual([
      'vllm:lora_requests_info{max_lora="4",running_lora_adapters="a,b",waiting_lora_adapters=""} 5.0',
      'vllm:lora_requests_info{max_lora="4",running_lora_adapters="",waiting_lora_adapters=""} 6.0',
    ]);
  });

  it('observe() turns virtual time into the seconds that clients see', () => {
    const metrics = page('v1', 10);
    metrics.observe({ kind: 'first-token', id: '1', atMs: 300, sinceQueuedMs: 300, cachedTokens: 0 });
    metrics.observe({ kind: 'token', id: '1', atMs: 400, generated: 2, sinceLastMs: 100 });
    const text = metrics.render(stats, undefined);
    expect(text).toContain('vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 0.03\n');
    expect(text).toContain(
      'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.02",model_name="m"} 0.0\n',
    );
    expect(text).toContain(
      'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.04",model_name="m"} 1.0\n',
    );
    expect(text).toContain('vllm:inter_token_latency_seconds_sum{engine="0",model_name="m"} 0.01\n');
  });

  it('observe() counts ends by reason, and leaves aborted requests out of the latencies', () => {
    const metrics = page('v1');
    const end = {
      kind: 'finished',
      id: '1',
      atMs: 900,
      usage: { promptTokens: 7, cachedTokens: 0, completionTokens: 2 },
    } as const;
    const times = { queuedAtMs: 100, scheduledAtMs: 200, firstTokenAtMs: 400 };
    metrics.observe({ ...end, reason: 'stop', times });
    metrics.observe({ ...end, reason: 'abort', times });
    const text = metrics.render(stats, undefined);
    expect(text.match(/^vllm:request_success_total.*$/gm)).toEqual(
      ['stop"', 'length"', 'abort"', 'error"'].map(
        (reason, index) =>
          `vllm:request_success_total{engine="0",finished_reason="${reason},model_name="m"} ${index % 2 === 0 ? '1.0' : '0.0'}`,
      ),
    );
    const sums = [...text.matchAll(/^vllm:(\w+_seconds)_sum\S* (\S+)$/gm)].map((match) => [
      match[1],
      match[2],
    ]);
    expect(sums).toEqual([
      ['time_to_first_token_seconds', '0.0'],
      ['inter_token_latency_seconds', '0.0'],
      ['e2e_request_latency_seconds', '0.8'],
      ['request_queue_time_seconds', '0.1'],
      ['request_prefill_time_seconds', '0.2'],
      ['request_decode_time_seconds', '0.5'],
    ]);
  });
});
