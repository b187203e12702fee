/** The gauges of vllm-router: how each endpoint is doing now. */
import type { Endpoint, PrefixCacheTotals } from '../endpoints/endpoint.ts';
import type { Family } from './exposition.ts';
import { hitRate } from './prefix-cache-totals.ts';
import type { EndpointStats } from './request-stats.ts';

/** All that is known of an endpoint when somebody asks. */
export interface EndpointReading {
  readonly endpoint: Endpoint;
  /** Undefined where no request was sent there. */
  readonly stats: EndpointStats | undefined;
  /** Undefined where the engine says nothing of it. */
  readonly prefixCache: PrefixCacheTotals | undefined;
}

type Gauge = readonly [name: string, help: string, read: (reading: EndpointReading) => number | undefined];

/**
 * Undefined means no series: unknown is not zero. `healthy_pods_total` is 0 where the endpoint is not healthy, so that
 * the sum over all is 0 when all are down: nothing at all would leave an autoscaler without a value.
 */
const gauges: readonly Gauge[] = [
  [
    'num_requests_running',
    'Requests that this router sent to the engine and that have not ended.',
    ({ stats }) => (stats?.inPrefill ?? 0) + (stats?.inDecoding ?? 0),
  ],
  [
    'num_requests_waiting',
    "Requests in the engine's queue, as the engine says.",
    ({ endpoint }) => endpoint.metrics?.waiting,
  ],
  [
    'current_qps',
    'Requests per second that this router sent to the engine lately.',
    ({ stats }) => stats?.qps ?? 0,
  ],
  ['avg_decoding_length', 'Mean number of output tokens lately.', ({ stats }) => stats?.decodingLength],
  [
    'num_prefill_requests',
    'Requests at the engine that have no response yet.',
    ({ stats }) => stats?.inPrefill ?? 0,
  ],
  [
    'num_decoding_requests',
    'Requests at the engine whose response has begun.',
    ({ stats }) => stats?.inDecoding ?? 0,
  ],
  [
    'healthy_pods_total',
    '1 where the engine is healthy, 0 where it is not.',
    ({ endpoint }) => (endpoint.health.kind === 'healthy' ? 1 : 0),
  ],
  [
    'avg_latency',
    'Mean duration of requests that ended lately, in seconds.',
    ({ stats }) => seconds(stats?.latencyMs),
  ],
  ['avg_itl', 'Mean time between output tokens lately, in seconds.', ({ stats }) => seconds(stats?.itlMs)],
  ['num_requests_swapped', 'Always 0: engines of today do not swap requests.', () => 0],
  [
    'gpu_prefix_cache_hit_rate',
    "Hits of the engine's prefix cache by queries, 0 to 1.",
    ({ prefixCache }) => hitRate(prefixCache),
  ],
  [
    'gpu_prefix_cache_hits_total',
    "Hits of the engine's prefix cache, in tokens.",
    ({ prefixCache }) => prefixCache?.hits,
  ],
  [
    'gpu_prefix_cache_queries_total',
    "Queries of the engine's prefix cache, in tokens.",
    ({ prefixCache }) => prefixCache?.queries,
  ],
];

/** One series per endpoint, by its URL. */
export function gaugeFamilies(readings: readonly EndpointReading[]): readonly Family[] {
  return gauges.map(([name, help, read]) => ({
    name: `vllm:${name}`,
    type: 'gauge',
    help,
    samples: readings.flatMap((reading) => {
      const value = read(reading);
      return value === undefined ? [] : [{ labels: { server: reading.endpoint.url }, value }];
    }),
  }));
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000;
}
