/** Token limits: what callers may use, taken before a request is sent and made right when it is known what it used. */
import type { Caller } from './caller.ts';
import type { BucketView } from './limit-buckets.ts';
import { lackOf, type Lack, type Levels, type LimitedThing } from './limit-lack.ts';
import {
  createLimit,
  createLimitMatcher,
  quantities,
  type Charge,
  type LimitRule,
  type Quantities,
} from './limit-rule.ts';
import type { LimitStore, TakeResult } from './limit-store.ts';
import { rateLimitHeaders } from './rate-limit-headers.ts';
import type { TokenCount } from './token-count.ts';

/** What a request is expected to use at most. */
export type ExpectedTokens = Pick<TokenCount, 'inputTokens' | 'outputTokens'>;

/** What a request has taken. None of the functions throws; `settle` and `cancel` count once, whichever comes first. */
export interface LimitHold {
  /** What was left of the limits then, for the response: `x-ratelimit-…`. */
  readonly headers: Readonly<Record<string, string>>;
  /** The request is in flight no longer, though it may not be known yet what it used. `settle` and `cancel` do it too. */
  release(): void;
  /** Charges what was used instead of what was expected. Undefined: it used nothing, and counts as a request only. */
  settle(spent: TokenCount | undefined): void;
  /** The request was never sent: all is given back. */
  cancel(): void;
}

/** Why a request may not go on: the limit that it would have to wait longest for. */
export interface LimitRefusal {
  readonly kind: 'refused';
  /** Name of the rule. */
  readonly limit: string;
  readonly what: LimitedThing;
  readonly amount: number;
  /** `second`, `minute` … or, for other periods, `90 seconds`; undefined for concurrent requests. */
  readonly per: string | undefined;
  /** When there will be enough if nobody takes any until then; for concurrent requests when to look again. */
  readonly retryAfterMs: number;
  readonly headers: Readonly<Record<string, string>>;
}

export type LimitResult = { readonly kind: 'taken'; readonly hold: LimitHold } | LimitRefusal;

export interface TokenLimits {
  /**
   * Takes what the request is expected to use from every limit that is about it, or nothing where one has too little. What
   * is above a limit passes when nothing of the limit is used. Undefined: no rule is about it. A promise never rejects.
   */
  take(
    caller: Caller,
    model: string,
    expected: ExpectedTokens,
  ): undefined | LimitResult | Promise<LimitResult>;
  /** From now on these are the rules. Levels stay, by the rule's name, its scope and the owner, up to the new amounts. */
  update(rules: readonly LimitRule[]): void;
  /** Limits that are used, as this process knows them, the emptiest first. */
  list(limit: number): readonly BucketView[];
  /** Buckets in memory. */
  readonly size: number;
  /** How many were dropped for want of room although they were not full. */
  readonly evictions: number;
}

/** No engine has a context as long. Levels stay exact however much a client asks for. */
const mostTokens = 1e9;

const periods: ReadonlyMap<number, string> = new Map([
  [1000, 'second'],
  [60_000, 'minute'],
  [3_600_000, 'hour'],
  [86_400_000, 'day'],
  [30 * 86_400_000, 'month'],
]);

/** Creates the limits. They keep no timer; the store may. */
export function createTokenLimits(
  { store }: { readonly store: LimitStore },
  rules: readonly LimitRule[],
): TokenLimits {
  let match = use(rules);

  function use(next: readonly LimitRule[]): ReturnType<typeof createLimitMatcher> {
    const limits = next.map(createLimit);
    store.update(limits);
    return createLimitMatcher(limits);
  }

  return {
    take(caller, model, expected) {
      const charges = match(caller, model);
      if (charges === undefined) return undefined;
      const cost = costOf(expected);
      const taken = store.take(charges, cost);
      return taken instanceof Promise
        ? taken.then((result) => resultOf(charges, cost, result))
        : resultOf(charges, cost, taken);
    },
    update(next) {
      match = use(next);
    },
    list: (limit) => store.list(limit),
    get size() {
      return store.size;
    },
    get evictions() {
      return store.evictions;
    },
  };
}

function costOf({ inputTokens, outputTokens }: ExpectedTokens): Quantities {
  const input = Math.min(inputTokens, mostTokens);
  const output = Math.min(outputTokens, mostTokens);
  return { inputTokens: input, outputTokens: output, totalTokens: input + output, requests: 1 };
}

function resultOf(charges: readonly Charge[], cost: Quantities, result: TakeResult): LimitResult {
  const headers = rateLimitHeaders(charges, result.levels);
  if (result.kind === 'taken') return { kind: 'taken', hold: createHold(cost, headers, result.hold) };
  const lack = longestLack(charges, result.levels, cost);
  const { rule } = lack.limit;
  return {
    kind: 'refused',
    limit: rule.name,
    what: lack.what,
    amount: lack.amount,
    per: lack.what === 'concurrent requests' ? undefined : periodName(rule.perMs),
    retryAfterMs: lack.waitMs,
    headers,
  };
}

/** @throws Error when nothing lacks, which only a wrong answer of the store can bring about. */
function longestLack(charges: readonly Charge[], levels: readonly Levels[], cost: Quantities): Lack {
  let longest: Lack | undefined;
  charges.forEach(({ limit }, i) => {
    const lack = lackOf(limit, levels[i]!, cost);
    if (lack !== undefined && lack.waitMs > (longest?.waitMs ?? 0)) longest = lack;
  });
  if (longest === undefined) throw new Error('Cannot say which limit was reached: there is enough of all');
  return longest;
}

function createHold(
  cost: Quantities,
  headers: LimitHold['headers'],
  hold: Extract<TakeResult, { kind: 'taken' }>['hold'],
): LimitHold {
  let isInFlight = true;
  let isSettled = false;

  function release(): void {
    if (!isInFlight) return;
    isInFlight = false;
    hold.end();
  }

  function charge(used: Quantities): void {
    release();
    if (isSettled) return;
    isSettled = true;
    const more = difference(used, cost);
    if (quantities.some((quantity) => more[quantity] !== 0)) hold.adjust(more);
  }

  return {
    headers,
    release,
    settle: (spent) => charge(spent === undefined ? { ...nothing, requests: 1 } : costOf(spent)),
    cancel: () => charge(nothing),
  };
}

const nothing: Quantities = { inputTokens: 0, outputTokens: 0, totalTokens: 0, requests: 0 };

function difference(a: Quantities, b: Quantities): Quantities {
  return {
    inputTokens: a.inputTokens - b.inputTokens,
    outputTokens: a.outputTokens - b.outputTokens,
    totalTokens: a.totalTokens - b.totalTokens,
    requests: a.requests - b.requests,
  };
}

function periodName(perMs: number): string {
  return periods.get(perMs) ?? `${perMs / 1000} seconds`;
}
