/** Watches every endpoint of the store: one probe each, on its own timer, so that a slow engine delays nobody. */
import type { Clock, Timer } from '../lib/clock.ts';
import {
  createEndpointProbe,
  type EndpointProbe,
  type ProbeStatus,
  type ScrapeResult,
} from './endpoint-probe.ts';
import { createEngineClient, type EngineClient } from './engine-client.ts';
import { createEnginePageReader } from './engine-metrics.ts';
import type { Endpoint } from './endpoint.ts';
import type { EndpointStore } from './endpoint-store.ts';

export interface ScraperOptions {
  /** From the start of one probe to the start of the next, give or take a tenth. Default 1000. */
  readonly intervalMs?: number;
  /** Default 10 000. */
  readonly modelsIntervalMs?: number;
  /** For each call of a probe. Default 2000. */
  readonly timeoutMs?: number;
  /** Metrics older than this are not believed. Default 5000, or three intervals where that is more. */
  readonly staleAfterMs?: number;
  /** Default 60 000. */
  readonly latencyMaxAgeMs?: number;
  /** Timeouts in a row that make an endpoint unhealthy. Default 3. */
  readonly unhealthyAfter?: number;
  /** PEM certificates to trust instead of the system's, for `https://` engines. */
  readonly ca?: string | undefined;
  /** Accept any certificate. Default false. */
  readonly insecure?: boolean | undefined;
  /** Sent with every call, e.g. `authorization` for engines with an API key. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export interface ScraperDeps {
  readonly store: EndpointStore;
  readonly clock: Clock;
  /** Uniform in [0, 1): spreads the probes. */
  readonly random: () => number;
  /** Called for every `GET /metrics`, with what became of it. */
  readonly scraped?: (result: ScrapeResult, seconds: number) => void;
  /** Called when a probe threw, which only a bug can do; the endpoint is probed again. */
  readonly onBug?: (error: unknown, endpoint: Endpoint) => void;
}

export interface Scraper {
  /** Begins to watch what the store has and will get. */
  start(): void;
  /** Ends all timers and connections; nothing is reported afterwards. */
  stop(): void;
  /** What is wrong with an endpoint besides its health; undefined where it is not watched. */
  status(endpoint: Endpoint): ProbeStatus | undefined;
}

interface Watch {
  readonly probe: EndpointProbe;
  stop(): void;
}

/** A metrics page of a large engine has a few hundred kilobytes. */
const maxBodyBytes = 8 * 1024 * 1024;
/** New endpoints are asked within this time, not all in the same millisecond. */
const firstProbeWithinMs = 50;
const intervalJitter = 0.1;
const probesPerWakeUp = 10;
const maxGridMs = 100;

/** Creates a scraper over the store's endpoints; `start` and `stop` own its timers and connections. */
export function createScraper(deps: ScraperDeps, options: ScraperOptions = {}): Scraper {
  const { store, clock, random, scraped = () => undefined, onBug = () => undefined } = deps;
  const {
    intervalMs = 1000,
    modelsIntervalMs = 10_000,
    timeoutMs = 2000,
    staleAfterMs = Math.max(5000, 3 * intervalMs),
    latencyMaxAgeMs = 60_000,
    unhealthyAfter = 3,
    ca,
    insecure,
    headers,
  } = options;
  const readPage = createEnginePageReader();
  const watches = new Map<Endpoint, Watch>();
  let unsubscribe: (() => void) | undefined;

  function watch(endpoint: Endpoint): void {
    const client = createEngineClient(endpoint, clock, { timeoutMs, maxBodyBytes, ca, insecure, headers });
    const probe = createEndpointProbe(
      endpoint,
      { store, clock, client, readPage, scraped },
      { modelsIntervalMs, latencyMaxAgeMs, unhealthyAfter },
    );
    watches.set(endpoint, startWatch(endpoint, probe, client));
  }

  function startWatch(endpoint: Endpoint, probe: EndpointProbe, client: EngineClient): Watch {
    let stopped = false;
    let timer = clock.after(random() * firstProbeWithinMs, tick);
    let staleTimer: Timer | undefined;

    function tick(): void {
      const startedAtMs = clock.nowMs();
      const again = (): void => {
        if (stopped) return;
        expectNews();
        const pauseMs = intervalMs * (1 + intervalJitter * (2 * random() - 1));
        // Armed only now: never two probes of one endpoint at once.
        timer = clock.after(Math.max(0, sharedMoment(startedAtMs + pauseMs) - clock.nowMs()), tick);
      };
      probe.run().then(again, (error: unknown) => {
        onBug(error, endpoint);
        again();
      });
    }

    /** Sees to it that metrics vanish on time, also while a probe hangs. */
    function expectNews(): void {
      if (staleTimer !== undefined || endpoint.metrics === undefined) return;
      const staleAtMs = endpoint.metrics.takenAtMs + staleAfterMs;
      staleTimer = clock.after(staleAtMs - clock.nowMs(), () => {
        staleTimer = undefined;
        const takenAtMs = endpoint.metrics?.takenAtMs ?? Number.POSITIVE_INFINITY;
        if (clock.nowMs() - takenAtMs >= staleAfterMs) store.reportMetrics(endpoint, undefined);
        else expectNews();
      });
    }

    return {
      probe,
      stop() {
        stopped = true;
        timer.cancel();
        staleTimer?.cancel();
        probe.stop();
        client.close();
      },
    };
  }

  /**
   * The nearest moment at which probes may start. An idle process spends more on waking up than on a probe: when about
   * ten probes share a wake-up each costs half.
   */
  function sharedMoment(atMs: number): number {
    const gridMs = Math.min(maxGridMs, (intervalMs * probesPerWakeUp) / watches.size);
    return Math.round(atMs / gridMs) * gridMs;
  }

  function unwatch(endpoint: Endpoint): void {
    watches.get(endpoint)?.stop();
    watches.delete(endpoint);
  }

  return {
    start() {
      if (unsubscribe !== undefined) return;
      unsubscribe = store.subscribe((_snapshot, { added, removed }) => {
        removed.forEach(unwatch);
        added.forEach(watch);
      });
      store.snapshot.endpoints.forEach(watch);
    },
    stop() {
      unsubscribe?.();
      unsubscribe = undefined;
      for (const endpoint of [...watches.keys()]) unwatch(endpoint);
    },
    status: (endpoint) => watches.get(endpoint)?.probe.status,
  };
}
