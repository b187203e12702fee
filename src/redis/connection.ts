/** One connection to Redis that is there or not, never waited for: whoever asks goes on without it. */
import { Redis } from 'ioredis';
import { createBackoff } from '../lib/backoff.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import { parseRedisUrl } from '../lib/redis-url.ts';

export interface RedisConnectionDeps {
  readonly clock: Clock;
  /** Uniform in [0, 1): spreads the attempts of many replicas. */
  readonly random: () => number;
}

export interface RedisConnectionOptions {
  /** `redis://` or `rediss://`, with user, password and number of the database where they are needed. */
  readonly url: string;
  /** How long an answer is waited for. Default 100. */
  readonly commandTimeoutMs?: number;
  /** PEM certificates to trust instead of the system's, for `rediss://`. */
  readonly ca?: string | undefined;
}

export type RedisChange = { readonly kind: 'up' } | { readonly kind: 'down'; readonly why: string };

export interface RedisConnection {
  /** The address, without user and password. */
  readonly address: string;
  /** Whether Redis answers, as far as is known. */
  readonly up: boolean;
  /** Why it is not up; undefined while it is, and before the first attempt has ended. */
  readonly why: string | undefined;
  /** Begins to connect. Resolves when the first attempt is over, whatever came of it; it never rejects. */
  start(): Promise<void>;
  /**
   * Gives commands to Redis. Resolves with undefined where it is down, does not answer in time or refuses; then it is
   * down from here on, until it was asked again. It never rejects. Commands that were given before, and those given in
   * one tick, are carried out in the order in which they were given. One that was too slow may be carried out all the
   * same: whoever must know learns it from `commands`, which goes on.
   */
  run<T>(commands: (redis: Redis) => Promise<T>): Promise<T | undefined>;
  /** Calls the listener when Redis comes and goes, in the tick in which `up` changes. Returns what ends that. */
  onChange(listener: (change: RedisChange) => void): () => void;
  /** Lets commands that were given be answered, then closes. Nothing is reported afterwards. */
  stop(): Promise<void>;
}

const connectTimeoutMs = 5000;
const firstRetryMs = 50;
const maxRetryMs = 5000;
/** Checks in a row that a connection may leave unanswered before it is given up for a new one. */
const maxMissedChecks = 3;

const tooLate = Symbol('too late');

/**
 * Creates a connection. One that is lost is made anew, with growing pauses. One that is slow is kept, so that what it
 * still has to answer is not lost, but nothing is given to it before it has answered a check in time.
 * @throws Error for a URL that is none of Redis'.
 */
export function createRedisConnection(
  { clock, random }: RedisConnectionDeps,
  { url, commandTimeoutMs = 100, ca }: RedisConnectionOptions,
): RedisConnection {
  const { shown, tls, ...address } = parseRedisUrl(url);
  const backoff = createBackoff({ firstMs: firstRetryMs, maxMs: maxRetryMs, random });
  const listeners = new Set<(change: RedisChange) => void>();
  let redis: Redis | undefined;
  let up = false;
  let why: string | undefined;
  /** The next attempt, or the end of the patience with the current one. */
  let timer: Timer | undefined;
  let running = false;

  /** Ends as soon as the attempt is over, whatever came of it. */
  async function connect(): Promise<void> {
    const made = new Redis({
      ...address,
      ...(tls && { tls: { ca } }),
      lazyConnect: true,
      // Nothing is kept for later: whoever asked has gone on without Redis.
      enableOfflineQueue: false,
      retryStrategy: null,
      connectTimeout: connectTimeoutMs,
      disconnectTimeout: commandTimeoutMs,
    });
    redis = made;
    let problem = 'the connection was closed';
    made.on('error', (error: unknown) => (problem = messageOf(error)));
    made.on('end', () => lose(made, problem));
    timer = clock.after(connectTimeoutMs, () => lose(made, `no answer within ${connectTimeoutMs} ms`));
    try {
      await made.connect();
    } catch {
      lose(made, problem);
      return;
    }
    if (redis === made) rise();
  }

  function rise(): void {
    timer?.cancel();
    up = true;
    why = undefined;
    tell({ kind: 'up' });
  }

  function fall(reason: string): void {
    const isNews = up || why === undefined;
    up = false;
    why = reason;
    if (isNews) tell({ kind: 'down', why: reason });
  }

  function tell(change: RedisChange): void {
    for (const listener of listeners) listener(change);
  }

  /** Gives a connection up and makes another one later. */
  function lose(lost: Redis, reason: string): void {
    if (redis !== lost) return;
    redis = undefined;
    lost.disconnect();
    retryLater(() => void connect());
    fall(reason);
  }

  function retryLater(retry: () => void): void {
    timer?.cancel();
    timer = clock.after(backoff.nextMs(), retry);
  }

  /** No answer came in time: asks later whether there are answers again. */
  function slowDown(slow: Redis): void {
    if (redis !== slow || !up) return;
    retryLater(() => void check(slow, 1));
    fall(`no answer within ${commandTimeoutMs} ms`);
  }

  async function check(slow: Redis, attempt: number): Promise<void> {
    const answer = await inTime(slow.ping().catch(() => tooLate));
    if (redis !== slow) return;
    if (answer !== tooLate) rise();
    else if (attempt < maxMissedChecks) retryLater(() => void check(slow, attempt + 1));
    else lose(slow, `no answer within ${commandTimeoutMs} ms`);
  }

  /** What the promise settles with, unless that takes too long. */
  function inTime<T>(answer: Promise<T>): Promise<T | typeof tooLate> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => resolve(tooLate);
      // Once around the event loop, from wherever it is: where it was this process that was slow, the answer is there
      // to be read.
      const deadline = clock.after(commandTimeoutMs, () => void setImmediate(() => setImmediate(giveUp)));
      answer.then(resolve, reject).finally(() => deadline.cancel());
    });
  }

  function messageOf(error: unknown): string {
    const { password } = address;
    const message = describe(error);
    return password === undefined ? message : message.replaceAll(password, '****');
  }

  return {
    address: shown,
    get up() {
      return up;
    },
    get why() {
      return why;
    },

    start() {
      if (running) return Promise.resolve();
      running = true;
      return connect();
    },

    async run(commands) {
      const asked = redis;
      if (!up || asked === undefined) return undefined;
      try {
        const answer = await inTime(commands(asked));
        if (answer === tooLate) {
          slowDown(asked);
          return undefined;
        }
        // Not for a check that was answered: a server can answer checks and refuse commands.
        backoff.reset();
        return answer;
      } catch (error) {
        lose(asked, messageOf(error));
        return undefined;
      }
    },

    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },

    async stop() {
      const last = redis;
      redis = undefined;
      up = false;
      timer?.cancel();
      listeners.clear();
      if (last === undefined || last.status === 'end') return;
      const ended = new Promise<void>((resolve) => last.once('end', resolve));
      // It says that it has nothing more to ask, and is closed by the server, or after `disconnectTimeout`.
      last.disconnect();
      await ended;
    },
  };
}

/** Whoever connects to a name with several addresses gets an error of errors. */
function describe(error: unknown): string {
  if (typeof error !== 'object' || error === null) return String(error);
  if ('errors' in error && Array.isArray(error.errors)) return error.errors.map(describe).join('; ');
  return 'message' in error ? String(error.message) : 'unknown error';
}
