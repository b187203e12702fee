/** Turns by what was used lately, as Kthena has them: whoever used least in the ledger's window goes next. */
import type { TurnPolicy } from '../turn-policy.ts';

/** What the policy reads of the ledger, for the model that the queue is about. */
export interface WindowUsage {
  /** A principal's weighted tokens in the window, with what is reserved for requests under way. */
  weighted(principal: string): number;
  /** Its requests likewise. */
  requests(principal: string): number;
  /** Another number whenever something may have left the window. */
  slot(): number;
}

export interface WindowPolicyOptions {
  /** How much a weighted token counts, and how much a request; both 0: turns go by arrival. */
  readonly priorityTokenWeight: number;
  readonly priorityRequestNumWeight: number;
}

/**
 * Creates the policy; its flows are principals. It keeps nothing itself: reserve in the ledger when a request gets its
 * turn, in the tick of it, so that the next turn is decided with that, and settle before the turn is charged. Shares are
 * not looked at.
 */
export function createWindowPolicy(
  usage: WindowUsage,
  { priorityTokenWeight, priorityRequestNumWeight }: WindowPolicyOptions,
): TurnPolicy {
  return {
    priority: (flow) =>
      priorityTokenWeight * usage.weighted(flow) + priorityRequestNumWeight * usage.requests(flow),
    activated: nothing,
    released: nothing,
    settled: nothing,
    epoch: () => usage.slot(),
  };
}

function nothing(): void {}
