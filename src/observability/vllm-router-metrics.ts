/** The metrics of vllm-router under its names: what autoscalers and dashboards that were made for it read. */
import type { Endpoint, EndpointSnapshot, PrefixCacheTotals } from '../endpoints/endpoint.ts';
import type { ExchangeRecord } from '../request/exchange-record.ts';
import { servingEndpoint } from '../request/serving-endpoint.ts';
import { exposition, type Family, type Labels, type Sample } from './exposition.ts';
import type { MachineUsage } from './machine-usage.ts';
import { ModelCounts } from './model-counts.ts';
import type { RequestStats } from './request-stats.ts';
import { gaugeFamilies } from './vllm-router-gauges.ts';

export interface VllmRouterMetricsDeps {
  readonly snapshot: () => EndpointSnapshot;
  readonly stats: Pick<RequestStats, 'of'>;
  readonly usage: MachineUsage;
  /** What the engine says of its prefix cache; undefined where it says nothing. Absent: nobody asks it. */
  readonly prefixCache?: (endpoint: Endpoint) => PrefixCacheTotals | undefined;
  /** Default 100. */
  readonly maxModelLabels?: number;
}

export interface VllmRouterMetricsOptions {
  /** Whether there are any. */
  readonly vllmNames: boolean;
}

export interface VllmRouterMetrics {
  /** The exchange was sent to an endpoint. */
  routed(record: ExchangeRecord): void;
  /** The exchange is over, routed or not. Call once. */
  ended(record: ExchangeRecord): void;
  /** Whole lines in Prometheus' text format; none while switched off. Never rejects. */
  page(): Promise<string>;
  /** Switched off, all counts are forgotten. */
  update(options: VllmRouterMetricsOptions): void;
}

/** The label of models that nobody serves, and of requests without one. */
const unknownModel = 'unknown';
/** The label of all models beyond the cap. */
const otherModels = 'other';

interface Counts {
  /** Requests, by model. */
  readonly incoming: Map<string, number>;
  /** By endpoint and model. What is known of an endpoint lives and dies with its record. */
  readonly served: WeakMap<Endpoint, Map<string, ModelCounts>>;
}

/**
 * Creates the metrics. Their series are of the endpoints in the store when the page is asked for. Models appear by the
 * name that engines are asked for; only names that some endpoint served or that are configured do, up to a cap.
 */
export function createVllmRouterMetrics(
  deps: VllmRouterMetricsDeps,
  options: VllmRouterMetricsOptions,
): VllmRouterMetrics {
  const { snapshot, maxModelLabels = 100 } = deps;
  const models = new Set<string>();
  let counts = options.vllmNames ? noCounts() : undefined;

  /** Once a label, always one: requests for a model without engines are counted under its name. */
  function modelLabel({ model, servedModel = model, modelKnown }: ExchangeRecord): string {
    if (servedModel === undefined) return unknownModel;
    if (models.has(servedModel)) return servedModel;
    if (!modelKnown && !snapshot().models.has(servedModel)) return unknownModel;
    if (models.size >= maxModelLabels) return otherModels;
    models.add(servedModel);
    return servedModel;
  }

  function countIncoming({ incoming }: Counts, record: ExchangeRecord): void {
    const model = modelLabel(record);
    incoming.set(model, (incoming.get(model) ?? 0) + 1);
  }

  return {
    routed(record) {
      if (counts !== undefined && record.model !== undefined) countIncoming(counts, record);
    },

    ended(record) {
      if (counts === undefined) return;
      if (record.decision !== undefined) {
        const server =
          servingEndpoint(record.servedBy, record.decision, snapshot()) ?? record.decision.ranked[0];
        modelCounts(counts, server, modelLabel(record)).add(record);
      } else if (record.model !== undefined && record.reason !== 'forbidden') {
        // Nobody was there to serve it: whoever scales up from nothing waits for just this.
        countIncoming(counts, record);
      }
    },

    async page() {
      if (counts === undefined) return '';
      const { endpoints } = snapshot();
      const readings = endpoints.map((endpoint) => ({
        endpoint,
        stats: deps.stats.of(endpoint),
        prefixCache: deps.prefixCache?.(endpoint),
      }));
      const families = [...gaugeFamilies(readings), ...countFamilies(counts, endpoints)];
      return exposition([...families, ...(await machineFamilies(deps.usage))]);
    },

    update({ vllmNames }) {
      counts = vllmNames ? (counts ?? noCounts()) : undefined;
    },
  };
}

function noCounts(): Counts {
  return { incoming: new Map(), served: new WeakMap() };
}

function modelCounts({ served }: Counts, endpoint: Endpoint, model: string): ModelCounts {
  let byModel = served.get(endpoint);
  if (byModel === undefined) served.set(endpoint, (byModel = new Map<string, ModelCounts>()));
  let counts = byModel.get(model);
  if (counts === undefined) byModel.set(model, (counts = new ModelCounts()));
  return counts;
}

function countFamilies({ incoming, served }: Counts, endpoints: readonly Endpoint[]): readonly Family[] {
  const samples = (read: (counts: ModelCounts, labels: Labels) => readonly Sample[]): readonly Sample[] =>
    endpoints.flatMap((endpoint) =>
      [...(served.get(endpoint) ?? [])].flatMap(([model, counts]) =>
        read(counts, { server: endpoint.url, model }),
      ),
    );
  return [
    {
      name: 'vllm:num_incoming_requests_total',
      type: 'counter',
      help: 'Requests for a model, also where no engine was there to serve them.',
      samples: [...incoming].map(([model, value]) => ({ labels: { model }, value })),
    },
    {
      name: 'vllm:input_tokens_total',
      type: 'counter',
      help: 'Input tokens, as engines report them.',
      samples: samples(({ inputTokens }, labels) => [{ labels, value: inputTokens }]),
    },
    {
      name: 'vllm:output_tokens_total',
      type: 'counter',
      help: 'Output tokens, as engines report them.',
      samples: samples(({ outputTokens }, labels) => [{ labels, value: outputTokens }]),
    },
    {
      name: 'vllm:request_errors_total',
      type: 'counter',
      help: 'Requests that an engine failed to serve, by what went wrong.',
      samples: samples(({ errors }, labels) =>
        [...errors].map(([type, value]) => ({ labels: { ...labels, error_type: type }, value })),
      ),
    },
    {
      name: 'vllm:request_latency_seconds',
      type: 'histogram',
      help: 'Duration of requests, without those that clients left.',
      samples: samples(({ success, error }, labels) => [
        ...success.samples({ ...labels, status: 'success' }),
        ...error.samples({ ...labels, status: 'error' }),
      ]),
    },
  ];
}

async function machineFamilies(usage: MachineUsage): Promise<readonly Family[]> {
  const [cpu, disk] = await Promise.all([usage.cpuPercent(), usage.diskPercent()]);
  const gauge = (name: string, help: string, value: number | undefined): Family => ({
    name,
    type: 'gauge',
    help,
    samples: value === undefined ? [] : [{ labels: {}, value }],
  });
  return [
    gauge('router_cpu_usage_percent', "The machine's busy CPU time since the page before.", cpu),
    gauge('router_memory_usage_percent', "The machine's memory that is in use.", usage.memoryPercent()),
    gauge('router_disk_usage_percent', 'The root file system that is in use.', disk),
  ];
}
