/** The buckets of token limits in this process: as many as are not full, up to a bound. */
import type { Clock } from '../lib/clock.ts';
import { lackOf, type Levels } from './limit-lack.ts';
import type { Charge, Limit, Quantities, Quantity } from './limit-rule.ts';
import { fullInMs, refilled } from './token-bucket.ts';
import { topBy } from './top-by.ts';

/** A bucket as others see it. */
export interface BucketView {
  readonly limit: Limit;
  readonly owner: string;
  readonly levels: Levels;
}

export interface LimitBuckets {
  /** Takes the cost from all buckets, or from none, and counts the request as running. */
  take(charges: readonly Charge[], cost: Quantities): boolean;
  /** Counts a request that has taken somewhere else as running. */
  begin(charges: readonly Charge[]): void;
  /** The request runs no longer. Once for each that was counted. */
  end(charges: readonly Charge[]): void;
  /** Takes more, whatever is there; what is negative is given back, as far as there is room. */
  adjust(charges: readonly Charge[], more: Quantities): void;
  /** Sets the levels, but not what runs, to what is known from elsewhere, in the order of the charges. */
  learn(charges: readonly Charge[], levels: readonly Levels[]): void;
  /** What is there now, under the limit as it is now. It changes with the bucket: read it at once. */
  view(charge: Charge): BucketView;
  /**
   * From now on these are all the limits. Levels stay, up to the new amount; a quantity that was not limited is there in
   * full, and buckets of rules that are gone are dropped once nothing runs.
   */
  update(limits: readonly Limit[]): void;
  /** Those that are used, the emptiest first. */
  list(limit: number): readonly BucketView[];
  readonly size: number;
  /** How many were dropped for want of room although they were not full. */
  readonly evictions: number;
}

interface Bucket extends BucketView {
  limit: Limit;
  readonly levels: Record<Quantity | 'running', number>;
  /** When the levels were right. */
  atMs: number;
}

/** How many buckets are looked at for each that is added: all that are full are found before as many are added again. */
const looks = 2;
/** And how many where there is no room. */
const looksForRoom = 64;

/**
 * Creates the buckets. A full one in which nothing runs is what a new one is, so it is dropped when it is come across; a
 * bucket in which something runs never is. Where there are too many, the one that would be full soonest goes, of those
 * looked at.
 */
export function createLimitBuckets(
  { clock }: { readonly clock: Clock },
  { maxBuckets }: { readonly maxBuckets: number },
): LimitBuckets {
  const buckets = new Map<string, Bucket>();
  let limits = new Map<string, Limit>();
  let unseen = buckets.entries();
  let evictions = 0;

  /** The bucket as it is now; a full one that is not kept yet where there was none. */
  function current({ key, limit: asked, owner }: Charge): Bucket {
    const bucket = buckets.get(key);
    if (bucket !== undefined) {
      refill(bucket);
      return bucket;
    }
    // Whoever asks may have begun when the rule had other amounts.
    const limit = limits.get(asked.id) ?? asked;
    return { limit, owner, levels: { ...limit.amounts, running: 0 }, atMs: clock.nowMs() };
  }

  function refill(bucket: Bucket): void {
    const { limit, levels, atMs } = bucket;
    const nowMs = clock.nowMs();
    const { rule, limited, amounts } = limit;
    for (const quantity of limited)
      levels[quantity] = refilled(levels[quantity], amounts[quantity], rule.perMs, nowMs - atMs);
    bucket.atMs = nowMs;
  }

  function keep(key: string, bucket: Bucket): void {
    if (buckets.has(key)) return;
    buckets.set(key, bucket);
    dropSome();
  }

  function dropSome(): void {
    let soonest: { readonly key: string; readonly inMs: number } | undefined;
    for (let i = buckets.size > maxBuckets ? looksForRoom : looks; i > 0; i--) {
      const [key, bucket] = nextUnseen();
      if (bucket.levels.running > 0) continue;
      refill(bucket);
      const inMs = bucketFullInMs(bucket);
      if (inMs === 0) buckets.delete(key);
      else if (soonest === undefined || inMs < soonest.inMs) soonest = { key, inMs };
      if (buckets.size === 0) return;
    }
    if (soonest === undefined || buckets.size <= maxBuckets) return;
    buckets.delete(soonest.key);
    evictions++;
  }

  /** Goes round and round; there is at least one. */
  function nextUnseen(): [string, Bucket] {
    for (;;) {
      const next = unseen.next();
      if (next.done !== true) return next.value;
      unseen = buckets.entries();
    }
  }

  return {
    take(charges, cost) {
      const taken = charges.map(current);
      if (taken.some(({ limit, levels }) => lackOf(limit, levels, cost) !== undefined)) return false;
      taken.forEach((bucket, i) => {
        const { limit, levels } = bucket;
        for (const quantity of limit.limited) levels[quantity] -= cost[quantity];
        levels.running++;
        keep(charges[i]!.key, bucket);
      });
      return true;
    },

    begin(charges) {
      for (const charge of charges) {
        const bucket = current(charge);
        bucket.levels.running++;
        keep(charge.key, bucket);
      }
    },

    end(charges) {
      for (const { key } of charges) {
        const bucket = buckets.get(key);
        if (bucket !== undefined && bucket.levels.running > 0) bucket.levels.running--;
      }
    },

    adjust(charges, more) {
      for (const charge of charges) {
        const bucket = current(charge);
        const { limit, levels } = bucket;
        for (const quantity of limit.limited)
          levels[quantity] = Math.min(limit.amounts[quantity], levels[quantity] - more[quantity]);
        keep(charge.key, bucket);
      }
    },

    learn(charges, levels) {
      charges.forEach((charge, i) => {
        const bucket = current(charge);
        for (const quantity of charge.limit.limited) bucket.levels[quantity] = levels[i]![quantity];
        keep(charge.key, bucket);
      });
    },

    view: current,

    update(next) {
      limits = new Map(next.map((limit) => [limit.id, limit]));
      for (const [key, bucket] of buckets) {
        const limit = limits.get(bucket.limit.id);
        if (limit !== undefined) {
          refill(bucket);
          adopt(bucket, limit);
        } else if (bucket.levels.running === 0) buckets.delete(key);
      }
    },

    list(limit) {
      const used = topBy(buckets.values(), usedShare, limit);
      return used.map(({ limit, owner, levels }) => ({ limit, owner, levels: { ...levels } }));
    },

    get size() {
      return buckets.size;
    },
    get evictions() {
      return evictions;
    },
  };

  /** Undefined where nothing is used. */
  function usedShare(bucket: Bucket): number | undefined {
    refill(bucket);
    const { limit, levels } = bucket;
    const { concurrentRequests } = limit.rule;
    let share = concurrentRequests === undefined ? 0 : levels.running / concurrentRequests;
    for (const quantity of limit.limited)
      share = Math.max(share, 1 - levels[quantity] / limit.amounts[quantity]);
    return share > 0 || levels.running > 0 ? share : undefined;
  }
}

function bucketFullInMs({ limit, levels }: Bucket): number {
  const { rule, limited, amounts } = limit;
  let inMs = 0;
  for (const quantity of limited)
    inMs = Math.max(inMs, fullInMs(levels[quantity], amounts[quantity], rule.perMs));
  return inMs;
}

/** Puts a bucket under a limit of the same rule. */
function adopt(bucket: Bucket, limit: Limit): void {
  const { limit: before, levels } = bucket;
  bucket.limit = limit;
  for (const quantity of limit.limited) {
    const amount = limit.amounts[quantity];
    levels[quantity] = before.limited.includes(quantity) ? Math.min(levels[quantity], amount) : amount;
  }
}
