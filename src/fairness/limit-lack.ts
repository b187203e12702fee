/** Whether a bucket has what a request needs, and if not, of what it has too little. */
import type { Limit, Quantities, Quantity } from './limit-rule.ts';
import { waitMs } from './token-bucket.ts';

/** What is in a bucket; of the quantities only the limited ones mean anything. */
export interface Levels extends Quantities {
  /** Requests in flight that count against it. */
  readonly running: number;
}

export type LimitedThing =
  'input tokens' | 'output tokens' | 'total tokens' | 'requests' | 'concurrent requests';

/** What of a limit a request has to wait for. */
export interface Lack {
  readonly limit: Limit;
  readonly what: LimitedThing;
  readonly amount: number;
  /** How long, at least; nobody knows when requests that run will end. */
  readonly waitMs: number;
}

/** When to look again whether a request has ended. */
const concurrencyWaitMs = 1000;

const words: Readonly<Record<Quantity, LimitedThing>> = {
  inputTokens: 'input tokens',
  outputTokens: 'output tokens',
  totalTokens: 'total tokens',
  requests: 'requests',
};

/** What the request has to wait longest for; undefined where there is enough of all. */
export function lackOf(limit: Limit, levels: Levels, cost: Quantities): Lack | undefined {
  const { rule, limited, amounts } = limit;
  let lack: Lack | undefined;
  const { concurrentRequests } = rule;
  if (concurrentRequests !== undefined && levels.running >= concurrentRequests)
    lack = { limit, what: 'concurrent requests', amount: concurrentRequests, waitMs: concurrencyWaitMs };
  for (const quantity of limited) {
    const amount = amounts[quantity];
    const neededMs = waitMs(levels[quantity], amount, rule.perMs, cost[quantity]);
    if (neededMs > (lack?.waitMs ?? 0)) lack = { limit, what: words[quantity], amount, waitMs: neededMs };
  }
  return lack;
}
