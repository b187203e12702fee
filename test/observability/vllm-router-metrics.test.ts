import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Endpoint } from '../../src/endpoints/endpoint.ts';
import { createRequestStats, type RequestStats } from '../../src/observability/request-stats.ts';
import {
  createVllmRouterMetrics,
  type VllmRouterMetrics,
} from '../../src/observability/vllm-router-metrics.ts';
import type { ExchangeRecord } from '../../src/request/exchange-record.ts';
import { anEndpoint, someMetrics } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { aRecord, completed, routedRecord } from './support/records.ts';

let endpoints: readonly Endpoint[];
let servedModels: ReadonlySet<string>;
let stats: RequestStats;
let metrics: VllmRouterMetrics;
const [a, b] = [anEndpoint(1), anEndpoint(2)];

beforeEach(() => {
  endpoints = [a, b];
  servedModels = new Set(['m']);
  stats = createRequestStats({ clock: new FakeClock(), snapshot }, { windowMs: 10_000 });
  metrics = createVllmRouterMetrics(
    {
      snapshot,
      stats,
      usage: {
        cpuPercent: () => Promise.resolve(12.5),
        memoryPercent: () => 50,
        diskPercent: () => Promise.resolve(undefined),
      },
      prefixCache: ({ slot }) => (slot === 1 ? { queries: 8, hits: 2 } : undefined),
      maxModelLabels: 2,
    },
    { vllmNames: true },
  );
});

function snapshot() {
  return { generation: 1, endpoints, readyByModel: new Map(), models: servedModels };
}

/** Sends an exchange to `endpoint` and ends it as `known` says. */
function request(endpoint: Endpoint, known: Partial<ExchangeRecord>): void {
  const record = routedRecord([endpoint, a, b]);
  if (known.model !== undefined) record.model = known.model;
  stats.routed(record, endpoint);
  metrics.routed(record);
  Object.assign(record, known);
  stats.ended(record);
  metrics.ended(record);
}

/** An exchange that ends before any endpoint was chosen. */
function refuse(known: Partial<ExchangeRecord>): void {
  metrics.ended(aRecord({ outcome: 'rejected', ...known }));
}

/** The samples of a family, as they are on the page. */
async function samples(family: string): Promise<string[]> {
  const page = await metrics.page();
  return page.split('\n').filter((line) => line.startsWith(`${family}{`) || line.startsWith(`${family} `));
}

describe('createVllmRouterMetrics()', () => {
  it('writes the page of two endpoints', async () => {
    const first = anEndpoint(1, { metrics: someMetrics({ waiting: 4, running: 2 }) });
    const second = anEndpoint(2, { health: { kind: 'unhealthy', reason: 'gone', sinceMs: 0 } });
    endpoints = [first, second];
    request(first, { ...completed(1100, 11), ttftMs: 100 });
    request(first, { outcome: 'failed', status: 503, durationMs: 70 });
    const open = routedRecord([first, second]);
    stats.routed(open, first);
    metrics.routed(open);
    open.servedBy = second.id;
    stats.responded(open);
    expect(await metrics.page()).toBe(
      `# HELP vllm:num_requests_running Requests that this router sent to the engine and that have not ended.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{server="http://10.0.0.1:8000"} 0
vllm:num_requests_running{server="http://10.0.0.2:8000"} 1
# HELP vllm:num_requests_waiting Requests in the engine's queue, as the engine says.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{server="http://10.0.0.1:8000"} 4
# HELP vllm:current_qps Requests per second that this router sent to the engine lately.
# TYPE vllm:current_qps gauge
vllm:current_qps{server="http://10.0.0.1:8000"} 0.3
vllm:current_qps{server="http://10.0.0.2:8000"} 0
# HELP vllm:avg_decoding_length Mean number of output tokens lately.
# TYPE vllm:avg_decoding_length gauge
vllm:avg_decoding_length{server="http://10.0.0.1:8000"} 11
# HELP vllm:num_prefill_requests Requests at the engine that have no response yet.
# TYPE vllm:num_prefill_requests gauge
vllm:num_prefill_requests{server="http://10.0.0.1:8000"} 0
vllm:num_prefill_requests{server="http://10.0.0.2:8000"} 0
# HELP vllm:num_decoding_requests Requests at the engine whose response has begun.
# TYPE vllm:num_decoding_requests gauge
vllm:num_decoding_requests{server="http://10.0.0.1:8000"} 0
vllm:num_decoding_requests{server="http://10.0.0.2:8000"} 1
# HELP vllm:healthy_pods_total 1 where the engine is healthy, 0 where it is not.
# TYPE vllm:healthy_pods_total gauge
vllm:healthy_pods_total{server="http://10.0.0.1:8000"} 1
vllm:healthy_pods_total{server="http://10.0.0.2:8000"} 0
# HELP vllm:avg_latency Mean duration of requests that ended lately, in seconds.
# TYPE vllm:avg_latency gauge
vllm:avg_latency{server="http://10.0.0.1:8000"} 1.1
# HELP vllm:avg_itl Mean time between output tokens lately, in seconds.
# TYPE vllm:avg_itl gauge
vllm:avg_itl{server="http://10.0.0.1:8000"} 0.1
# HELP vllm:num_requests_swapped Always 0: engines of today do not swap requests.
# TYPE vllm:num_requests_swapped gauge
vllm:num_requests_swapped{server="http://10.0.0.1:8000"} 0
vllm:num_requests_swapped{server="http://10.0.0.2:8000"} 0
# HELP vllm:gpu_prefix_cache_hit_rate Hits of the engine's prefix cache by queries, 0 to 1.
# TYPE vllm:gpu_prefix_cache_hit_rate gauge
vllm:gpu_prefix_cache_hit_rate{server="http://10.0.0.1:8000"} 0.25
# HELP vllm:gpu_prefix_cache_hits_total Hits of the engine's prefix cache, in tokens.
# TYPE vllm:gpu_prefix_cache_hits_total gauge
vllm:gpu_prefix_cache_hits_total{server="http://10.0.0.1:8000"} 2
# HELP vllm:gpu_prefix_cache_queries_total Queries of the engine's prefix cache, in tokens.
# TYPE vllm:gpu_prefix_cache_queries_total gauge
vllm:gpu_prefix_cache_queries_total{server="http://10.0.0.1:8000"} 8
# HELP vllm:num_incoming_requests_total Requests for a model, also where no engine was there to serve them.
# TYPE vllm:num_incoming_requests_total counter
vllm:num_incoming_requests_total{model="m"} 3
# HELP vllm:input_tokens_total Input tokens, as engines report them.
# TYPE vllm:input_tokens_total counter
vllm:input_tokens_total{server="http://10.0.0.1:8000",model="m"} 10
# HELP vllm:output_tokens_total Output tokens, as engines report them.
# TYPE vllm:output_tokens_total counter
vllm:output_tokens_total{server="http://10.0.0.1:8000",model="m"} 11
# HELP vllm:request_errors_total Requests that an engine failed to serve, by what went wrong.
# TYPE vllm:request_errors_total counter
vllm:request_errors_total{server="http://10.0.0.1:8000",model="m",error_type="failed"} 1
# HELP vllm:request_latency_seconds Duration of requests, without those that clients left.
# TYPE vllm:request_latency_seconds histogram
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="success",le="0.05"} 0
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="success",le="0.1"} 0
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="success",le="0.25"} 0
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="success",le="0.5"} 0
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="success",le="1.0"} 0
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="success",le="2.5"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="success",le="5.0"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="success",le="10.0"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="success",le="30.0"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="success",le="60.0"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="success",le="120.0"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="success",le="+Inf"} 1
vllm:request_latency_seconds_count{server="http://10.0.0.1:8000",model="m",status="success"} 1
vllm:request_latency_seconds_sum{server="http://10.0.0.1:8000",model="m",status="success"} 1.1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="error",le="0.05"} 0
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="error",le="0.1"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="error",le="0.25"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="error",le="0.5"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="error",le="1.0"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="error",le="2.5"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="error",le="5.0"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="error",le="10.0"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="error",le="30.0"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="error",le="60.0"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="error",le="120.0"} 1
vllm:request_latency_seconds_bucket{server="http://10.0.0.1:8000",model="m",status="error",le="+Inf"} 1
vllm:request_latency_seconds_count{server="http://10.0.0.1:8000",model="m",status="error"} 1
vllm:request_latency_seconds_sum{server="http://10.0.0.1:8000",model="m",status="error"} 0.07
# HELP router_cpu_usage_percent The machine's busy CPU time since the page before.
# TYPE router_cpu_usage_percent gauge
router_cpu_usage_percent 12.5
# HELP router_memory_usage_percent The machine's memory that is in use.
# TYPE router_memory_usage_percent gauge
router_memory_usage_percent 50
# HELP router_disk_usage_percent The root file system that is in use.
# TYPE router_disk_usage_percent gauge
`,
    );
  });

  it('drops every series of an endpoint that left, and what still ends there', async () => {
    request(a, { ...completed(100, 2), model: 'm' });
    request(b, completed(100, 2));
    endpoints = [a];
    request(b, { outcome: 'failed', durationMs: 1 });
    expect(await metrics.page()).not.toContain(b.url);
    expect(await samples('vllm:input_tokens_total')).toEqual([
      `vllm:input_tokens_total{server="${a.url}",model="m"} 10`,
    ]);
    endpoints = [a, anEndpoint(2)];
    expect(await samples('vllm:current_qps')).toContain(`vllm:current_qps{server="${b.url}"} 0`);
    expect(await samples('vllm:output_tokens_total')).toHaveLength(1);
  });

  it('credits who served', async () => {
    request(a, { ...completed(100, 2), servedBy: b.id });
    expect(await samples('vllm:output_tokens_total')).toEqual([
      `vllm:output_tokens_total{server="${b.url}",model="m"} 2`,
    ]);
  });

  it.each<[string, Partial<ExchangeRecord>, readonly string[], string | undefined]>([
    ['a whole response', { outcome: 'completed', status: 200 }, [], 'success'],
    ["the client's fault", { outcome: 'completed', status: 400 }, [], 'success'],
    ["the engine's fault", { outcome: 'completed', status: 500 }, ['http_5xx'], 'error'],
    ['no whole response', { outcome: 'failed', status: 200 }, ['failed'], 'error'],
    ['no response that anybody knows of', { outcome: 'unknown', status: 0 }, ['failed'], 'error'],
    ['a response that Envoy let pass', { outcome: 'unknown', status: 200 }, [], 'success'],
    ['a bug of ours', { outcome: 'rejected', status: 500, reason: 'internal' }, ['internal'], 'error'],
    ['a client that left', { outcome: 'aborted', status: 200 }, [], undefined],
  ])('tells success from error: %s', async (_, known, errorTypes, status) => {
    request(a, known);
    const labels = `server="${a.url}",model="m"`;
    expect(await samples('vllm:request_errors_total')).toEqual(
      errorTypes.map((type) => `vllm:request_errors_total{${labels},error_type="${type}"} 1`),
    );
    expect(await samples('vllm:request_latency_seconds_count')).toEqual(
      status === undefined ? [] : [`vllm:request_latency_seconds_count{${labels},status="${status}"} 1`],
    );
  });

  it('names models as engines are asked for them', async () => {
    request(a, { ...completed(100, 2), model: 'alias', servedModel: 'm' });
    refuse({ model: 'alias', servedModel: 'm', modelKnown: true });
    expect(await samples('vllm:output_tokens_total')).toEqual([
      `vllm:output_tokens_total{server="${a.url}",model="m"} 2`,
    ]);
  });

  it('makes no label of a model that nobody serves, and a bounded number of others', async () => {
    refuse({ model: 'evil', reason: 'model-not-found' });
    refuse({ model: 'evil too', reason: 'model-not-found' });
    for (const model of ['m', 'n', 'o', 'p', 'm']) request(a, { ...completed(100), model });
    expect(await samples('vllm:num_incoming_requests_total')).toEqual([
      'vllm:num_incoming_requests_total{model="unknown"} 2',
      'vllm:num_incoming_requests_total{model="m"} 2',
      'vllm:num_incoming_requests_total{model="n"} 1',
      'vllm:num_incoming_requests_total{model="other"} 2',
    ]);
  });

  it('counts requests for a model whose engines are all gone, so that somebody starts one', async () => {
    refuse({ model: 'm', reason: 'no-endpoint-eligible' });
    [endpoints, servedModels] = [[], new Set()];
    refuse({ model: 'm', reason: 'model-not-found' });
    expect(await samples('vllm:num_incoming_requests_total')).toEqual([
      'vllm:num_incoming_requests_total{model="m"} 2',
    ]);
  });

  it.each<[string, Partial<ExchangeRecord>]>([
    ['without a model', { model: undefined, outcome: 'local' }],
    ['of callers who may not', { reason: 'forbidden' }],
  ])('counts no requests %s', async (_, known) => {
    refuse(known);
    expect(await samples('vllm:num_incoming_requests_total')).toEqual([]);
  });

  it('counts what an allowed path served under unknown', async () => {
    const record = routedRecord([a], { model: undefined, modelKnown: false, outcome: 'failed' });
    metrics.routed(record);
    metrics.ended(record);
    expect(await samples('vllm:num_incoming_requests_total')).toEqual([]);
    expect(await samples('vllm:request_errors_total')).toEqual([
      `vllm:request_errors_total{server="${a.url}",model="unknown",error_type="failed"} 1`,
    ]);
  });

  it('update() switches it off, and on from 0', async () => {
    request(a, completed(100, 2));
    metrics.update({ vllmNames: true });
    expect(await samples('vllm:output_tokens_total')).toHaveLength(1);
    metrics.update({ vllmNames: false });
    request(a, completed(100, 2));
    expect(await metrics.page()).toBe('');
    metrics.update({ vllmNames: true });
    expect(await samples('vllm:output_tokens_total')).toEqual([]);
    expect(await samples('vllm:current_qps')).toHaveLength(2);
  });
});
