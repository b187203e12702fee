/** Endpoints from a fixed list: addresses stand for themselves, names are resolved again and again. */
import { lookup } from 'node:dns/promises';
import { isDeepStrictEqual } from 'node:util';
import { endpointId, type EndpointTarget } from '../endpoints/endpoint.ts';
import { createBackoff, type Backoff } from '../lib/backoff.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import type { StaticBackend } from './static-backends.ts';

export { parseBackends, type StaticBackend } from './static-backends.ts';

export interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}

/** Resolves a name to all of its addresses; rejects where it has none. */
export type Resolve = (hostname: string) => Promise<readonly ResolvedAddress[]>;

/** The system's resolver, so that /etc/hosts and search domains count. */
export const resolveBySystem: Resolve = (hostname) => lookup(hostname, { all: true });

/** One name of the list, for people. */
export interface NameStatus {
  readonly name: string;
  /** The last known addresses; empty until the name was ever resolved. */
  readonly addresses: readonly string[];
  /** Why the last resolution failed; undefined where it succeeded or is still on its way. */
  readonly problem: string | undefined;
}

/** The list, and how closely its names are followed. */
export interface StaticDiscoveryOptions {
  readonly backends: readonly StaticBackend[];
  /** From one answer to the next question. Default 5000. */
  readonly dnsIntervalMs?: number;
}

export interface StaticDiscoveryDeps extends StaticDiscoveryOptions {
  readonly resolve: Resolve;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Called with the whole membership: at once with what needs no resolving, then whenever it changed. */
  readonly onTargets: (targets: readonly EndpointTarget[]) => void;
  /** Called when the problem of a name begins, changes or ends; not for each attempt. */
  readonly onNameChange?: (status: NameStatus) => void;
}

export interface StaticDiscovery {
  /** Never fails: a name that cannot be resolved yet is asked again. */
  start(): void;
  stop(): void;
  /**
   * Follows another list from now on, in one call of `onTargets`: names that stay keep what is known of them, and so their
   * endpoints; new names are resolved at once; the others are forgotten. Another interval counts from the last answer;
   * a name that could not be resolved is asked again no later than before. The same options again do nothing.
   */
  update(options: StaticDiscoveryOptions): void;
  status(): readonly NameStatus[];
}

interface WatchedName {
  readonly status: NameStatus;
  /** Follows the interval, which has changed. */
  intervalChanged(): void;
  /** Nothing is reported after this, not even of a question under way. */
  forget(): void;
}

const defaultDnsIntervalMs = 5000;
const firstRetryMs = 250;

/**
 * Creates the discovery of a fixed list. Every address of a name becomes an endpoint that keeps the name as `hostname`.
 * Where a name has both families only its IPv4 addresses count: they belong to the same engines, which would otherwise
 * be counted twice. A failed resolution keeps the last known addresses.
 */
export function createStaticDiscovery(deps: StaticDiscoveryDeps): StaticDiscovery {
  const { resolve, clock, random, onTargets, onNameChange } = deps;
  let { backends, dnsIntervalMs = defaultDnsIntervalMs } = deps;
  const names = new Map<string, WatchedName>();
  let running = false;

  function publish(): void {
    onTargets(
      backends.flatMap((backend) =>
        (backend.isName ? (names.get(backend.host)?.status.addresses ?? []) : [backend.host]).map((address) =>
          toTarget(backend, address),
        ),
      ),
    );
  }

  function watchName(name: string): WatchedName {
    let status: NameStatus = { name, addresses: [], problem: undefined };
    let forgotten = false;
    /** The wait for the next question; undefined while one is asked. */
    let timer: Timer | undefined;
    let answeredAtMs = 0;
    let askAtMs = 0;
    let backoff = newBackoff();

    function newBackoff(): Backoff {
      return createBackoff({ firstMs: firstRetryMs, maxMs: dnsIntervalMs, random });
    }

    function learn(addresses: readonly string[], problem: string | undefined): void {
      const before = status;
      status = { name, addresses, problem };
      if (!sameList(before.addresses, addresses)) publish();
      if (!forgotten && before.problem !== problem) onNameChange?.(status);
    }

    async function ask(): Promise<void> {
      timer = undefined;
      const answer = await tryResolve(resolve, name);
      if (forgotten) return;
      if (answer.problem === undefined) backoff.reset();
      answeredAtMs = clock.nowMs();
      askAgainAt(answeredAtMs + (answer.problem === undefined ? dnsIntervalMs : backoff.nextMs()));
      // Last, because whoever hears of it may update or stop us.
      learn(answer.addresses ?? status.addresses, answer.problem);
    }

    function askAgainAt(atMs: number): void {
      timer?.cancel();
      askAtMs = atMs;
      timer = clock.after(Math.max(0, atMs - clock.nowMs()), () => void ask());
    }

    void ask();
    return {
      get status() {
        return status;
      },
      intervalChanged() {
        backoff = newBackoff();
        if (timer === undefined) return;
        const dueMs = answeredAtMs + dnsIntervalMs;
        askAgainAt(status.problem === undefined ? dueMs : Math.min(askAtMs, dueMs));
      },
      forget() {
        forgotten = true;
        timer?.cancel();
      },
    };
  }

  /** Forgets names that are not listed and begins to watch those that are. */
  function followNames(): void {
    const listed = new Set(backends.filter(({ isName }) => isName).map(({ host }) => host));
    for (const [name, watched] of names) {
      if (listed.has(name)) continue;
      watched.forget();
      names.delete(name);
    }
    for (const name of listed) if (!names.has(name)) names.set(name, watchName(name));
  }

  return {
    start() {
      running = true;
      names.clear();
      publish();
      followNames();
    },
    stop() {
      running = false;
      for (const watched of names.values()) watched.forget();
    },
    update({ backends: nextBackends, dnsIntervalMs: nextIntervalMs = defaultDnsIntervalMs }) {
      const sameBackends = isDeepStrictEqual(nextBackends, backends);
      const sameInterval = nextIntervalMs === dnsIntervalMs;
      backends = nextBackends;
      dnsIntervalMs = nextIntervalMs;
      if (!running) return;
      if (!sameInterval) for (const watched of names.values()) watched.intervalChanged();
      if (sameBackends) return;
      followNames();
      publish();
    },
    status: () => [...names.values()].map(({ status }) => status),
  };
}

function toTarget(backend: StaticBackend, address: string): EndpointTarget {
  return {
    id: endpointId(address, backend.port),
    address,
    port: backend.port,
    tls: backend.tls,
    hostname: backend.isName ? backend.host : undefined,
    configuredModels: backend.models,
  };
}

type NameAnswer =
  | { readonly addresses: readonly string[]; readonly problem: undefined }
  | { readonly addresses: undefined; readonly problem: string };

async function tryResolve(resolve: Resolve, name: string): Promise<NameAnswer> {
  try {
    const addresses = oneFamily(await resolve(name));
    if (addresses.length > 0) return { addresses, problem: undefined };
    return { addresses: undefined, problem: `Cannot resolve "${name}": it has no addresses` };
  } catch (error) {
    return { addresses: undefined, problem: `Cannot resolve "${name}": ${problemOf(error)}` };
  }
}

/** Sorted, so that a resolver that rotates its answers changes nothing. */
function oneFamily(resolved: readonly ResolvedAddress[]): readonly string[] {
  const ipv4 = resolved.filter(({ family }) => family === 4);
  const chosen = ipv4.length > 0 ? ipv4 : resolved;
  return [...new Set(chosen.map(({ address }) => address))].sort();
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

const resolverWords: ReadonlyMap<string, string> = new Map([
  ['ENOTFOUND', 'no such name'],
  ['EAI_AGAIN', 'the name server does not answer'],
]);

function problemOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return resolverWords.get(code) ?? error.message;
}
