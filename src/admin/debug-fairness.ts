/** `/debug/queue`, `/debug/ledger` and `/debug/limits`: who waits, who used what, and what is left of whose limits. */
import type { AdminReply, AdminRoute } from './http.ts';
import { withLimit } from './page-limit.ts';

/** A flow with somebody waiting: a principal, or a session where sessions are boosted. */
export interface FlowRecord {
  readonly flow: string;
  readonly waiting: number;
  readonly longestWaitMs: number;
  /** Lower goes first. */
  readonly priority: number;
}

/** The queue of one model. */
export interface QueueRecord {
  readonly model: string;
  readonly waiting: number;
  /** Turns under way. */
  readonly running: number;
  /** How many more requests its engines can take. */
  readonly freeSlots: number;
  /** The flows whose turn comes first, in that order. */
  readonly flows: readonly FlowRecord[];
}

interface UsageRecord {
  readonly requests: number;
  readonly inputTokens: number;
  /** Part of the input. */
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
}

/** What a principal used of a model in the window. */
export interface LedgerRecord extends UsageRecord {
  readonly principal: string;
  readonly model: string;
  /** How many of the input and output tokens no engine counted. */
  readonly estimatedTokens: number;
  /** Expected of requests under way, which are not in the counts above. */
  readonly reserved: UsageRecord;
  /** With what is reserved. */
  readonly weightedTokens: number;
}

type Quantity = 'inputTokens' | 'outputTokens' | 'totalTokens' | 'requests';

/** What is left of a limit for one owner. */
export interface LimitRecord {
  readonly limit: {
    readonly rule: {
      readonly name: string;
      readonly scope: 'principal' | 'group' | 'model';
      readonly perMs: number;
      readonly concurrentRequests?: number | undefined;
    };
    /** What of it is limited over time. */
    readonly limited: readonly Quantity[];
    readonly amounts: Readonly<Record<Quantity, number>>;
  };
  /** The principal, the group or the model. */
  readonly owner: string;
  readonly levels: Readonly<Record<Quantity, number>> & { readonly running: number };
}

/** A long list of which the first are asked for, and how long it is. */
interface Listing<T> {
  list(limit: number): readonly T[];
  readonly size: number;
  /** Forgotten for lack of room. */
  readonly evictions: number;
}

export interface FairnessDebugDeps {
  /** All queues, with at most so many flows of each. */
  readonly queues: (maxFlows: number) => readonly QueueRecord[];
  /** Most weighted tokens first. */
  readonly ledger: Listing<LedgerRecord>;
  /** The emptiest first. */
  readonly limits: Listing<LimitRecord>;
  /** How pages call a principal, or a session; undefined where they shall not name it. */
  readonly nameOf: (id: string) => string | undefined;
}

/** Creates the pages. Nobody is named but by `nameOf`. */
export function createFairnessDebugRoutes(deps: FairnessDebugDeps): readonly AdminRoute[] {
  const { queues, ledger, limits, nameOf } = deps;
  return [
    {
      path: '/debug/queue',
      description: 'Queues: who waits, in the order of turns; ?limit=',
      answer: (query) =>
        withLimit(query, (limit) => {
          const fullestFirst = [...queues(limit)].sort((a, b) => b.waiting - a.waiting);
          return page({ queues: fullestFirst.map((queue) => describeQueue(queue, nameOf)) });
        }),
    },
    {
      path: '/debug/ledger',
      description: 'Tokens used in the window by principal and model, most first; ?limit=',
      answer: (query) =>
        withLimit(query, (limit) => {
          const entries = ledger.list(limit).map((entry) => describeEntry(entry, nameOf));
          return page({ total: ledger.size, evictions: ledger.evictions, entries });
        }),
    },
    {
      path: '/debug/limits',
      description: 'Token limits in use and what is left of them, least first; ?limit=',
      answer: (query) =>
        withLimit(query, (limit) => {
          const buckets = limits.list(limit).map((bucket) => describeBucket(bucket, nameOf));
          return page({ total: limits.size, evictions: limits.evictions, buckets });
        }),
    },
  ];
}

function page(body: object): AdminReply {
  return { status: 200, body };
}

function describeQueue(
  { model, waiting, running, freeSlots, flows }: QueueRecord,
  nameOf: FairnessDebugDeps['nameOf'],
): object {
  return {
    model,
    waiting,
    running,
    freeSlots,
    flows: flows.map(({ flow, longestWaitMs, ...rest }) => ({
      flow: nameOf(flow),
      ...rest,
      longestWaitSeconds: seconds(longestWaitMs),
    })),
  };
}

function describeEntry(entry: LedgerRecord, nameOf: FairnessDebugDeps['nameOf']): object {
  const { model, weightedTokens, requests, inputTokens, cachedInputTokens, outputTokens } = entry;
  const tokens = inputTokens + outputTokens;
  return {
    principal: nameOf(entry.principal),
    model,
    weightedTokens: rounded(weightedTokens),
    requests,
    inputTokens,
    cachedInputTokens,
    outputTokens,
    estimatedShare: tokens === 0 ? 0 : rounded(entry.estimatedTokens / tokens),
    reserved: describeReserved(entry.reserved),
  };
}

function describeReserved({ requests, inputTokens, outputTokens }: UsageRecord): object {
  return { requests, inputTokens, outputTokens };
}

function describeBucket({ limit, owner, levels }: LimitRecord, nameOf: FairnessDebugDeps['nameOf']): object {
  const { name, scope, perMs, concurrentRequests } = limit.rule;
  const left = limit.limited.map((quantity): [string, object] => [
    quantity,
    { left: rounded(levels[quantity]), of: limit.amounts[quantity] },
  ]);
  return {
    limit: name,
    scope,
    owner: scope === 'principal' ? nameOf(owner) : owner,
    perSeconds: seconds(perMs),
    ...Object.fromEntries(left),
    running: levels.running,
    concurrentRequests,
  };
}

function seconds(milliseconds: number): number {
  return Math.round(milliseconds) / 1000;
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
