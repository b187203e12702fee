/** Token usage per principal and model over a sliding window: what was used, and what is reserved for requests under way. */
import type { Clock } from '../lib/clock.ts';
import type { Account, Source } from './account.ts';
import { Accounts } from './accounts.ts';
import { ModelTotals } from './model-totals.ts';
import { SlotClock } from './slot-clock.ts';
import { addUsage, isInWindow, noUsage, type UsageCount, type UsageSum } from './slot-counts.ts';
import { weightedTokens, type TokenCount, type TokenWeights } from './token-count.ts';
import { topBy } from './top-by.ts';
import { UntoldUsage, type ReplicatedUsage } from './untold-usage.ts';

export interface LedgerOptions extends TokenWeights {
  /** How long a token counts, to a sixtieth. */
  readonly windowSizeMs: number;
  /** Most pairs of a principal and a model. Beyond it whoever is idle longest is forgotten. */
  readonly maxEntries: number;
}

/** What a request really used. */
export interface Spent extends TokenCount {
  /** No engine counted it. */
  readonly estimated: boolean;
}

/** What is set aside for a request, from its release to its end. */
export interface Reservation {
  /** Puts what was spent in the place of what was expected. Once; later calls do nothing. Undefined: nothing was used. */
  settle(spent: Spent | undefined): void;
}

/** One principal's use of one model in the window, as operators see it. */
export interface LedgerEntry extends UsageCount {
  readonly principal: string;
  readonly model: string;
  /** Expected of requests under way, which are not in the counts. */
  readonly reserved: UsageCount;
  /** With what is reserved. */
  readonly weightedTokens: number;
}

export interface Ledger {
  /** Sets aside what a request is expected to use; it counts as if it were used, until it is settled. */
  reserve(principal: string, model: string, expected: TokenCount): Reservation;
  /** Weighted tokens in the window plus what is reserved; 0 where nothing is known. */
  weighted(principal: string, model: string): number;
  /** Requests settled in the window plus those under way. */
  requests(principal: string, model: string): number;
  /**
   * The number of the slot at `nowMs`. When it changes something may have left the window: `weighted` of anybody may be
   * lower than before.
   */
  slotAt(nowMs: number): number;
  /** At most `limit` entries, most weighted tokens first. Looks at all of them: for a debug page. */
  list(limit: number): readonly LedgerEntry[];
  /** What was settled here since the start, by model; of very many models the later ones together as `other`. */
  totals(): ReadonlyMap<string, UsageCount>;
  /** How many entries there are. */
  readonly size: number;
  /** Entries forgotten for lack of room. */
  readonly evictions: number;
  /** Makes these the options. What is known stays: other weights count for it at once, another window from now on. */
  update(options: LedgerOptions): void;
  readonly replication: LedgerReplication;
}

/** How replicas tell each other what was used; see `slotAt`. Reservations stay at home: they are gone before they matter. */
export interface LedgerReplication {
  readonly windowSizeMs: number;
  /**
   * What was used here, in slots that changed since they were last taken: always all that the slot has, so that it may be
   * told twice. About `limit` of them; the others with later calls.
   */
  takeChanges(limit: number): readonly ReplicatedUsage[];
  /** Not all that was taken has arrived: everything in the window is taken again. */
  putBack(): void;
  /** Begins to count what another replica used. */
  addReplica(): ReplicaUsage;
}

/** What another replica used, as far as it told. */
export interface ReplicaUsage {
  /** Makes this the use in a slot, and returns what is new of it; undefined where nothing is. */
  replace(usage: ReplicatedUsage): TokenCount | undefined;
  /** Counts nothing of it any more. */
  drop(): void;
}

/** Far more than anybody serves: totals by model are for life. */
const maxModelTotals = 1000;
/** Entries with nothing left in the window that go when `size` is read. */
const sweptPerLook = 1000;

/** Creates an empty ledger. It keeps no timer: what left the window is forgotten with later calls. */
export function createLedger({ clock }: { readonly clock: Clock }, initial: LedgerOptions): Ledger {
  let options = initial;
  let slots = new SlotClock(clock, options.windowSizeMs);
  const untold = new UntoldUsage();
  const accounts = new Accounts((account) => untold.forget(account));
  const totals = new ModelTotals(maxModelTotals);
  /** Scratch, so that reading allocates nothing. */
  const sum = noUsage();

  function use(principal: string, model: string): Account {
    return accounts.use(principal, model, slots, options.maxEntries);
  }

  function charge(account: Account, { estimated, ...spent }: Spent): void {
    const count: UsageCount = {
      inputTokens: spent.inputTokens,
      cachedInputTokens: Math.min(spent.cachedInputTokens, spent.inputTokens),
      outputTokens: spent.outputTokens,
      requests: 1,
      estimatedTokens: estimated ? spent.inputTokens + spent.outputTokens : 0,
    };
    const { slot } = slots;
    account.own.add(slot, count);
    totals.add(account.model, count);
    untold.add(account, slot);
  }

  /** Reads what was used into the scratch sum. */
  function readUsed(account: Account): UsageSum {
    account.slideTo(slots);
    account.readInto(sum);
    return sum;
  }

  /** The same with what is reserved. */
  function readAll(account: Account): UsageSum {
    addUsage(readUsed(account), account.reserved);
    return sum;
  }

  function entryOf(account: Account): LedgerEntry {
    return {
      principal: account.principal,
      model: account.model,
      weightedTokens: weightedTokens(readAll(account), options),
      ...readUsed(account),
      reserved: { ...account.reserved },
    };
  }

  const replication: LedgerReplication = {
    get windowSizeMs() {
      return options.windowSizeMs;
    },
    takeChanges: (limit) => untold.take(limit, slots),
    putBack: () => untold.addAll(accounts),
    addReplica() {
      const source: Source = { dropped: false };
      return {
        replace(usage) {
          if (source.dropped || !isInWindow(usage.slot, slots.slot)) return undefined;
          const before = use(usage.principal, usage.model).replace(source, usage.slot, usage);
          return increase(before, usage);
        },
        drop() {
          source.dropped = true;
        },
      };
    },
  };

  return {
    reserve(principal, model, expected) {
      const account = use(principal, model);
      accounts.reserve(account, expected, 1);
      let settled = false;
      return {
        settle(spent) {
          if (settled) return;
          settled = true;
          // It may have been forgotten for lack of room; there may be another of the same name.
          if (accounts.find(principal, model) === account) accounts.reserve(account, expected, -1);
          if (spent !== undefined) charge(use(principal, model), spent);
        },
      };
    },
    weighted(principal, model) {
      const account = accounts.find(principal, model);
      return account === undefined ? 0 : weightedTokens(readAll(account), options);
    },
    requests(principal, model) {
      const account = accounts.find(principal, model);
      return account === undefined ? 0 : readAll(account).requests;
    },
    slotAt: (nowMs) => slots.slotAt(nowMs),
    list(limit) {
      const weightOf = (account: Account): number | undefined => {
        const weight = weightedTokens(readAll(account), options);
        return account.idle ? undefined : weight;
      };
      return topBy(accounts, weightOf, limit).map(entryOf);
    },
    totals: () => totals.byModel,
    get size() {
      accounts.sweep(slots, sweptPerLook);
      return accounts.size;
    },
    get evictions() {
      return accounts.evictions;
    },
    update(next) {
      const { windowSizeMs } = options;
      options = next;
      accounts.evict(options.maxEntries);
      if (windowSizeMs === next.windowSizeMs) return;
      slots = new SlotClock(clock, next.windowSizeMs);
      untold.addAll(accounts);
    },
    replication,
  };
}

/** What is new since `before`; undefined where nothing is. */
function increase(before: TokenCount, now: TokenCount): TokenCount | undefined {
  const inputTokens = Math.max(0, now.inputTokens - before.inputTokens);
  const cachedInputTokens = Math.max(0, now.cachedInputTokens - before.cachedInputTokens);
  const outputTokens = Math.max(0, now.outputTokens - before.outputTokens);
  if (inputTokens === 0 && outputTokens === 0) return undefined;
  return { inputTokens, cachedInputTokens, outputTokens };
}
