/** The statistics of all endpoints in the log, as vllm-router writes them. */
import type { Endpoint, EndpointSnapshot, PrefixCacheTotals } from '../endpoints/endpoint.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import type { Logger } from './log.ts';
import { hitRate } from './prefix-cache-totals.ts';
import type { EndpointStats, RequestStats } from './request-stats.ts';

export interface StatsReportDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly snapshot: () => EndpointSnapshot;
  readonly stats: Pick<RequestStats, 'of' | 'uptimeMs'>;
  /** What the engine says of its prefix cache; undefined where it says nothing. Absent: nobody asks it. */
  readonly prefixCache?: (endpoint: Endpoint) => PrefixCacheTotals | undefined;
}

export interface StatsReportOptions {
  /** How often, in milliseconds; 0 is never. */
  readonly logIntervalMs: number;
}

export interface StatsReport {
  start(): void;
  /** Another interval begins now; the same one goes on. */
  update(options: StatsReportOptions): void;
  stop(): void;
}

/** One endpoint as the record has it; what is not known is left out. */
interface ServerReport {
  readonly server: string;
  readonly models: readonly string[];
  /** Undefined where nothing was scraped that is young enough to believe. */
  readonly engine:
    | {
        readonly running: number | undefined;
        readonly waiting: number | undefined;
        readonly prefixCacheHitRate: number | undefined;
      }
    | undefined;
  /** Undefined where no request was sent there. */
  readonly requests: (EndpointStats & { readonly uptimeMs: number }) | undefined;
}

/** Creates a report that is not started. Each one is a record of level info: its message is the block, line by line. */
export function createStatsReport(deps: StatsReportDeps, options: StatsReportOptions): StatsReport {
  const { clock, log } = deps;
  let { logIntervalMs } = options;
  let started = false;
  let timer: Timer | undefined;

  function schedule(): void {
    timer?.cancel();
    timer = started && logIntervalMs > 0 ? clock.after(logIntervalMs, report) : undefined;
  }

  function report(): void {
    schedule();
    if (!log.isLevelEnabled('info')) return;
    const servers = deps.snapshot().endpoints.map((endpoint) => serverReport(endpoint, deps));
    log.info({ servers }, block(servers));
  }

  return {
    start() {
      started = true;
      schedule();
    },
    update(next) {
      if (next.logIntervalMs === logIntervalMs) return;
      logIntervalMs = next.logIntervalMs;
      schedule();
    },
    stop() {
      started = false;
      schedule();
    },
  };
}

function serverReport(endpoint: Endpoint, { stats, prefixCache }: StatsReportDeps): ServerReport {
  const { metrics } = endpoint;
  const requests = stats.of(endpoint);
  return {
    server: endpoint.url,
    models: modelNames(endpoint),
    engine: metrics && {
      running: metrics.running,
      waiting: metrics.waiting,
      prefixCacheHitRate: hitRate(prefixCache?.(endpoint)),
    },
    requests: requests && { ...requests, uptimeMs: stats.uptimeMs() },
  };
}

/** As the engine lists them, or else as the operator does; adapters say whose they are. */
function modelNames({ listedModels, configuredModels }: Endpoint): readonly string[] {
  if (listedModels === undefined || listedModels.size === 0) return configuredModels;
  return [...listedModels.values()].map(({ id, parent }) =>
    parent === undefined ? id : `${id} (adapter for ${parent})`,
  );
}

const width = 50;

/** It begins with an empty line, as vllm-router's does. */
function block(servers: readonly ServerReport[]): string {
  const lines = servers.flatMap(({ server, models, engine, requests }) => [
    `Server: ${server}`,
    ...(models.length === 0 ? ['Models: No model information available'] : ['Models:']),
    ...models.map((model) => `  - ${model.replaceAll(/\p{Cc}/gu, ' ')}`),
    ` Engine Stats: ${engineText(engine)}`,
    ` Request Stats: ${requestsText(requests)}`,
    '-'.repeat(width),
  ]);
  return ['', '='.repeat(width), ...lines, '='.repeat(width)].join('\n');
}

const noStats = 'No stats available';

function engineText(engine: ServerReport['engine']): string {
  if (engine === undefined) return noStats;
  const { running = 0, waiting = 0, prefixCacheHitRate = 0 } = engine;
  return [
    `Running Requests: ${running.toFixed(1)}`,
    `Queued Requests: ${waiting.toFixed(1)}`,
    `GPU Cache Hit Rate: ${prefixCacheHitRate.toFixed(2)}`,
  ].join(', ');
}

/** Where vllm-router knows nothing it says -1, and so does this. */
function requestsText(requests: ServerReport['requests']): string {
  if (requests === undefined) return noStats;
  const { qps, latencyMs, itlMs, inPrefill, inDecoding, finished, uptimeMs } = requests;
  return [
    `QPS: ${qps.toFixed(2)}`,
    `Avg Latency: ${latencyMs === undefined ? '-1.00' : (latencyMs / 1000).toFixed(2)}`,
    `Avg ITL: ${itlMs === undefined ? '-1' : (itlMs / 1000).toFixed(4)}`,
    `Prefill Requests: ${inPrefill}`,
    `Decoding Requests: ${inDecoding}`,
    'Swapped Requests: 0',
    `Finished: ${finished}`,
    `Uptime: ${(uptimeMs / 1000).toFixed(2)} sec`,
  ].join(', ');
}
