/** Every metric of the product in one table, and the calls that move them. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Endpoint } from '../endpoints/endpoint.ts';
import type { EndpointStore } from '../endpoints/endpoint-store.ts';
import type { Clock } from '../lib/clock.ts';
import { boundedLabel } from './bounded-label.ts';
import { registerEndpointMetrics } from './endpoint-metrics.ts';
import { registerFairnessMetrics, type FairnessMetrics } from './fairness-metrics.ts';
import { registerKubernetesMetrics, type SourceFigures } from './kubernetes-metrics.ts';
import { registerProcessMetrics } from './process-metrics.ts';

const prefix = 'sluice_';

const exchangeBuckets = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const ttftBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const decisionBuckets = [10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 5e-3, 25e-3];
const scrapeBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/**
 * The table: series of endpoints, of queues, ledger and limits, and of the process are in files of their own, since they
 * are read when somebody asks.
 * Labels besides `model` and `served_model` come from closed lists. `served_model` is there where an alias or a rewrite
 * makes it another one.
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
      'served_model',
      'code',
      'reason',
    ),
    exchangeDuration: histogram(
      'exchange_duration_seconds',
      'From the head of the request to the end of the exchange.',
      exchangeBuckets,
      'model',
      'served_model',
    ),
    exchangesActive: gauge('exchanges_active', 'Exchanges that have begun and not ended.'),
    ttft: histogram(
      'request_ttft_seconds',
      'From the decision to the first token.',
      ttftBuckets,
      'model',
      'served_model',
    ),
    tokens: counter(
      'tokens_total',
      'Tokens as engines report them: input, cached input, output.',
      'model',
      'served_model',
      'type',
    ),
    decisions: counter(
      'decisions_total',
      'Scheduling decisions, by what came of them.',
      'model',
      'served_model',
      'result',
    ),
    decisionDuration: histogram('decision_duration_seconds', 'Filters, scorers and picker.', decisionBuckets),
    rejections: counter('rejections_total', 'Requests that Sluice refused, by reason.', 'reason'),
    retries: counter('exchange_retries_total', 'Attempts after the first one of an exchange.'),
    scrapes: counter('scrapes_total', "Calls of engines' metrics pages, by what came of them.", 'result'),
    scrapeDuration: histogram('scrape_duration_seconds', 'Time for one metrics page.', scrapeBuckets),
    accessLogEntries: counter(
      'access_log_entries_total',
      "Envoy's access log: entries matched to exchanges or not, and entries that did not come.",
      'result',
    ),
    usageSource: counter('usage_source_total', 'Where the token counts of an exchange came from.', 'source'),
    streamsActive: gauge('extproc_streams_active', 'Open ext_proc streams.'),
    authentications: counter(
      'authentications_total',
      'Callers, by what came of asking who they are.',
      'outcome',
    ),
    jwksFetches: counter(
      'jwks_fetches_total',
      "Fetches of issuers' keys, by what came of them.",
      'issuer',
      'result',
    ),
    configReloads: counter('config_reloads_total', 'New configurations, by what came of them.', 'result'),
    configLastReload: gauge(
      'config_last_reload_successful',
      '1 where the newest configuration is in effect, 0 where it was refused.',
    ),
    configLoadedAt: gauge(
      'config_last_reload_success_timestamp_seconds',
      'When the configuration in effect was read, in seconds since the Unix epoch.',
    ),
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

/** How full the bounded memory of a plugin is. */
export interface MemoryFigures {
  readonly entries: number;
  /** Since the plugin was made. */
  readonly evictions: number;
}

export interface Metrics extends FairnessMetrics {
  /** For `/metrics`. */
  readonly contentType: string;
  render(): Promise<string>;
  /**
   * The series of a model, or of a model that is served under another name. Give only names that some endpoint serves or
   * that are configured, and `unknown` for everything else; beyond the cap all models share `other`. Cheap, but keep the
   * result for the length of an exchange.
   */
  model(name: string, servedName?: string): ModelMetrics;
  /** Every call is followed by exactly one `model(…).exchangeEnded(…)`. */
  exchangeStarted(): void;
  decisionTook(seconds: number): void;
  rejected(reason: string): void;
  /** How many attempts an exchange needed beyond the first. */
  retried(attempts: number): void;
  endpointServed(endpoint: Endpoint, result: string): void;
  scraped(result: string, seconds: number): void;
  accessLogEntry(result: 'matched' | 'unmatched' | 'missed'): void;
  usageFrom(source: string): void;
  authenticated(outcome: string): void;
  /** Give only issuers that are configured. */
  keysFetched(issuer: string, result: string): void;
  /** The configuration that Sluice starts with counts as applied too. */
  configReloaded(result: 'applied' | 'refused'): void;
  streamOpened(): void;
  streamClosed(): void;
  /** Ends every page with what `more` returns: whole lines in the text format, of families that are not here. */
  append(more: () => Promise<string>): void;
  /** Reads the plugins' memory from now on, by plugin; a later call replaces an earlier one. */
  watchPluginMemory(read: () => Readonly<Record<string, MemoryFigures>>): void;
  /** Reads what is followed in Kubernetes from now on. */
  watchKubernetes(read: () => readonly SourceFigures[]): void;
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
  const watchPluginMemory = registerPluginMemory(registry);
  // With a bound of its own: queues are by the name that engines know, which may be nobody's model here.
  const fairness = registerFairnessMetrics({ registry, prefix, modelLabel: boundedLabel(maxModelLabels) });
  const watchKubernetes = registerKubernetesMetrics(registry, prefix);
  const stop = registerProcessMetrics(registry, prefix);
  const modelLabel = boundedLabel(maxModelLabels);
  const models = new Map<string, ModelMetrics>();
  const authentications = new Map<string, Counter.Internal>();
  const appended: (() => Promise<string>)[] = [];

  function modelMetrics(labels: ModelLabels): ModelMetrics {
    const duration = table.exchangeDuration.labels(labels);
    const ttft = table.ttft.labels(labels);
    const tokens = {
      input: table.tokens.labels({ ...labels, type: 'input' }),
      cached: table.tokens.labels({ ...labels, type: 'cached' }),
      output: table.tokens.labels({ ...labels, type: 'output' }),
    };
    return {
      exchangeEnded(code, reason, seconds) {
        table.exchangesActive.dec();
        table.exchanges.inc({ ...labels, code, reason });
        duration.observe(seconds);
      },
      firstToken: (seconds) => ttft.observe(seconds),
      tokens: (type, count) => tokens[type].inc(count),
      decided: (result) => table.decisions.inc({ ...labels, result }),
    };
  }

  return {
    ...fairness,
    contentType: registry.contentType,
    async render() {
      const parts = [registry.metrics(), ...appended.map((more) => more())];
      return (await Promise.all(parts)).join('');
    },
    model(name, servedName) {
      // The cap counts pairs, and names have no line ends.
      const pair = servedName === undefined ? name : `${name}\n${servedName}`;
      const label = modelLabel(pair);
      let found = models.get(label);
      if (found === undefined) {
        const renamed = servedName !== undefined && label === pair;
        found = modelMetrics(renamed ? { model: name, served_model: servedName } : { model: label });
        models.set(label, found);
      }
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
    accessLogEntry: (result) => table.accessLogEntries.inc({ result }),
    usageFrom: (source) => table.usageSource.inc({ source }),
    authenticated(outcome) {
      let counted = authentications.get(outcome);
      if (counted === undefined)
        authentications.set(outcome, (counted = table.authentications.labels(outcome)));
      counted.inc();
    },
    keysFetched: (issuer, result) => table.jwksFetches.inc({ issuer, result }),
    configReloaded(result) {
      table.configReloads.inc({ result });
      table.configLastReload.set(result === 'applied' ? 1 : 0);
      if (result === 'applied') table.configLoadedAt.set(clock.epochMs() / 1000);
    },
    streamOpened: () => table.streamsActive.inc(),
    streamClosed: () => table.streamsActive.dec(),
    append: (more) => void appended.push(more),
    watchPluginMemory,
    watchKubernetes,
    stop,
  };
}

type ModelLabels = { readonly model: string; readonly served_model?: string };

function registerPluginMemory(registry: Registry): Metrics['watchPluginMemory'] {
  let read: () => Readonly<Record<string, MemoryFigures>> = () => ({});
  const registers = [registry];
  const labelNames = ['plugin'] as const;
  new Gauge({
    name: `${prefix}plugin_memory_entries`,
    help: 'What a plugin remembers, e.g. blocks of prompts.',
    registers,
    labelNames,
    collect() {
      this.reset();
      for (const [plugin, { entries }] of Object.entries(read())) this.set({ plugin }, entries);
    },
  });
  new Counter({
    name: `${prefix}plugin_memory_evictions_total`,
    help: 'What a plugin forgot to stay within its bound.',
    registers,
    labelNames,
    collect() {
      this.reset();
      for (const [plugin, { evictions }] of Object.entries(read())) this.inc({ plugin }, evictions);
    },
  });
  return (next) => {
    read = next;
  };
}
