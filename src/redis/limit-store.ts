/** Token limits that several replicas share, in Redis; while it is away each goes on by itself, and tells it afterwards. */
import { createLimitBuckets, type BucketView } from '../fairness/limit-buckets.ts';
import type { Levels } from '../fairness/limit-lack.ts';
import { quantities, type Charge, type Quantities, type Quantity } from '../fairness/limit-rule.ts';
import {
  defaultMaxBuckets,
  type LimitStore,
  type TakenHold,
  type TakeResult,
} from '../fairness/limit-store.ts';
import type { Clock } from '../lib/clock.ts';
import type { RedisConnection } from './connection.ts';
import { createDebts, type Debt } from './debts.ts';
import { createLeases } from './leases.ts';
import { adjustScript, takeScript } from './limit-scripts.ts';
import { createRedisScript } from './script.ts';

export interface RedisLimitStoreDeps {
  readonly clock: Clock;
  readonly connection: RedisConnection;
}

export interface RedisLimitStoreOptions {
  /** Name of this process, unlike that of any other that ever uses the same Redis. */
  readonly replica: string;
  /** After this time the requests of a replica that died are in flight no longer. Default 30 000. */
  readonly leaseMs?: number;
  /** Bound of the buckets that this process remembers. Default 100 000; more only while requests are in flight for more. */
  readonly maxBuckets?: number;
}

export interface RedisLimitStore extends LimitStore {
  /** Ends its timer. What is still in flight stays so in Redis until its lease ends. */
  stop(): void;
}

const levelPrefix = 'sluice:limits:level:';
const leasePrefix = 'sluice:limits:running:';
/** Buckets in one call of a script: little enough that nobody waits long behind it. */
const batchSize = 100;

/**
 * Creates the store.
 *
 * Each answer of Redis is remembered. While Redis is away, levels go on from there in this process; what is taken
 * meanwhile is owed to Redis, and debited, as far as it would not have been refilled meanwhile, before anything else is
 * asked of the same bucket. Where Redis has forgotten a bucket, it gets the level that is known here.
 */
export function createRedisLimitStore(
  { clock, connection }: RedisLimitStoreDeps,
  { replica, leaseMs = 30_000, maxBuckets = defaultMaxBuckets }: RedisLimitStoreOptions,
): RedisLimitStore {
  const buckets = createLimitBuckets({ clock }, { maxBuckets });
  const debts = createDebts({ maxDebts: maxBuckets });
  const leases = createLeases({ clock, connection }, { replica, leaseMs });
  const runTake = createRedisScript(takeScript);
  const runAdjust = createRedisScript(adjustScript);

  const stopListening = connection.onChange(({ kind }) => {
    if (kind === 'up') void payAll();
  });

  async function takeShared(charges: readonly Charge[], cost: Quantities): Promise<TakeResult> {
    void pay(debts.takeOut(charges));
    const lease = leases.name();
    let isLate = false;
    const answer = await connection.run(async (redis) => {
      const args = takeArgs(charges, cost, lease, leaseMs);
      const late = parseTaken(await runTake(redis, takeKeys(charges), args), charges.length);
      // By then it was decided without Redis, and what was taken is owed.
      if (isLate && late.isTaken) {
        leases.drop(lease, leaseSets(charges));
        change(charges, negative(cost));
      }
      return late;
    });
    if (answer === undefined) {
      isLate = true;
      return takeAlone(charges, cost);
    }
    const { isTaken, levels } = answer;
    if (isTaken) buckets.begin(charges);
    buckets.learn(charges, levels);
    return isTaken
      ? { kind: 'taken', levels, hold: createHold(charges, lease) }
      : { kind: 'refused', levels };
  }

  function takeAlone(charges: readonly Charge[], cost: Quantities): TakeResult {
    const isTaken = buckets.take(charges, cost);
    const levels = charges.map((charge) => buckets.view(charge).levels);
    if (!isTaken) return { kind: 'refused', levels };
    debts.add(charges, cost);
    return { kind: 'taken', levels, hold: createHold(charges, leases.name()) };
  }

  function createHold(charges: readonly Charge[], lease: string): TakenHold {
    const sets = leaseSets(charges);
    leases.hold(lease, sets);
    return {
      end() {
        buckets.end(charges);
        leases.drop(lease, sets);
      },
      adjust(more) {
        buckets.adjust(charges, more);
        change(charges, more);
      },
    };
  }

  /** Has Redis take more, now or when it is back. */
  function change(charges: readonly Charge[], more: Quantities): void {
    const changed = charges.filter(({ limit }) => limit.limited.some((quantity) => more[quantity] !== 0));
    debts.add(changed, more);
    if (connection.up) void pay(debts.takeOut(changed));
  }

  async function payAll(): Promise<void> {
    while (connection.up && debts.size > 0) await pay(debts.takeSome(batchSize));
  }

  /** What cannot be paid is owed again. */
  async function pay(owed: readonly Debt[]): Promise<void> {
    if (owed.length === 0) return;
    const due = owed.map((debt) => dueOf(debt, buckets.view(debt.charge)));
    let isLate = false;
    const paid = await connection.run(async (redis) => {
      const keys = due.map(({ charge }) => levelPrefix + charge.key);
      await runAdjust(redis, keys, due.flatMap(adjustArgs));
      if (isLate) for (const { charge, more } of due) change([charge], negative(more));
      return true;
    });
    if (paid !== undefined) return;
    isLate = true;
    for (const { charge, more } of due) debts.add([charge], more);
  }

  return {
    take: (charges, cost) => (connection.up ? takeShared(charges, cost) : takeAlone(charges, cost)),
    update: (limits) => buckets.update(limits),
    list: (limit) => buckets.list(limit),
    get size() {
      return buckets.size;
    },
    get evictions() {
      return buckets.evictions;
    },
    stop() {
      stopListening();
      leases.stop();
    },
  };
}

interface Due {
  readonly charge: Charge;
  readonly more: Quantities;
  /** The bucket as it is as far as is known here. */
  readonly known: BucketView;
}

/**
 * What is still to be debited: Redis has refilled its bucket all the while, and by more than was missing there it cannot
 * have been refilled. So no more is due than is missing from the bucket here, where all that is owed was taken.
 */
function dueOf({ charge, owed }: Debt, known: BucketView): Due {
  const { limit, levels } = known;
  const of = (quantity: Quantity): number =>
    Math.min(owed[quantity], limit.amounts[quantity] - levels[quantity]);
  return {
    charge,
    more: {
      inputTokens: of('inputTokens'),
      outputTokens: of('outputTokens'),
      totalTokens: of('totalTokens'),
      requests: of('requests'),
    },
    known,
  };
}

function takeKeys(charges: readonly Charge[]): string[] {
  return charges.flatMap(({ key }) => [levelPrefix + key, leasePrefix + key]);
}

/** Sets of leases, of those buckets that limit requests in flight. */
function leaseSets(charges: readonly Charge[]): string[] {
  return charges
    .filter(({ limit }) => limit.rule.concurrentRequests !== undefined)
    .map(({ key }) => leasePrefix + key);
}

function takeArgs(
  charges: readonly Charge[],
  cost: Quantities,
  lease: string,
  leaseMs: number,
): (string | number)[] {
  const args: (string | number)[] = [...valuesOf(cost), lease, leaseMs];
  for (const { limit } of charges)
    args.push(limit.rule.perMs, ...valuesOf(limit.amounts), limit.rule.concurrentRequests ?? 0);
  return args;
}

/** The limit may be another than the one under which it was taken. */
function adjustArgs({ more, known: { limit, levels } }: Due): number[] {
  const { rule, amounts } = limit;
  return [rule.perMs, ...valuesOf(amounts), ...valuesOf(more), ...valuesOf(levels)];
}

function valuesOf(numbers: Quantities): number[] {
  return quantities.map((quantity) => numbers[quantity]);
}

function negative(numbers: Quantities): Quantities {
  return {
    inputTokens: -numbers.inputTokens,
    outputTokens: -numbers.outputTokens,
    totalTokens: -numbers.totalTokens,
    requests: -numbers.requests,
  };
}

interface Taken {
  readonly isTaken: boolean;
  readonly levels: readonly Levels[];
}

/** @throws Error for anything but the script's answer. */
function parseTaken(answer: unknown, count: number): Taken {
  const numbers = Array.isArray(answer) ? answer.map(Number) : [];
  if (numbers.length !== 1 + 5 * count || numbers.some(Number.isNaN))
    throw new Error(`Cannot read the answer "${String(answer)}" of the script that takes from limits`);
  return {
    isTaken: numbers[0] === 1,
    levels: Array.from({ length: count }, (_, i) => {
      const [inputTokens, outputTokens, totalTokens, requests, running] = numbers.slice(1 + 5 * i) as [
        number,
        number,
        number,
        number,
        number,
      ];
      return { inputTokens, outputTokens, totalTokens, requests, running };
    }),
  };
}
