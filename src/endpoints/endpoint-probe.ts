/** One look at one engine: asks what is due and reports to the store whether it lives and how busy it is. */
import type { Clock } from '../lib/clock.ts';
import type { EngineAnswer, EngineClient } from './engine-client.ts';
import { advanceHistory, type EngineHistory } from './engine-history.ts';
import type { EngineReading } from './engine-metrics.ts';
import { parseModels } from './engine-models.ts';
import type { Endpoint } from './endpoint.ts';
import type { EndpointStore } from './endpoint-store.ts';

/** `ok`: a page with an engine's families; `bad-page`: an answer, but no such page. */
export type ScrapeResult = 'ok' | 'bad-page' | 'timeout' | 'unreachable';

export interface ProbeOptions {
  /** How often a healthy engine is asked for `/health` and `/v1/models`. */
  readonly modelsIntervalMs: number;
  /** How long a mean latency holds when nothing new is observed. */
  readonly latencyMaxAgeMs: number;
  /** Timeouts in a row, of anything asked, that make an endpoint unhealthy. */
  readonly unhealthyAfter: number;
}

export interface ProbeDeps {
  readonly store: EndpointStore;
  readonly clock: Clock;
  readonly client: EngineClient;
  readonly readPage: (page: Buffer) => EngineReading | undefined;
  /** Called for every answered or failed `GET /metrics`. */
  readonly scraped: (result: ScrapeResult, seconds: number) => void;
}

/** What is wrong with an endpoint besides its health, for people. */
export interface ProbeStatus {
  /** Why the last `GET /metrics` gave nothing; undefined where it was good. */
  readonly metricsProblem: string | undefined;
  /** Why the last `GET /v1/models` gave nothing; the list before it is kept. */
  readonly modelsProblem: string | undefined;
}

export interface EndpointProbe {
  readonly status: ProbeStatus;
  /** Runs one probe to its end; never rejects. Never call it while one runs. */
  run(): Promise<void>;
  /** Nothing is reported after this, not even by a probe that still runs. */
  stop(): void;
}

type Verdict =
  | { readonly kind: 'alive' }
  /** Somebody answers HTTP, but neither `/health` nor `/v1/models` exists: the metrics page decides. */
  | { readonly kind: 'unclear'; readonly reason: string }
  | { readonly kind: 'dead'; readonly reason: string }
  | { readonly kind: 'failed'; readonly failure: Failure };

type Failure = Exclude<EngineAnswer, { kind: 'answer' }>;

/** `missing`: a 4xx, from an engine that has no such page; `bad-page`: any other answer that cannot be read. */
type Scrape =
  { readonly kind: 'ok' } | { readonly kind: 'missing' } | { readonly kind: 'bad-page' } | Failure;

/**
 * Creates the probe of one endpoint. Rules, in the order in which they are asked:
 * - An endpoint that is not healthy is asked `/health` first, then `/v1/models`, then `/metrics`; the first good answer
 *   makes it ready. A status of 500 or more on `/health` is the engine saying that it cannot serve: unhealthy at once.
 * - A healthy one is asked `/metrics` only; `/health` and `/v1/models` join when the model list is due.
 * - Refused, reset, unroutable, TLS failures, not HTTP: unhealthy at once. Timeouts: after `unhealthyAfter` in a row,
 *   and only when `/health` does not answer either, since a busy engine may be slow with its page.
 * - An answer that is no metrics page never makes an endpoint unhealthy by itself: its metrics stay unknown.
 *
 * The options are asked for whenever they matter, so that they may change while the probe lives.
 */
export function createEndpointProbe(
  endpoint: Endpoint,
  deps: ProbeDeps,
  options: () => ProbeOptions,
): EndpointProbe {
  const { store, clock, client, readPage } = deps;
  let stopped = false;
  let history: EngineHistory | undefined;
  let timeoutsInARow = 0;
  /** When the model list was refreshed; it is due at once where it never was or cannot be believed. */
  let modelsTakenAtMs = Number.NEGATIVE_INFINITY;
  let metricsProblem: string | undefined;
  let modelsProblem: string | undefined;

  async function run(): Promise<void> {
    // Not `endpoint.health`: what other checks hold against an endpoint makes no difference to how it is probed.
    if (store.engineHealth(endpoint).kind !== 'healthy') await probeUnready();
    else if (!modelsAreDue() || (await checkUp())) await probeMetrics();
  }

  function modelsAreDue(): boolean {
    return clock.nowMs() >= modelsTakenAtMs + options().modelsIntervalMs;
  }

  async function probeUnready(): Promise<void> {
    const verdict = await judge();
    if (verdict.kind === 'dead') {
      markUnhealthy(verdict.reason);
      return;
    }
    if (verdict.kind === 'failed') {
      fail(verdict.failure);
      return;
    }
    // Models before ready: a restarted engine may have lost adapters that the old list still names.
    await refreshModels();
    if (verdict.kind === 'alive') markHealthy();
    const page = await scrape();
    if (verdict.kind === 'alive') return;
    if (page.kind === 'ok') markHealthy();
    else markUnhealthy(verdict.reason);
  }

  /** The slower round of a healthy endpoint; false where it ended the health. */
  async function checkUp(): Promise<boolean> {
    const verdict = await judge();
    if (verdict.kind === 'dead') {
      markUnhealthy(verdict.reason);
      return false;
    }
    if (verdict.kind === 'failed' && verdict.failure.kind === 'unreachable') {
      fail(verdict.failure);
      return false;
    }
    // A slow /health is not held against an engine whose metrics page answers.
    await refreshModels();
    return true;
  }

  async function probeMetrics(): Promise<void> {
    const page = await scrape();
    switch (page.kind) {
      case 'ok':
      case 'missing':
        timeoutsInARow = 0;
        return;
      case 'unreachable':
        fail(page);
        return;
      case 'timeout':
        if (++timeoutsInARow >= options().unhealthyAfter) await doubt();
        return;
      case 'bad-page':
        await doubt();
        return;
      default:
        page satisfies never;
    }
  }

  /** The metrics page of a healthy endpoint is no good: does the engine still live? */
  async function doubt(): Promise<void> {
    const verdict = await judge();
    if (verdict.kind === 'alive') timeoutsInARow = 0;
    else markUnhealthy(verdict.kind === 'failed' ? verdict.failure.reason : verdict.reason);
  }

  /** Whether the engine says that it lives. */
  async function judge(): Promise<Verdict> {
    const health = await client.get('/health');
    if (health.kind !== 'answer') return { kind: 'failed', failure: health };
    if (health.status >= 500) return { kind: 'dead', reason: `GET /health answered ${health.status}` };
    if (isGood(health.status)) return { kind: 'alive' };
    const models = await client.get('/v1/models');
    if (models.kind !== 'answer') return { kind: 'failed', failure: models };
    if (isGood(models.status)) return { kind: 'alive' };
    return {
      kind: 'unclear',
      reason: `no engine answers here: GET /health gives ${health.status}, GET /v1/models gives ${models.status}`,
    };
  }

  async function refreshModels(): Promise<void> {
    const answer = await client.get('/v1/models');
    const models = goodBody(answer, parseModels);
    modelsProblem = models === undefined ? problemOf('/v1/models', answer, 'a list of models') : undefined;
    if (models !== undefined) whileRunning(() => store.reportModels(endpoint, models));
    // Without any list nothing can be routed here: ask again with the next probe.
    const urgent = endpoint.listedModels === undefined && endpoint.configuredModels.length === 0;
    modelsTakenAtMs = urgent ? Number.NEGATIVE_INFINITY : clock.nowMs();
  }

  async function scrape(): Promise<Scrape> {
    const inFlightAtScrape = endpoint.inFlight;
    const sentAtMs = clock.nowMs();
    const answer = await client.get('/metrics');
    const nowMs = clock.nowMs();
    const reading = goodBody(answer, readPage);
    whileRunning(() => deps.scraped(scrapeResult(answer, reading), (nowMs - sentAtMs) / 1000));
    if (reading !== undefined) {
      metricsProblem = undefined;
      report(reading, nowMs, inFlightAtScrape);
      return { kind: 'ok' };
    }
    metricsProblem = problemOf('/metrics', answer, 'a metrics page of an engine');
    if (answer.kind !== 'answer') return answer;
    return { kind: answer.status >= 400 && answer.status < 500 ? 'missing' : 'bad-page' };
  }

  function report(reading: EngineReading, nowMs: number, inFlightAtScrape: number): void {
    const progress = advanceHistory(history, reading, nowMs, options().latencyMaxAgeMs);
    history = progress.history;
    const { waiting, running, kvCacheUsage } = reading;
    const { ttftSeconds, tpotSeconds, restarted } = progress;
    const latencies = { ttftSeconds, tpotSeconds };
    whileRunning(() => {
      store.reportMetrics(endpoint, {
        takenAtMs: nowMs,
        waiting,
        running,
        kvCacheUsage,
        ...latencies,
        prefixCache: reading.prefixCache,
        inFlightAtScrape,
      });
      if (restarted) store.reportRestart(endpoint);
    });
    if (restarted) modelsTakenAtMs = Number.NEGATIVE_INFINITY;
  }

  function fail(failure: Failure): void {
    if (failure.kind === 'timeout' && ++timeoutsInARow < options().unhealthyAfter) return;
    markUnhealthy(failure.reason);
  }

  function markHealthy(): void {
    timeoutsInARow = 0;
    whileRunning(() => store.reportHealthy(endpoint));
  }

  function markUnhealthy(reason: string): void {
    whileRunning(() => store.reportUnhealthy(endpoint, reason));
  }

  function whileRunning(write: () => void): void {
    if (!stopped) write();
  }

  return {
    get status() {
      return { metricsProblem, modelsProblem };
    },
    run,
    stop() {
      stopped = true;
    },
  };
}

/** Statuses that only a living engine gives: 401 and 403 come from one that wants an API key. */
function isGood(status: number): boolean {
  return (status >= 200 && status < 300) || status === 401 || status === 403;
}

function goodBody<T>(answer: EngineAnswer, read: (body: Buffer) => T | undefined): T | undefined {
  if (answer.kind !== 'answer' || answer.status !== 200 || answer.body === undefined) return undefined;
  return read(answer.body);
}

function scrapeResult(answer: EngineAnswer, reading: EngineReading | undefined): ScrapeResult {
  if (reading !== undefined) return 'ok';
  return answer.kind === 'answer' ? 'bad-page' : answer.kind;
}

function problemOf(path: string, answer: EngineAnswer, expected: string): string {
  if (answer.kind !== 'answer') return answer.reason;
  if (answer.status !== 200) return `GET ${path} answered ${answer.status}`;
  return answer.body === undefined ? `GET ${path} answered too many bytes` : `GET ${path} is not ${expected}`;
}
