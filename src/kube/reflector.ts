/**
 * Keeps a copy of what the API server has: lists, watches from there on, and lists again after any failure. What is known
 * stays while the API server is away.
 */
import { isDeepStrictEqual } from 'node:util';
import { createBackoff } from '../lib/backoff.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import type { KubeClient } from './kube-client.ts';
import { KubeError, silent, type KubeErrorKind } from './kube-error.ts';
import type { KubeObject, WatchEvent } from './kube-object.ts';
import { resourceText, type KubeResource, type KubeVerb } from './kube-resource.ts';

export interface ReflectorDeps {
  readonly client: Pick<KubeClient, 'list' | 'watch'>;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export interface ReflectorOptions<O extends KubeObject, T> {
  readonly resource: KubeResource;
  /** What is kept of an object; undefined: it is as though it were not there. */
  readonly project: (object: O) => T | undefined;
  /** Called after the first list, and whenever something of what is kept changed; the map is the reflector's own. */
  readonly onItems: (items: ReadonlyMap<string, T>) => void;
  /** Called when the problem begins, changes or ends; not for each attempt. */
  readonly onProblem?: ((problem: string | undefined) => void) | undefined;
  /** Without a sign of life for so long, the connection is given up. Default 30,000, at least 2000. */
  readonly silenceTimeoutMs?: number | undefined;
}

/** For pages and metrics. */
export interface ReflectorStatus {
  /** `pods with "app=vllm" in namespace "default"`. */
  readonly resource: string;
  /** Whether there ever was a whole list. */
  readonly listed: boolean;
  /** Why the last attempt failed, as a sentence; undefined while all is well, or nothing was tried yet. */
  readonly problem: string | undefined;
  readonly objects: number;
  /** Whole lists, events and failures since the start. */
  readonly lists: number;
  readonly events: number;
  readonly failures: Readonly<Partial<Record<KubeErrorKind, number>>>;
}

export interface Reflector {
  /** Never fails: whatever is wrong is tried again. */
  start(): void;
  /** Nothing is reported after this. */
  stop(): void;
  status(): ReflectorStatus;
}

const defaultSilenceTimeoutMs = 30_000;
const firstRetryMs = 200;
const maxRetryMs = 10_000;
/** Half of a pause is random: many replicas lose the API server in the same moment. */
const jitter = 0.5;
/** A watch that ends in order before this, with nothing in it, is a failure too: somebody in between ends them all. */
const shortestWatchMs = 1000;

/**
 * Creates a reflector. A quiet watch has a sign of life at its end, which the server is asked to make no later than after
 * two thirds of the silence timeout; the next watch continues where it ended. After a failure everything is listed anew:
 * whatever is gone by then is gone from the copy, however it went.
 */
export function createReflector<O extends KubeObject, T>(
  { client, clock, random }: ReflectorDeps,
  options: ReflectorOptions<O, T>,
): Reflector {
  const { resource, project, onItems, onProblem, silenceTimeoutMs = defaultSilenceTimeoutMs } = options;
  const timeoutSeconds = Math.max(1, Math.floor((silenceTimeoutMs * 2) / 3000));
  const backoff = createBackoff({ firstMs: firstRetryMs, maxMs: maxRetryMs, jitter, random });
  const failures: Partial<Record<KubeErrorKind, number>> = {};
  let items: Map<string, T> = new Map();
  let listed = false;
  let problem: string | undefined;
  let lists = 0;
  let events = 0;
  let running: AbortController | undefined;
  let retry: Timer | undefined;

  async function follow(life: AbortController): Promise<void> {
    try {
      let resourceVersion = await list(life);
      for (;;) resourceVersion = await watch(life, resourceVersion);
    } catch (error) {
      if (running !== life) return;
      // Before the report: whoever hears of it may stop us.
      retry = clock.after(backoff.nextMs(), begin);
      failed(error);
    }
  }

  /** @returns the version to watch from. */
  async function list(life: AbortController): Promise<string> {
    const next = new Map<string, T>();
    let resourceVersion = '';
    await whileAlive('list', life, async (alive) => {
      for await (const page of client.list<O>(resource, life.signal)) {
        if (running !== life) return;
        alive();
        resourceVersion = page.resourceVersion;
        for (const object of page.items) {
          const kept = project(object);
          if (kept !== undefined) next.set(keyOf(object), unchanged(keyOf(object), kept) ?? kept);
        }
      }
    });
    life.signal.throwIfAborted();
    const isNews = !listed || !sameItems(items, next);
    items = next;
    listed = true;
    lists++;
    if (isNews) onItems(items);
    return resourceVersion;
  }

  /** @returns the version to continue from, once the server has ended the watch. */
  async function watch(life: AbortController, fromVersion: string): Promise<string> {
    const startedAtMs = clock.nowMs();
    let resourceVersion = fromVersion;
    let batches = 0;
    await whileAlive('watch', life, async (alive) => {
      const from = { resourceVersion, timeoutSeconds };
      for await (const batch of client.watch<O>(resource, from, life.signal)) {
        if (running !== life) return;
        alive();
        if (batches++ === 0) report(undefined);
        if (batch.length === 0) continue;
        backoff.reset();
        resourceVersion = batch.at(-1)!.object.metadata.resourceVersion ?? resourceVersion;
        apply(batch);
      }
    });
    life.signal.throwIfAborted();
    if (batches <= 1 && clock.nowMs() - startedAtMs < shortestWatchMs) {
      throw new KubeError(
        'unreachable',
        `Cannot watch ${resourceText(resource)}: the watch ended at once; a proxy in between may do so`,
      );
    }
    return resourceVersion;
  }

  function apply(batch: readonly WatchEvent<O>[]): void {
    let isNews = false;
    for (const { type, object } of batch) {
      if (type === 'BOOKMARK') continue;
      events++;
      const key = keyOf(object);
      const kept = type === 'DELETED' ? undefined : project(object);
      if (kept === undefined) isNews = items.delete(key) || isNews;
      else if (unchanged(key, kept) === undefined) {
        items.set(key, kept);
        isNews = true;
      }
    }
    if (isNews) onItems(items);
  }

  /** What is known already, where it is the same: whoever holds it may go on holding it. */
  function unchanged(key: string, kept: T): T | undefined {
    const known = items.get(key);
    return known !== undefined && isDeepStrictEqual(known, kept) ? known : undefined;
  }

  /** Gives up what runs where `alive` is not called in time. */
  async function whileAlive(
    verb: KubeVerb,
    life: AbortController,
    run: (alive: () => void) => Promise<void>,
  ): Promise<void> {
    // Whoever heard of the list may have stopped us.
    life.signal.throwIfAborted();
    const arm = (): Timer =>
      clock.after(silenceTimeoutMs, () => life.abort(silent(verb, resource, silenceTimeoutMs)));
    let timer = arm();
    try {
      await run(() => {
        timer.cancel();
        timer = arm();
      });
    } finally {
      timer.cancel();
    }
  }

  function failed(error: unknown): void {
    const { kind, message } = asKubeError(error, resource);
    failures[kind] = (failures[kind] ?? 0) + 1;
    // A version that is too old is nobody's fault, and the next list cures it.
    if (kind !== 'expired') report(message);
  }

  function report(next: string | undefined): void {
    if (problem === next) return;
    problem = next;
    onProblem?.(next);
  }

  function begin(): void {
    const life = new AbortController();
    running = life;
    void follow(life);
  }

  return {
    start() {
      if (running === undefined) begin();
    },
    stop() {
      const life = running;
      running = undefined;
      retry?.cancel();
      life?.abort();
    },
    status: () => ({
      resource: resourceText(resource),
      listed,
      problem,
      objects: items.size,
      lists,
      events,
      failures: { ...failures },
    }),
  };
}

function keyOf({ metadata }: KubeObject): string {
  return metadata.name;
}

/** Where nothing changed the values are the same objects. */
function sameItems<T>(known: ReadonlyMap<string, T>, next: ReadonlyMap<string, T>): boolean {
  if (known.size !== next.size) return false;
  for (const [key, value] of next) if (known.get(key) !== value) return false;
  return true;
}

function asKubeError(error: unknown, resource: KubeResource): KubeError {
  if (error instanceof KubeError) return error;
  return new KubeError('unreachable', `Cannot follow ${resourceText(resource)}: ${String(error)}`, {
    cause: error,
  });
}
