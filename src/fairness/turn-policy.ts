/** The contract of turn policies: who of those that wait goes next. */
import type { TokenCount } from './token-count.ts';

/**
 * Orders the flows of one queue; a flow is what gets a share: a principal, or a session. The queue tells the policy of
 * all that happens and goes by its numbers; within a flow the first come is the first served. A policy must not call the
 * queue, and must not throw. `weight` is the flow's share among others, more than 0.
 */
export interface TurnPolicy {
  /** Lower goes first, equals go by arrival. Never NaN. Asked for flows that wait only. */
  priority(flow: string): number;
  /**
   * A flow that had nobody waiting has somebody who asks for a turn, which it may get at once. `active` is the least
   * priority of the flows that wait meanwhile, undefined where none does.
   */
  activated(flow: string, weight: number, active: number | undefined): void;
  /** Nobody of the flow waits any more. */
  deactivated?(flow: string): void;
  /** A request of the flow got its turn. */
  released(flow: string, weight: number, expected: TokenCount): void;
  /**
   * The slot of a request that was sent is free again. True where the flow may soon come back for it, so that a slot may
   * be held for a grace period.
   */
  freed?(flow: string): boolean;
  /** What a released request has used is known: undefined where nothing was. Once for each `released`. */
  settled(flow: string, weight: number, expected: TokenCount, spent: TokenCount | undefined): void;
  /** Another replica let the flow use so much. */
  charged?(flow: string, spent: TokenCount): void;
  /**
   * Whether a flow that asks for a turn may take a slot that is held, before all who wait; the least of their priorities
   * is `active`, undefined where nobody waits.
   */
  returns?(flow: string, active: number | undefined): boolean;
  /** While this number stays the same, a flow's priority changes only by the calls above that name the flow. */
  epoch(): number;
}
