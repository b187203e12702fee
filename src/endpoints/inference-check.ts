/** Checks by tiny inference requests: each endpoint on its own timer, so that a slow engine delays nobody. */
import { isDeepStrictEqual } from 'node:util';
import type { Clock, Timer } from '../lib/clock.ts';
import { createEndpointCheck, type EndpointCheck, type EndpointCheckOptions } from './endpoint-check.ts';
import type { Endpoint } from './endpoint.ts';
import type { EndpointStore } from './endpoint-store.ts';
import type { SendInference } from './send-inference.ts';
import type { ModelType } from './tiny-request.ts';

/** What the models of the engines at one host and port are for. */
export interface CheckedBackend {
  /** As discovery has it: the name, where it is one, and not its addresses. */
  readonly host: string;
  readonly port: number;
  /** Undefined: these are not checked. */
  readonly type: ModelType | undefined;
}

export interface InferenceCheckOptions {
  /** Endpoints of no backend are not checked. */
  readonly backends: readonly CheckedBackend[];
  /** From the start of one check to the start of the next, or up to a tenth less. Default 60 000. */
  readonly intervalMs?: number;
  /** For each request. Default 10 000. */
  readonly timeoutMs?: number;
  /** PEM certificates to trust instead of the system's, for `https://` engines. */
  readonly ca?: string | undefined;
  /** Accept any certificate. Default false. */
  readonly insecure?: boolean | undefined;
  /** Sent with every request, e.g. `authorization` for engines with an API key. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export interface InferenceCheckDeps {
  readonly store: EndpointStore;
  readonly clock: Clock;
  /** Uniform in [0, 1): spreads the checks. */
  readonly random: () => number;
  readonly send: SendInference;
  /** Called when the problem of a model begins, changes or ends, after the store heard of it. */
  readonly onChange?: (endpoint: Endpoint, model: string, problem: string | undefined) => void;
  /** Called when a check threw, which only a bug can do; the endpoint is checked again. */
  readonly onBug?: (error: unknown, endpoint: Endpoint) => void;
}

/** What checks say about an endpoint, for people. */
export interface InferenceCheckStatus {
  readonly inferenceProblems: readonly string[];
}

export interface InferenceChecks {
  /** Begins to check what the store has and will get. */
  start(): void;
  /** Ends all timers and requests; nothing is reported afterwards. */
  stop(): void;
  /**
   * Makes these all the options, where one that is left out is the default again; undefined ends the checks, and what they
   * said no longer counts. Otherwise what was said holds until the next check. That one comes within a second where there
   * is another type, trust or header; another interval counts from the last check, another timeout from the next request
   * on. The same options again do nothing.
   */
  update(options: InferenceCheckOptions | undefined): void;
  /** Undefined where the endpoint is not checked. */
  status(endpoint: Endpoint): InferenceCheckStatus | undefined;
}

/** The options with defaults for what was left out. */
interface Settings extends Omit<EndpointCheckOptions, 'type'> {
  readonly intervalMs: number;
  /** By host and port. */
  readonly types: ReadonlyMap<string, ModelType>;
}

interface Watch {
  readonly check: EndpointCheck;
  /** Follows what the store says of the endpoint. */
  follow(): void;
  /** Follows other settings; where they are news, with a check at once. */
  settingsChanged(type: ModelType, isNews: boolean): void;
  stop(): void;
}

/** Checks that are due at once begin within this time, not all in the same millisecond. */
const urgentWithinMs = 500;
/** Only ever earlier: an engine that recovered is back within an interval. */
const intervalJitter = 0.1;

/**
 * Creates the checks of the store's endpoints; without options nothing is checked. `start` and `stop` own their timers and
 * requests. Requests go to the engines directly, and so are no traffic to anybody who counts exchanges.
 *
 * An engine is asked only while its probes say that it is healthy, and at once when they begin to: one that is still
 * loading has no answer, and one that came back need not wait.
 */
export function createInferenceChecks(
  deps: InferenceCheckDeps,
  options: InferenceCheckOptions | undefined,
): InferenceChecks {
  const { store, clock, random, send, onChange = () => undefined, onBug = () => undefined } = deps;
  let settings = withDefaults(options);
  const watches = new Map<Endpoint, Watch>();
  let unsubscribe: (() => void) | undefined;

  /** Watches an endpoint that has a type, as settings have it now, and lets go of any other. */
  function watch(endpoint: Endpoint, isNews = false): void {
    const type = typeOf(settings, endpoint);
    const watched = watches.get(endpoint);
    if (type === undefined) {
      if (unwatch(endpoint)) store.reportChecks(endpoint, undefined);
    } else if (watched === undefined) {
      watches.set(endpoint, startWatch(endpoint, type));
    } else {
      watched.settingsChanged(type, isNews);
    }
  }

  function unwatch(endpoint: Endpoint): boolean {
    watches.get(endpoint)?.stop();
    return watches.delete(endpoint);
  }

  function startWatch(endpoint: Endpoint, firstType: ModelType): Watch {
    let type = firstType;
    const check = createEndpointCheck(endpoint, { store, clock, send, onChange }, () => {
      const { timeoutMs, ca, insecure, headers } = settings;
      return { type, timeoutMs, ca, insecure, headers };
    });
    let stopped = false;
    let isUp = false;
    let isRunning = false;
    /** A reason to check came up after the last check began. */
    let isUrgent = true;
    let startedAtMs = 0;
    /** The wait for the next check; undefined while one runs or the engine is down. */
    let timer: Timer | undefined;
    let { configuredModels, listedModels } = endpoint;

    function arm(): void {
      timer?.cancel();
      timer = undefined;
      // Armed after the end of a check only: never two of one endpoint at once.
      if (stopped || isRunning || !isUp) return;
      const dueAtMs = startedAtMs + settings.intervalMs * (1 - intervalJitter * random());
      const delayMs = isUrgent ? 0 : dueAtMs - clock.nowMs();
      timer = clock.after(delayMs > 0 ? delayMs : random() * urgentWithinMs, tick);
    }

    function tick(): void {
      timer = undefined;
      isRunning = true;
      isUrgent = false;
      startedAtMs = clock.nowMs();
      const again = (): void => {
        isRunning = false;
        arm();
      };
      check.run().then(again, (error: unknown) => {
        onBug(error, endpoint);
        again();
      });
    }

    function follow(): void {
      const wasUp = isUp;
      isUp = store.engineHealth(endpoint).kind === 'healthy';
      let isNews = isUp && !wasUp;
      if (configuredModels !== endpoint.configuredModels || listedModels !== endpoint.listedModels) {
        ({ configuredModels, listedModels } = endpoint);
        isNews = check.followModels() || isNews;
      }
      isUrgent ||= isNews;
      if (isNews || isUp !== wasUp) arm();
    }

    follow();
    return {
      check,
      follow,
      settingsChanged(nextType, isNews) {
        isUrgent ||= isNews || nextType !== type;
        type = nextType;
        arm();
      },
      stop() {
        stopped = true;
        timer?.cancel();
        check.stop();
      },
    };
  }

  return {
    start() {
      if (unsubscribe !== undefined) return;
      unsubscribe = store.subscribe((_snapshot, { added, removed }) => {
        removed.forEach(unwatch);
        for (const endpoint of added) watch(endpoint);
        for (const watched of [...watches.values()]) watched.follow();
      });
      for (const endpoint of store.snapshot.endpoints) watch(endpoint);
    },
    stop() {
      unsubscribe?.();
      unsubscribe = undefined;
      for (const endpoint of [...watches.keys()]) unwatch(endpoint);
    },
    update(next) {
      const before = settings;
      settings = withDefaults(next);
      if (unsubscribe === undefined || isDeepStrictEqual(settings, before)) return;
      for (const endpoint of store.snapshot.endpoints) watch(endpoint, !asksAlike(settings, before));
    },
    status(endpoint) {
      const watched = watches.get(endpoint);
      return watched === undefined ? undefined : { inferenceProblems: watched.check.problems };
    },
  };
}

function withDefaults(
  {
    backends,
    intervalMs = 60_000,
    timeoutMs = 10_000,
    ca,
    insecure = false,
    headers,
  }: InferenceCheckOptions = { backends: [] },
): Settings {
  const types = new Map<string, ModelType>();
  for (const { host, port, type } of backends) if (type !== undefined) types.set(placeOf(host, port), type);
  return { types, intervalMs, timeoutMs, ca, insecure, headers };
}

function typeOf({ types }: Settings, { hostname, address, port }: Endpoint): ModelType | undefined {
  return types.get(placeOf(hostname ?? address, port));
}

function placeOf(host: string, port: number): string {
  return `${host} ${port}`;
}

/** Whether requests are sent alike, so that another answer cannot be expected. */
function asksAlike(a: Settings, b: Settings): boolean {
  return a.ca === b.ca && a.insecure === b.insecure && isDeepStrictEqual(a.headers, b.headers);
}
