/** Watches every endpoint of the store: one probe each, on its own timer, so that a slow engine delays nobody. */
import type { Clock, Timer } from '../lib/clock.ts';
import {
  createEndpointProbe,
  type EndpointProbe,
  type ProbeOptions,
  type ProbeStatus,
  type ScrapeResult,
} from './endpoint-probe.ts';
import { createEngineClient, type EngineClient, type EngineClientOptions } from './engine-client.ts';
import { createEnginePageReader } from './engine-metrics.ts';
import type { Endpoint, EngineMetrics } from './endpoint.ts';
import type { EndpointStore } from './endpoint-store.ts';

export interface ScraperOptions {
  /**
   * From the start of one probe to the start of the next, give or take a tenth. Default 1000. Engines that are not
   * healthy are asked at least every 2 s.
   */
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
  /**
   * Makes these all the options, where one that is left out is the default again. Nothing that is known of an endpoint
   * is forgotten. Another interval counts from the last probe, and who is overdue by it is probed within a second; another
   * timeout counts for calls under way as well. Metrics that are believed now are believed for the new `staleAfterMs` at
   * most. A connection made under another `ca` or `insecure` serves no further call. The same options again do nothing.
   */
  update(options: ScraperOptions): void;
  /** What is wrong with an endpoint besides its health; undefined where it is not watched. */
  status(endpoint: Endpoint): ProbeStatus | undefined;
}

/** The options with defaults for what was left out. */
interface Settings extends ProbeOptions, EngineClientOptions {
  readonly intervalMs: number;
  readonly staleAfterMs: number;
}

interface Watch {
  readonly probe: EndpointProbe;
  /** Follows the settings, which were `before`. */
  update(before: Settings): void;
  stop(): void;
}

/** A metrics page of a large engine has a few hundred kilobytes. */
const maxBodyBytes = 8 * 1024 * 1024;
/** New endpoints are asked within this time, not all in the same millisecond. */
const firstProbeWithinMs = 50;
/** Endpoints that are overdue after an update are asked within this time, while requests go on. */
const overdueProbeWithinMs = 1000;
const intervalJitter = 0.1;
/** An engine that starts is not left waiting for a long interval. */
const unreadyIntervalMs = 2000;
const probesPerWakeUp = 10;
const maxGridMs = 100;

/** Creates a scraper over the store's endpoints; `start` and `stop` own its timers and connections. */
export function createScraper(deps: ScraperDeps, options: ScraperOptions = {}): Scraper {
  const { store, clock, random, scraped = () => undefined, onBug = () => undefined } = deps;
  let settings = withDefaults(options);
  const readPage = createEnginePageReader();
  const watches = new Map<Endpoint, Watch>();
  let unsubscribe: (() => void) | undefined;

  function watch(endpoint: Endpoint): void {
    const client = createEngineClient(endpoint, clock, settings);
    const probe = createEndpointProbe(endpoint, { store, clock, client, readPage, scraped }, () => settings);
    watches.set(endpoint, startWatch(endpoint, probe, client));
  }

  function startWatch(endpoint: Endpoint, probe: EndpointProbe, client: EngineClient): Watch {
    let stopped = false;
    /** The wait for the next probe; undefined while one runs. */
    let timer: Timer | undefined = clock.after(random() * firstProbeWithinMs, tick);
    let startedAtMs: number | undefined;
    let staleTimer: Timer | undefined;
    let believed: EngineMetrics | undefined;
    let staleAtMs = 0;

    function tick(): void {
      timer = undefined;
      const nowMs = clock.nowMs();
      startedAtMs = nowMs;
      const again = (): void => {
        if (stopped) return;
        expectNews();
        // Armed only now: never two probes of one endpoint at once.
        timer = clock.after(Math.max(0, nextProbeAtMs(endpoint, nowMs) - clock.nowMs()), tick);
      };
      probe.run().then(again, (error: unknown) => {
        onBug(error, endpoint);
        again();
      });
    }

    /** Sees to it that metrics vanish on time, also while a probe hangs. */
    function expectNews(): void {
      const { metrics } = endpoint;
      if (metrics === undefined) return;
      if (metrics !== believed) {
        believed = metrics;
        staleAtMs = metrics.takenAtMs + settings.staleAfterMs;
      }
      staleTimer ??= clock.after(Math.max(0, staleAtMs - clock.nowMs()), () => {
        staleTimer = undefined;
        if (endpoint.metrics === believed && clock.nowMs() >= staleAtMs)
          store.reportMetrics(endpoint, undefined);
        else expectNews();
      });
    }

    /** Brings the next probe forward or puts it off; the first one comes soon enough anyway. */
    function reschedule(): void {
      if (timer === undefined || startedAtMs === undefined) return;
      timer.cancel();
      const delayMs = nextProbeAtMs(endpoint, startedAtMs) - clock.nowMs();
      const overdueDelayMs = random() * Math.min(settings.intervalMs, overdueProbeWithinMs);
      timer = clock.after(delayMs > 0 ? delayMs : overdueDelayMs, tick);
    }

    /**
     * A longer bound holds for what is believed now as well. A shorter one counts from now for it, within the old one:
     * otherwise all that is known would vanish at once where the interval was long before.
     */
    function restale(): void {
      if (believed !== undefined && believed === endpoint.metrics) {
        const { staleAfterMs } = settings;
        staleAtMs = Math.max(
          believed.takenAtMs + staleAfterMs,
          Math.min(staleAtMs, clock.nowMs() + staleAfterMs),
        );
      }
      staleTimer?.cancel();
      staleTimer = undefined;
      expectNews();
    }

    return {
      probe,
      update(before) {
        client.update(settings);
        if (settings.intervalMs !== before.intervalMs) reschedule();
        if (settings.staleAfterMs !== before.staleAfterMs) restale();
      },
      stop() {
        stopped = true;
        timer?.cancel();
        staleTimer?.cancel();
        probe.stop();
        client.close();
      },
    };
  }

  function nextProbeAtMs(endpoint: Endpoint, startedAtMs: number): number {
    const isHealthy = store.engineHealth(endpoint).kind === 'healthy';
    const intervalMs = isHealthy ? settings.intervalMs : Math.min(settings.intervalMs, unreadyIntervalMs);
    return sharedMoment(startedAtMs + intervalMs * (1 + intervalJitter * (2 * random() - 1)));
  }

  /**
   * The nearest moment at which probes may start. An idle process spends more on waking up than on a probe: when about
   * ten probes share a wake-up each costs half.
   */
  function sharedMoment(atMs: number): number {
    const gridMs = Math.min(maxGridMs, (settings.intervalMs * probesPerWakeUp) / watches.size);
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
    update(next) {
      const before = settings;
      settings = withDefaults(next);
      for (const watch of watches.values()) watch.update(before);
    },
    status: (endpoint) => watches.get(endpoint)?.probe.status,
  };
}

function withDefaults({
  intervalMs = 1000,
  modelsIntervalMs = 10_000,
  timeoutMs = 2000,
  staleAfterMs = Math.max(5000, 3 * intervalMs),
  latencyMaxAgeMs = 60_000,
  unhealthyAfter = 3,
  ca,
  insecure = false,
  headers,
}: ScraperOptions): Settings {
  return {
    intervalMs,
    modelsIntervalMs,
    timeoutMs,
    staleAfterMs,
    latencyMaxAgeMs,
    unhealthyAfter,
    maxBodyBytes,
    ca,
    insecure,
    headers,
  };
}
