/** Leases of the requests in flight here: Redis forgets those that are not renewed, as when this process dies. */
import type { Clock, Timer } from '../lib/clock.ts';
import type { RedisConnection } from './connection.ts';
import { renewScript } from './limit-scripts.ts';
import { createRedisScript } from './script.ts';

export interface Leases {
  /** A name for a lease, unlike any other. */
  name(): string;
  /** Renews the lease in these sets until it is dropped; Redis need not have it yet. */
  hold(lease: string, sets: readonly string[]): void;
  /** Ends the lease, in Redis too: when it is back, or at the latest when the lease ends by itself. */
  drop(lease: string, sets: readonly string[]): void;
  stop(): void;
}

export interface LeasesDeps {
  readonly clock: Clock;
  readonly connection: RedisConnection;
}

export interface LeasesOptions {
  readonly replica: string;
  readonly leaseMs: number;
}

/** A lease outlives this many renewals that fail, less one. */
const renewalsPerLease = 3;
/** Leases that Redis is told of at once: little enough that nobody waits long behind them. */
const batchSize = 100;
/** Leases that ended while Redis was away; of more it is not told. */
const maxEnded = 10_000;

/** Creates an empty list. It keeps a timer while there are leases. */
export function createLeases({ clock, connection }: LeasesDeps, { replica, leaseMs }: LeasesOptions): Leases {
  const held = new Map<string, readonly string[]>();
  /** Those that Redis may still have. */
  const ended = new Map<string, readonly string[]>();
  const runRenew = createRedisScript(renewScript);
  let names = 0;
  let timer: Timer | undefined;

  const stopListening = connection.onChange(({ kind }) => {
    if (kind !== 'up') return;
    void removeEnded();
    // Those of a Redis that was started again are gone, and those begun meanwhile were never there.
    void renewAll();
  });

  function arm(): void {
    if (held.size > 0) timer ??= clock.after(leaseMs / renewalsPerLease, () => void tick());
  }

  async function tick(): Promise<void> {
    await renewAll();
    timer = undefined;
    arm();
  }

  async function renewAll(): Promise<void> {
    const all = [...held.keys()];
    for (let i = 0; i < all.length && connection.up; i += batchSize) await renew(all.slice(i, i + batchSize));
  }

  async function renew(leases: readonly string[]): Promise<void> {
    // Looked up only now: one that was dropped meanwhile must not come back.
    const pairs = leases.flatMap((lease) => (held.get(lease) ?? []).map((set) => ({ set, lease })));
    await connection.run((redis) =>
      runRenew(
        redis,
        pairs.map(({ set }) => set),
        [leaseMs, ...pairs.map(({ lease }) => lease)],
      ),
    );
  }

  async function removeEnded(): Promise<void> {
    while (connection.up && ended.size > 0) {
      const some = firstOf(ended, batchSize);
      for (const [lease] of some) ended.delete(lease);
      const removed = await connection.run((redis) =>
        Promise.all(some.flatMap(([lease, sets]) => sets.map((set) => redis.zrem(set, lease)))),
      );
      if (removed === undefined) for (const [lease, sets] of some) remember(lease, sets);
    }
  }

  function remember(lease: string, sets: readonly string[]): void {
    if (ended.size < maxEnded) ended.set(lease, sets);
  }

  return {
    name: () => `${replica}:${++names}`,
    hold(lease, sets) {
      if (sets.length === 0) return;
      held.set(lease, sets);
      arm();
    },
    drop(lease, sets) {
      if (sets.length === 0) return;
      held.delete(lease);
      remember(lease, sets);
      void removeEnded();
    },
    stop() {
      stopListening();
      held.clear();
      timer?.cancel();
    },
  };
}

function firstOf<K, V>(entries: ReadonlyMap<K, V>, limit: number): [K, V][] {
  const first: [K, V][] = [];
  for (const entry of entries) {
    if (first.length === limit) break;
    first.push(entry);
  }
  return first;
}
