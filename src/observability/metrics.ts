/** Every metric of the product in one table, and the calls that move them. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Endpoint } from '../endpoints/endpoint.ts';
import type { EndpointStore } from '../endpoints/endpoint-store.ts';
import type { Clock } from '../lib/clock.ts';
import { boundedLabel } from './bounded-label.ts';
import { registerEndpointMetrics } from './endpoint-metrics.ts';
import { registerProcessMetrics } from './process-metrics.ts';

const prefix = 'sluice_';

const exchangeBuckets = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const ttftBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const decisionBuckets = [10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 5e-3, 25e-3];
const scrapeBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const ratioBuckets = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1];

/**
 * The table: series of endpoints and of the process are in files of their own, since they are read when somebody asks.
 * Labels besides `model` come from closed lists.
 */
function createTable(registry: Registry) {
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Counter({ name: prefix + name, help, labelNames, registers });
  const gauge = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Gauge({ name: prefix + name, help, labelNames, registers });
  const histogram = <L extends string>(name: string, help: string, buckets: number[], ...labelNames: L[]) =>
    new Histogram({ name: prefix + name, help, buckets, labelNames, registers });
  return {
    exchanges: counter(
      'exchanges_total',
      'Ended exchanges, by status and by reason.',
      'model',
      'code',
      'reason',
    ),
    exchangeDuration: histogram(
      'exchange_duration_seconds',
      'From the head of the request to the end of the exchange.',
      exchangeBuckets,
      'model',
    ),
    exchangesActive: gauge('exchanges_active', 'Exchanges that have begun and not ended.'),
    ttft: histogram('request_ttft_seconds', 'From the decision to the first token.', ttftBuckets, 'model'),
    tokens: counter(
      'tokens_total',
      'Tokens as engines report them: input, cached input, output.',
      'model',
      'type',
    ),
    decisions: counter('decisions_total', 'Scheduling decisions, by what came of them.', 'model', 'result'),
    decisionDuration: histogram('decision_duration_seconds', 'Filters, scorers and picker.', decisionBuckets),
    rejections: counter('rejections_total', 'Requests that Sluice refused, by reason.', 'reason'),
    retries: counter('exchange_retries_total', 'Attempts after the first one of an exchange.'),
    scrapes: counter('scrapes_total', "Calls of engines' metrics pages, by what came of them.", 'result'),
    scrapeDuration: histogram('scrape_duration_seconds', 'Time for one metrics page.', scrapeBuckets),
    prefixMatch: histogram(
      'prefix_cache_match_ratio',
      'Share of the prompt that the chosen endpoint is believed to have cached.',
      ratioBuckets,
    ),
    accessLogEntries: counter(
      'access_log_entries_total',
      "Envoy's access log: entries matched to exchanges or not, and entries that did not come.",
      'result',
    ),
    usageSource: counter('usage_source_total', 'Where the token counts of an exchange came from.', 'source'),
    streamsActive: gauge('extproc_streams_active', 'Open ext_proc streams.'),
    configLoads: counter('config_loads_total', 'Configurations read, by what came of them.', 'result'),
    buildInfo: gauge('build_info', 'Always 1; the version is in the label.', 'version'),
  };
}

export type TokenType = 'input' | 'cached' | 'output';

/** The series of one model, looked up once. */
export interface ModelMetrics {
  /** Once per exchange, at its end. `code` is the HTTP status, 0 where there was none. */
  exchangeEnded(code: number, reason: string, seconds: number): void;
  firstToken(seconds: number): void;
  tokens(type: TokenType, count: number): void;
  decided(result: string): void;
}

/** What is known about the prefix index when somebody asks. */
export interface PrefixIndexFigures {
  readonly entries: number;
  /** Since the index was made. */
  readonly evictions: number;
}

export interface Metrics {
  /** For `/metrics`. */
  readonly contentType: string;
  render(): Promise<string>;
  /**
   * The series of a model. Give only names that some endpoint serves, and `unknown` for everything else; beyond the cap
   * all models share `other`. Cheap, but keep the result for the length of an exchange.
   */
  model(name: string): ModelMetrics;
  /** Every call is followed by exactly one `model(…).exchangeEnded(…)`. */
  exchangeStarted(): void;
  decisionTook(seconds: number): void;
  rejected(reason: string): void;
  /** How many attempts an exchange needed beyond the first. */
  retried(attempts: number): void;
  endpointServed(endpoint: Endpoint, result: string): void;
  scraped(result: string, seconds: number): void;
  prefixMatched(ratio: number): void;
  accessLogEntry(result: 'matched' | 'unmatched' | 'missed'): void;
  usageFrom(source: string): void;
  streamOpened(): void;
  streamClosed(): void;
  configLoaded(result: 'applied' | 'refused'): void;
  /** Reads the index's figures from now on; a later call replaces an earlier one. */
  watchPrefixIndex(read: () => PrefixIndexFigures): void;
  /** Ends the measuring of the event loop. */
  stop(): void;
}

export interface MetricsDeps {
  readonly store: Pick<EndpointStore, 'snapshot'>;
  readonly clock: Clock;
  readonly version: string;
  /** Default 100. */
  readonly maxModelLabels?: number;
}

/** Creates all metrics on a registry of their own. */
export function createMetrics({ store, clock, version, maxModelLabels = 100 }: MetricsDeps): Metrics {
  const registry = new Registry();
  const table = createTable(registry);
  table.buildInfo.set({ version }, 1);
  const endpointServed = registerEndpointMetrics({ registry, prefix, store, clock });
  const watchPrefixIndex = registerPrefixIndexMetrics(registry);
  const stop = registerProcessMetrics(registry, prefix);
  const modelLabel = boundedLabel(maxModelLabels);
  const models = new Map<string, ModelMetrics>();

  function modelMetrics(label: string): ModelMetrics {
    const duration = table.exchangeDuration.labels(label);
    const ttft = table.ttft.labels(label);
    const tokens = {
      input: table.tokens.labels(label, 'input'),
      cached: table.tokens.labels(label, 'cached'),
      output: table.tokens.labels(label, 'output'),
    };
    return {
      exchangeEnded(code, reason, seconds) {
        table.exchangesActive.dec();
        table.exchanges.inc({ model: label, code, reason });
        duration.observe(seconds);
      },
      firstToken: (seconds) => ttft.observe(seconds),
      tokens: (type, count) => tokens[type].inc(count),
      decided: (result) => table.decisions.inc({ model: label, result }),
    };
  }

  return {
    contentType: registry.contentType,
    render: () => registry.metrics(),
    model(name) {
      const label = modelLabel(name);
      let found = models.get(label);
      if (found === undefined) models.set(label, (found = modelMetrics(label)));
      return found;
    },
    exchangeStarted: () => table.exchangesActive.inc(),
    decisionTook: (seconds) => table.decisionDuration.observe(seconds),
    rejected: (reason) => table.rejections.inc({ reason }),
    retried: (attempts) => table.retries.inc(attempts),
    endpointServed,
    scraped(result, seconds) {
      table.scrapes.inc({ result });
      table.scrapeDuration.observe(seconds);
    },
    prefixMatched: (ratio) => table.prefixMatch.observe(ratio),
    accessLogEntry: (result) => table.accessLogEntries.inc({ result }),
    usageFrom: (source) => table.usageSource.inc({ source }),
    streamOpened: () => table.streamsActive.inc(),
    streamClosed: () => table.streamsActive.dec(),
    configLoaded: (result) => table.configLoads.inc({ result }),
    watchPrefixIndex,
    stop,
  };
}

function registerPrefixIndexMetrics(registry: Registry): (read: () => PrefixIndexFigures) => void {
  let read: (() => PrefixIndexFigures) | undefined;
  const registers = [registry];
  new Gauge({
    name: `${prefix}prefix_index_entries`,
    help: 'Blocks in the prefix index.',
    registers,
    collect() {
      this.set(read?.().entries ?? 0);
    },
  });
  new Counter({
    name: `${prefix}prefix_index_evictions_total`,
    help: 'Blocks that the prefix index dropped to stay within its bound.',
    registers,
    collect() {
      this.reset();
      this.inc(read?.().evictions ?? 0);
    },
  });
  return (next) => {
    read = next;
  };
}
