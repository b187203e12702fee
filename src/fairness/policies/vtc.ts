/**
 * Turns by the Virtual Token Counter: Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024,
 * arXiv 2401.00588, with the weights and the expected output lengths that it describes as variants.
 *
 * Each flow has a counter of the service that it got, and the least counter goes next.
 *
 * - A request is charged when it gets its turn: weighted tokens divided by the flow's weight. The paper then charges
 *   output as it is generated; here what is expected is charged at once, and made what it really was at the end, so
 *   that many turns given together do not all go to one flow.
 * - A flow of which nobody waited is lifted when somebody does: to the least counter among those that wait, or where
 *   nobody waits to the counter of the flow that got the last turn. So nobody saves up service by not asking for it, and
 *   using idle engines is held against nobody.
 *
 * Between two flows that always have requests waiting, service by weight differs by a constant, however long they do: in
 * the paper by twice the larger of the most expensive prompt and what one batch holds, here by twice what the turns under
 * way may cost, with what they were underestimated by.
 */
import { LinkedList, type ListNode } from '../../lib/linked-list.ts';
import { weightedTokens, type TokenWeights } from '../token-count.ts';
import type { TurnPolicy } from '../turn-policy.ts';

export interface VtcPolicyOptions extends TokenWeights {
  /** How many flows are remembered that have nothing waiting and nothing under way. Default 10,000. */
  readonly maxIdleFlows?: number | undefined;
}

export interface VtcPolicy extends TurnPolicy {
  /** How many flows it knows. */
  readonly size: number;
  /** Changes weights and bound; counters stay. */
  update(options: VtcPolicyOptions): void;
}

interface Counter {
  readonly flow: string;
  /** Weighted tokens divided by the flow's weight. */
  value: number;
  /** As it was last seen. */
  weight: number;
  isWaiting: boolean;
  /** Requests released and not yet settled. */
  underWay: number;
  /** Where it stands among the idle ones, if it does. */
  idle: ListNode<Counter> | undefined;
}

const defaultMaxIdleFlows = 10_000;
/** Idle counters looked at for each that is added: more than one, so that they become fewer. */
const sweptPerAdded = 2;

/** Creates the policy. A counter to which everybody would be lifted anyway is soon forgotten. */
export function createVtcPolicy(options: VtcPolicyOptions): VtcPolicy {
  let settings = options;
  const counters = new Map<string, Counter>();
  /** Counters with nothing waiting and nothing under way, from the longest so. */
  const idle = new LinkedList<Counter>();
  /** The flow that got the last turn. */
  let last: Counter | undefined;
  /** What a flow was lifted to, when one last was. */
  let lift = 0;

  /** The counter of a flow that is not idle, or will not be for long. */
  function rouse(flow: string): Counter {
    let counter = counters.get(flow);
    if (counter === undefined) {
      sweep();
      counter = { flow, value: lift, weight: 1, isWaiting: false, underWay: 0, idle: undefined };
      counters.set(flow, counter);
    } else if (counter.idle !== undefined) {
      idle.remove(counter.idle);
      counter.idle = undefined;
    }
    return counter;
  }

  function restIfIdle(counter: Counter): void {
    if (counter.isWaiting || counter.underWay > 0) return;
    counter.idle = idle.append(counter);
    if (idle.size > (settings.maxIdleFlows ?? defaultMaxIdleFlows)) forget(idle.first!);
  }

  /** Forgets idle counters that make no difference. One that does waits in front, to be forgotten first of all others. */
  function sweep(): void {
    for (let i = 0; i < sweptPerAdded; i++) {
      if (idle.first === undefined || idle.first.value > lift) return;
      forget(idle.first);
    }
  }

  function forget(counter: Counter): void {
    idle.remove(counter.idle!);
    counters.delete(counter.flow);
  }

  return {
    priority: (flow) => counters.get(flow)?.value ?? lift,
    activated(flow, weight, active) {
      lift = active ?? last?.value ?? 0;
      const counter = rouse(flow);
      counter.value = Math.max(counter.value, lift);
      counter.weight = weight;
      counter.isWaiting = true;
    },
    deactivated(flow) {
      const counter = counters.get(flow);
      if (counter === undefined) return;
      counter.isWaiting = false;
      restIfIdle(counter);
    },
    released(flow, weight, expected) {
      const counter = rouse(flow);
      counter.weight = weight;
      counter.underWay++;
      counter.value += weightedTokens(expected, settings) / weight;
      last = counter;
    },
    settled(flow, weight, expected, spent) {
      const counter = counters.get(flow);
      if (counter === undefined || counter.underWay === 0) return;
      counter.underWay--;
      const tokens = spent === undefined ? 0 : weightedTokens(spent, settings);
      counter.value += (tokens - weightedTokens(expected, settings)) / weight;
      restIfIdle(counter);
    },
    charged(flow, spent) {
      const counter = rouse(flow);
      // What it would be lifted to if it asked here: otherwise what it uses elsewhere would not count.
      counter.value = Math.max(counter.value, lift) + weightedTokens(spent, settings) / counter.weight;
      restIfIdle(counter);
    },
    epoch: () => 0,
    get size() {
      return counters.size;
    },
    update(next) {
      settings = next;
      while (idle.size > (settings.maxIdleFlows ?? defaultMaxIdleFlows)) forget(idle.first!);
    },
  };
}
