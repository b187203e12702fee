/** Where the levels of token limits are kept: in this process, or in one that several share. */
import type { Clock } from '../lib/clock.ts';
import { createLimitBuckets, type BucketView } from './limit-buckets.ts';
import type { Levels } from './limit-lack.ts';
import type { Charge, Limit, Quantities } from './limit-rule.ts';

/** What a request has taken and can change afterwards. */
export interface TakenHold {
  /** The request is in flight no longer. To be called once. */
  end(): void;
  /** Takes more, whatever is there; what is negative is given back. */
  adjust(more: Quantities): void;
}

/** Levels are those after taking, in the order of the charges. They may change: read them at once. */
export type TakeResult =
  | { readonly kind: 'taken'; readonly levels: readonly Levels[]; readonly hold: TakenHold }
  /** Nothing was taken: some bucket has too little, or too many requests in flight. */
  | { readonly kind: 'refused'; readonly levels: readonly Levels[] };

export interface LimitStore {
  /** Takes the cost from all buckets, or from none, and counts the request as in flight. A promise never rejects. */
  take(charges: readonly Charge[], cost: Quantities): TakeResult | Promise<TakeResult>;
  /** From now on these are all the limits. Levels stay, up to the new amounts. */
  update(limits: readonly Limit[]): void;
  /** Buckets that are used, as this process knows them, the emptiest first. */
  list(limit: number): readonly BucketView[];
  /** Buckets in memory. */
  readonly size: number;
  /** How many were dropped for want of room although they were not full. */
  readonly evictions: number;
}

export interface LocalLimitStoreOptions {
  /** Default 100 000; more only while requests are in flight for more. */
  readonly maxBuckets?: number;
}

/** Bound of the buckets in memory, where none is given. */
export const defaultMaxBuckets = 100_000;

/** Creates a store for one process alone. It answers at once. */
export function createLocalLimitStore(
  deps: { readonly clock: Clock },
  { maxBuckets = defaultMaxBuckets }: LocalLimitStoreOptions = {},
): LimitStore {
  const buckets = createLimitBuckets(deps, { maxBuckets });
  return {
    take(charges, cost) {
      const isTaken = buckets.take(charges, cost);
      const levels = charges.map((charge) => buckets.view(charge).levels);
      if (!isTaken) return { kind: 'refused', levels };
      const hold: TakenHold = {
        end: () => buckets.end(charges),
        adjust: (more) => buckets.adjust(charges, more),
      };
      return { kind: 'taken', levels, hold };
    },
    update: (limits) => buckets.update(limits),
    list: (limit) => buckets.list(limit),
    get size() {
      return buckets.size;
    },
    get evictions() {
      return buckets.evictions;
    },
  };
}
