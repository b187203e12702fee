/** One series per living endpoint, read from the store when somebody asks: removed endpoints vanish by themselves. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Endpoint } from '../endpoints/endpoint.ts';
import type { EndpointStore } from '../endpoints/endpoint-store.ts';
import type { Clock } from '../lib/clock.ts';

export interface EndpointMetricsDeps {
  readonly registry: Registry;
  readonly prefix: string;
  readonly store: Pick<EndpointStore, 'snapshot'>;
  readonly clock: Clock;
}

type Read = (endpoint: Endpoint, nowMs: number) => number | undefined;

/** Name, help, and how it is read; undefined means no series: unknown is not zero. */
const gauges: readonly (readonly [name: string, help: string, read: Read])[] = [
  ['up', '1 where the endpoint is healthy, 0 where it is unhealthy or was not heard of yet.', isUp],
  ['in_flight', 'Exchanges routed there by this process and not ended.', (endpoint) => endpoint.inFlight],
  ['metrics_age_seconds', 'Age of the scraped metrics that decisions use.', ageSeconds],
  [
    'kv_cache_usage',
    'Share of KV cache blocks in use, 0 to 1, as scraped.',
    (endpoint) => endpoint.metrics?.kvCacheUsage,
  ],
  ['waiting', "Requests in the engine's queue, as scraped.", (endpoint) => endpoint.metrics?.waiting],
  ['running', 'Requests the engine works on, as scraped.', (endpoint) => endpoint.metrics?.running],
];

/** Registers the series of endpoints; the result counts one answered or failed request of an endpoint. */
export function registerEndpointMetrics(
  deps: EndpointMetricsDeps,
): (endpoint: Endpoint, result: string) => void {
  const { registry, prefix, store, clock } = deps;
  const registers = [registry];
  for (const [name, help, read] of gauges) {
    new Gauge({
      name: `${prefix}endpoint_${name}`,
      help,
      labelNames: ['endpoint'],
      registers,
      collect() {
        this.reset();
        const nowMs = clock.nowMs();
        for (const endpoint of store.snapshot.endpoints) {
          const value = read(endpoint, nowMs);
          if (value !== undefined) this.set({ endpoint: endpoint.id }, value);
        }
      },
    });
  }
  // Counts live and die with the endpoint's record.
  const counts = new WeakMap<Endpoint, Map<string, number>>();
  new Counter({
    name: `${prefix}endpoint_requests_total`,
    help: 'Exchanges that an endpoint served, by how they ended.',
    labelNames: ['endpoint', 'result'],
    registers,
    collect() {
      this.reset();
      for (const endpoint of store.snapshot.endpoints) {
        for (const [result, count] of counts.get(endpoint) ?? [])
          this.inc({ endpoint: endpoint.id, result }, count);
      }
    },
  });
  return (endpoint, result) => {
    const results = counts.get(endpoint) ?? new Map<string, number>();
    results.set(result, (results.get(result) ?? 0) + 1);
    counts.set(endpoint, results);
  };
}

function isUp(endpoint: Endpoint): number {
  return endpoint.health.kind === 'healthy' ? 1 : 0;
}

function ageSeconds({ metrics }: Endpoint, nowMs: number): number | undefined {
  return metrics === undefined ? undefined : (nowMs - metrics.takenAtMs) / 1000;
}
