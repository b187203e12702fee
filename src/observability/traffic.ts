/** What vllm-router tells of its traffic: statistics, metrics under its names, and lines of log. Only where it is asked to. */
import type { Endpoint, EndpointSnapshot, PrefixCacheTotals } from '../endpoints/endpoint.ts';
import type { Clock } from '../lib/clock.ts';
import type { ExchangeRecord } from '../request/exchange-record.ts';
import type { Logger } from './log.ts';
import { createMachineUsage, thisMachine } from './machine-usage.ts';
import { createRequestStats } from './request-stats.ts';
import { routingLine } from './routing-line.ts';
import { createStatsReport } from './stats-report.ts';
import { createVllmRouterMetrics } from './vllm-router-metrics.ts';

export interface TrafficDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly snapshot: () => EndpointSnapshot;
}

export interface TrafficOptions {
  /** Span over which rates and means are taken. */
  readonly windowMs: number;
  /** How often statistics are logged; 0 is never. */
  readonly logIntervalMs: number;
  /** Whether each decision is logged in vllm-router's words. */
  readonly routingLog: boolean;
  /** Whether `page` has metrics under vllm-router's names. */
  readonly vllmNames: boolean;
}

export interface Traffic {
  /** The exchange was sent to the endpoint. Call in the tick of the decision. */
  routed(record: ExchangeRecord, endpoint: Endpoint, sessionKey: string | undefined): void;
  /** The head of the response came. */
  responded(record: ExchangeRecord): void;
  /** The exchange is over, routed or not. */
  ended(record: ExchangeRecord): void;
  /** Whole lines in Prometheus' text format. */
  page(): Promise<string>;
  start(): void;
  update(options: TrafficOptions): void;
  stop(): void;
}

const prefixCache = ({ metrics }: Endpoint): PrefixCacheTotals | undefined => metrics?.prefixCache;

/** Creates it, not yet started. Where nothing of it is asked for, an exchange costs a few comparisons. */
export function createTraffic({ clock, log, snapshot }: TrafficDeps, initial: TrafficOptions): Traffic {
  let options = initial;
  const stats = createRequestStats({ clock, snapshot }, initial);
  const metrics = createVllmRouterMetrics(
    { snapshot, stats, usage: createMachineUsage(thisMachine), prefixCache },
    initial,
  );
  const report = createStatsReport({ clock, log, snapshot, stats, prefixCache }, initial);
  const isCounted = (): boolean => options.logIntervalMs > 0 || options.vllmNames;

  return {
    routed(record, endpoint, sessionKey) {
      if (isCounted()) {
        stats.routed(record, endpoint);
        metrics.routed(record);
      }
      if (options.routingLog && log.isLevelEnabled('info')) {
        const processSeconds = (clock.nowMs() - record.startedAtMs) / 1000;
        log.info(routingLine(record, endpoint, sessionKey, clock.epochMs() / 1000, processSeconds));
      }
    },
    // Of exchanges that were counted at their beginning, even if nobody asks any more.
    responded: (record) => stats.responded(record),
    ended(record) {
      stats.ended(record);
      metrics.ended(record);
    },
    page: () => metrics.page(),
    start: () => report.start(),
    update(next) {
      options = next;
      stats.update(next);
      metrics.update(next);
      report.update(next);
    },
    stop: () => report.stop(),
  };
}
