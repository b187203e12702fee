/** The keys of one issuer over time: fetched, refreshed, looked for again when one is missing, kept through an outage. */
import { createBackoff } from '../lib/backoff.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import type { Algorithm } from './algorithms.ts';
import { readJwks, type KeySet } from './jwks-document.ts';
import type { JwksSource } from './jwks-source.ts';
import { createRefetchLimit } from './refetch-limit.ts';

export interface JwksOptions {
  /** Algorithms that the keys are for. */
  readonly algorithms: readonly Algorithm[];
  /** From one fetch to the next, where the answer has no `max-age`. */
  readonly refreshIntervalMs: number;
  /** For one fetch. */
  readonly fetchTimeoutMs: number;
  /** How long a key that a fetch did not bring is not asked for again. */
  readonly refetchCooldownMs: number;
  /** How long the last good keys are used from the first failure on. */
  readonly maxOutageMs: number;
}

export interface JwksDeps {
  readonly source: JwksSource;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly onEvent?: (event: JwksEvent) => void;
}

export type JwksEvent =
  | { readonly kind: 'fetched'; readonly changed: boolean; readonly keys: number }
  /** Keys that there are stay in use. */
  | { readonly kind: 'failed'; readonly error: string }
  /** The outage was too long: there are no keys any more. */
  | { readonly kind: 'dropped' };

/** For health pages and metrics. */
export interface JwksStatus {
  readonly source: string;
  readonly everFetched: boolean;
  /** How many keys are in use. */
  readonly keys: number;
  /** Keys of the document that are not used, and why: the first ten. */
  readonly ignored: readonly string[];
  /** Milliseconds since the Unix epoch. */
  readonly lastSuccessEpochMs: number | undefined;
  /** Why the last fetch failed; undefined where it did not, or none has ended yet. */
  readonly lastError: string | undefined;
}

/** What came of looking for a key that the set at hand does not have. */
export type SearchResult =
  | { readonly kind: 'newer'; readonly keys: KeySet }
  /** The issuer was asked after the key was missed, or within the cooldown, and has nothing new. */
  | { readonly kind: 'absent' }
  /** The issuer cannot be asked now: whether it has the key is not known. */
  | { readonly kind: 'unknown' };

export interface Jwks {
  /** Undefined until they were fetched, and again after too long an outage. */
  readonly keys: KeySet | undefined;
  status(): JwksStatus;
  /** Begins to fetch. Resolves when the first attempt is over, whatever came of it; it never rejects. */
  start(): Promise<void>;
  /** Ends all timers and fetches; whoever waits for one gets `unknown`. */
  stop(): void;
  /**
   * Looks for a set other than `seen`, which lacks a key. Waits for at most two fetches.
   * @param missed which key, by any name; the cooldown is kept for each name.
   */
  search(seen: KeySet, missed: string): Promise<SearchResult>;
}

interface Fetch {
  /** Counted from 1, in the order in which fetches began. */
  readonly sequence: number;
  readonly ended: Promise<void>;
  stop(): void;
}

const firstRetryMs = 500;
const maxRetryMs = 30_000;
/** Bounds of what an issuer's `max-age` can ask of us. */
const minRefreshMs = 10_000;
const maxRefreshMs = 24 * 3_600_000;
const refreshJitter = 0.1;
/** Fetches in one cooldown for the sake of unknown keys. */
const refetchBurst = 3;

/**
 * Creates the keys of a source. At most one fetch runs at a time, and one that was given up changes nothing when it
 * answers after all, so an older answer never replaces a newer one.
 *
 * Rotation: a key may be made, and used, in the very moment after a fetch. So a token with an unknown key always leads
 * to a fetch that begins after the token came, unless that key was already asked for within the cooldown. A refresh on
 * schedule starts no cooldown, and neither does the search for another key; only their number is limited. Where the limit
 * or an outage forbids to ask, the answer is `unknown`, never `absent`.
 */
export function createJwks(deps: JwksDeps, options: JwksOptions): Jwks {
  const { source, clock, random, onEvent = () => undefined } = deps;
  const { algorithms, refreshIntervalMs, fetchTimeoutMs, refetchCooldownMs, maxOutageMs } = options;
  const backoff = createBackoff({ firstMs: firstRetryMs, maxMs: maxRetryMs, random });
  const limit = createRefetchLimit(clock, { cooldownMs: refetchCooldownMs, burst: refetchBurst });
  let keys: KeySet | undefined;
  let everFetched = false;
  let lastSuccessEpochMs: number | undefined;
  let lastError: string | undefined;
  let failingSinceMs: number | undefined;
  let begun = 0;
  let current: Fetch | undefined;
  let timer: Timer | undefined;
  let running = false;

  function fetchKeys(uncached: boolean): Promise<void> {
    timer?.cancel();
    const controller = new AbortController();
    const deadline = clock.after(fetchTimeoutMs, () =>
      controller.abort(new Error(`no answer within ${fetchTimeoutMs} ms`)),
    );
    const ended = firstOf(source, controller.signal, uncached).then(
      ({ document, maxAgeMs }) => {
        deadline.cancel();
        current = undefined;
        use(document, maxAgeMs);
      },
      (error: unknown) => {
        deadline.cancel();
        current = undefined;
        fail(error);
      },
    );
    current = {
      sequence: ++begun,
      ended,
      stop() {
        deadline.cancel();
        controller.abort(new Error('stopped'));
      },
    };
    return ended;
  }

  function use(document: unknown, maxAgeMs: number | undefined): void {
    if (!running) return;
    const before = keys;
    try {
      keys = readJwks(document, algorithms, before);
    } catch (error) {
      fail(error);
      return;
    }
    everFetched = true;
    lastSuccessEpochMs = clock.epochMs();
    lastError = undefined;
    failingSinceMs = undefined;
    backoff.reset();
    onEvent({ kind: 'fetched', changed: keys !== before, keys: keys.size });
    if (!source.renewable) return;
    const pauseMs =
      maxAgeMs === undefined || maxAgeMs === 0
        ? refreshIntervalMs
        : Math.min(Math.max(maxAgeMs, minRefreshMs), maxRefreshMs);
    // Sooner, never later: replicas fall out of step, and no key is used longer than the issuer said.
    schedule(pauseMs * (1 - refreshJitter * random()));
  }

  function fail(error: unknown): void {
    if (!running) return;
    lastError = messageOf(error);
    failingSinceMs ??= clock.nowMs();
    onEvent({ kind: 'failed', error: lastError });
    if (keys !== undefined && clock.nowMs() - failingSinceMs >= maxOutageMs) {
      keys = undefined;
      onEvent({ kind: 'dropped' });
    }
    schedule(backoff.nextMs());
  }

  function schedule(pauseMs: number): void {
    timer = clock.after(pauseMs, () => void fetchKeys(false));
  }

  return {
    get keys() {
      return keys;
    },

    status: () => ({
      source: source.name,
      everFetched,
      keys: keys?.size ?? 0,
      ignored: keys?.ignored ?? [],
      lastSuccessEpochMs,
      lastError,
    }),

    start() {
      if (running) return Promise.resolve();
      running = true;
      return fetchKeys(false);
    },

    stop() {
      running = false;
      timer?.cancel();
      current?.stop();
    },

    async search(seen, missed) {
      const missedAt = begun;
      while (running && source.renewable && keys === seen) {
        if (current !== undefined) {
          const { sequence, ended } = current;
          await ended;
          // A fetch that had begun before the token came may have been answered before its key was made.
          if (sequence > missedAt) break;
          continue;
        }
        const answer = limit.ask(missed);
        if (answer === 'spent') return { kind: 'unknown' };
        if (answer === 'asked') break;
        void fetchKeys(true);
      }
      if (keys !== undefined && keys !== seen) return { kind: 'newer', keys };
      const asked = !source.renewable || (running && keys !== undefined && lastError === undefined);
      return { kind: asked ? 'absent' : 'unknown' };
    },
  };
}

/** The source's answer, or the reason of the signal if that comes first, whether the source heeds it or not. */
async function firstOf(source: JwksSource, signal: AbortSignal, uncached: boolean) {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  signal.addEventListener('abort', () => reject(asError(signal.reason)));
  return Promise.race([source.fetch({ signal, uncached }), aborted]);
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

/** Undici and Node wrap what really happened. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message === '' && error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return error.message === '' ? error.name : error.message;
}
