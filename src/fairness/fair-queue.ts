/** The queue in front of the engines of one model: who asks gets a turn when there is room and it is theirs. */
import { createAlarm } from '../lib/alarm.ts';
import type { Clock } from '../lib/clock.ts';
import { createDrainRate } from './drain-rate.ts';
import { createReleaseRate } from './release-rate.ts';
import type { TokenCount } from './token-count.ts';
import type { TurnPolicy } from './turn-policy.ts';
import { WaitingFlows, type Place } from './waiting-flows.ts';

export interface FairQueueOptions {
  /** Most that may wait, of all flows and of each. */
  readonly maxQueued: number;
  readonly maxQueuedPerFlow: number;
  /** Who has waited for so long leaves without a turn. */
  readonly queueTimeoutMs: number;
  /** Who has waited for longer goes out of turn, the oldest first, in every eighth turn at most; 0: nobody does. */
  readonly agingAfterMs: number;
  /**
   * How many turns may be under way. 0: as many as there are free slots, or, where `maxQps` is set, any number.
   */
  readonly maxConcurrent: number;
  /** How many turns may begin in a second, evenly spaced; 0 is no limit. */
  readonly maxQps: number;
  /** How long a freed slot is held for a flow that the policy expects back. Default 0. */
  readonly gracePeriodMs?: number | undefined;
}

/** None of these may call the queue or throw. */
export interface FairQueueDeps {
  readonly clock: Clock;
  readonly policy: TurnPolicy;
  /** How many more requests the engines can take now; more than that are never released and not yet started. */
  readonly freeSlots: () => number;
  /** Whether there is any engine: without one nobody is let go, whatever bounds the turns. Default: there is. */
  readonly isServed?: () => boolean;
  /** Whether too many wait already for this one, of other queues too: a bound besides `maxQueued`. */
  readonly isCrowded?: (entry: QueueEntry) => boolean;
  /** Told of each turn. */
  readonly onRelease?: (waitedMs: number) => void;
  /** Told of everybody who leaves without one. */
  readonly onLeave?: (reason: LeaveReason) => void;
}

/** Why somebody left without a turn: waited too long, was aborted, or the queue was closed. */
export type LeaveReason = 'timeout' | 'left' | 'closed';

export interface QueueEntry {
  /** Who gets the share. A request that belongs to nobody has a flow of its own. */
  readonly flow: string;
  /** The flow's share among others, more than 0. */
  readonly weight: number;
  readonly expected: TokenCount;
  /** How much has to be kept of it while it waits. Default 0. */
  readonly keptBytes?: number;
  /**
   * Called when its turn has come, before it is decided whose turn comes next: to reserve in a ledger that the policy
   * reads. Must not call the queue or throw.
   */
  readonly reserve?: () => void;
}

/**
 * The right to be sent to an engine. A turn that was given is never taken back: whoever got one calls `end` and `charge`,
 * also where the client left in the same tick, or nothing was sent. Every call but the first of each does nothing.
 */
export interface Turn {
  /** It is among the requests in flight by now: `freeSlots` counts it. */
  started(): void;
  /** It is in flight no longer, whether it ever was or not. */
  end(): void;
  /** What it used, undefined where that is nothing; before or after `end`. Ledgers that the policy reads come first. */
  charge(spent: TokenCount | undefined): void;
}

export type WaitEnd =
  { readonly kind: 'turn'; readonly turn: Turn; readonly waitedMs: number } | { readonly kind: LeaveReason };

export type JoinResult =
  | { readonly kind: 'turn'; readonly turn: Turn }
  /** Too many wait, in all or of this flow; there should be room again after so long. */
  | { readonly kind: 'full'; readonly scope: 'queue' | 'principal'; readonly retryAfterMs: number }
  /** `settled` never rejects. */
  | { readonly kind: 'waiting'; readonly settled: Promise<WaitEnd> };

/** A flow with somebody waiting, as operators see it. */
export interface FlowView {
  readonly flow: string;
  readonly waiting: number;
  /** As the policy has it; lower goes first. */
  readonly priority: number;
  readonly longestWaitMs: number;
}

export interface FairQueue {
  /**
   * Asks for a turn: at once where nobody waits and there is room. `onWait` is called when the request has to wait, and
   * returns the signal that makes it leave; it must not call the queue or throw.
   */
  join(entry: QueueEntry, onWait: () => AbortSignal): JoinResult;
  /** Something changed outside, metrics or membership: looks whether somebody may go. Cheap where nobody waits. */
  poke(): void;
  /** Another replica let a flow use so much. */
  charged(flow: string, spent: TokenCount): void;
  /** How many wait, and how many turns are under way. */
  readonly waiting: number;
  readonly running: number;
  /** How many flows have somebody waiting. */
  readonly waitingFlows: number;
  /** The flows that wait, in the order of turns. */
  flows(limit: number): readonly FlowView[];
  /**
   * Goes by other options from now on. Everybody stays in line, and waits no longer than it was to when it came. Turns under way are charged to the policy that gave them:
   * give the same policy where it is to keep what it knows.
   */
  update(policy: TurnPolicy, options: FairQueueOptions): void;
  /** Ends it: whoever waits leaves, and so does whoever joins later. Turns under way end as usual. */
  close(): void;
}

interface Waiter {
  readonly entry: QueueEntry;
  readonly joinedAtMs: number;
  /** How long it waits at most: whoever asked for it was promised no more, and may have less after an update. */
  timeoutMs: number;
  readonly signal: AbortSignal;
  readonly onAbort: () => void;
  readonly settle: (end: WaitEnd) => void;
}

/** One turn in so many may go to who waits longest: nobody starves, and the order stays the policy's. */
const agedEvery = 8;
const minRetryAfterMs = 1000;

/**
 * Creates a queue. It works whenever something happened: a join, a start, an end, a poke, or the one timer that it keeps
 * while somebody waits, armed for the first moment that matters. After each of these nobody waits for whom there is room.
 * Nobody is chosen before there is.
 *
 * Where a turn and a timeout fall together, the turn wins.
 */
export function createFairQueue(deps: FairQueueDeps, options: FairQueueOptions): FairQueue {
  const { clock, freeSlots, isServed, isCrowded, onRelease, onLeave } = deps;
  let { policy } = deps;
  let settings = options;
  const waiting = new WaitingFlows<Waiter>(policy);
  const rate = createReleaseRate();
  rate.update(settings.maxQps, clock.nowMs());
  const drain = createDrainRate();
  const alarm = createAlarm(clock, wake);
  /** Since when slots are held for who may come back, oldest first. */
  const heldSinceMs: number[] = [];
  let running = 0;
  /** Turns that `freeSlots` does not count yet. */
  let unstarted = 0;
  let turnsSinceAged = agedEvery;
  let closed = false;

  /** How many more could go, were it not for held slots and the rate. */
  function slots(): number {
    if (isServed?.() === false) return 0;
    if (settings.maxConcurrent > 0) return settings.maxConcurrent - running;
    return settings.maxQps > 0 ? Infinity : freeSlots() - unstarted;
  }

  /** Lets go everybody who may. */
  function release(): void {
    if (waiting.size === 0) {
      rate.keeps(false);
      return;
    }
    const nowMs = clock.nowMs();
    lookAtTime(nowMs);
    // Nothing outside changes while this runs.
    let room = slots() - heldSinceMs.length;
    for (; room > 0 && rate.ready; room--) {
      const place = nextPlace(nowMs);
      if (place === undefined) break;
      const { entry, joinedAtMs, signal, onAbort, settle } = place.value;
      signal.removeEventListener('abort', onAbort);
      // Before it is removed: what it is charged is then seen when its flow finds its new place.
      const turn = begin(entry, nowMs);
      waiting.remove(place);
      const waitedMs = nowMs - joinedAtMs;
      settle({ kind: 'turn', turn, waitedMs });
      onRelease?.(waitedMs);
    }
    rate.keeps(room > 0 && waiting.size > 0);
  }

  function lookAtTime(nowMs: number): void {
    rate.begin(nowMs);
    const { gracePeriodMs = 0 } = settings;
    while (heldSinceMs.length > 0 && heldSinceMs[0]! + gracePeriodMs <= nowMs) heldSinceMs.shift();
  }

  function nextPlace(nowMs: number): Place<Waiter> | undefined {
    const { oldest } = waiting;
    const { agingAfterMs } = settings;
    if (oldest === undefined) return undefined;
    turnsSinceAged++;
    if (agingAfterMs === 0 || turnsSinceAged < agedEvery || nowMs - oldest.value.joinedAtMs <= agingAfterMs)
      return waiting.next;
    turnsSinceAged = 0;
    return oldest;
  }

  /** Gives a turn. */
  function begin(entry: QueueEntry, nowMs: number): Turn {
    const { flow, weight, expected } = entry;
    const givenBy = policy;
    running++;
    unstarted++;
    rate.took();
    drain.released(nowMs);
    givenBy.released(flow, weight, expected);
    entry.reserve?.();

    let state: 'given' | 'started' | 'ended' = 'given';
    let charged = false;
    return {
      started() {
        if (state !== 'given') return;
        state = 'started';
        unstarted--;
        releaseAndArm();
      },
      end() {
        if (state === 'ended') return;
        if (state === 'given') unstarted--;
        else if (givenBy.freed?.(flow) === true && (settings.gracePeriodMs ?? 0) > 0)
          heldSinceMs.push(clock.nowMs());
        state = 'ended';
        running--;
        releaseAndArm();
      },
      charge(spent) {
        if (charged) return;
        charged = true;
        givenBy.settled(flow, weight, expected, spent);
        waiting.reorderFlow(flow);
      },
    };
  }

  /** Whether somebody who asks for a turn gets it at once. */
  function goesAtOnce(flow: string): boolean {
    lookAtTime(clock.nowMs());
    // Within a flow nobody overtakes.
    const returns =
      heldSinceMs.length > 0 &&
      waiting.sizeOf(flow) === 0 &&
      policy.returns?.(flow, waiting.leastPriority) === true;
    if (waiting.size > 0 && !returns) return false;
    if (!rate.ready || slots() <= (returns ? 0 : heldSinceMs.length)) return false;
    if (returns) heldSinceMs.shift();
    return true;
  }

  /** Undefined: there is room for one more to wait. */
  function refusal(entry: QueueEntry): JoinResult | undefined {
    const { flow } = entry;
    const ofFlow = waiting.sizeOf(flow);
    const flowIsFull = ofFlow >= settings.maxQueuedPerFlow;
    if (!flowIsFull && waiting.size < settings.maxQueued && isCrowded?.(entry) !== true) return undefined;
    // A flow drains by its share of the turns.
    const turns = flowIsFull ? Math.min(waiting.size, ofFlow * waiting.flows) : waiting.size;
    const drainMs = drain.msFor(turns, clock.nowMs());
    return {
      kind: 'full',
      scope: flowIsFull ? 'principal' : 'queue',
      retryAfterMs: Math.max(minRetryAfterMs, Math.min(drainMs, settings.queueTimeoutMs)),
    };
  }

  function wait(entry: QueueEntry, signal: AbortSignal): Promise<WaitEnd> {
    if (signal.aborted) {
      onLeave?.('left');
      return Promise.resolve({ kind: 'left' });
    }
    const { promise, resolve } = Promise.withResolvers<WaitEnd>();
    const onAbort = (): void => leave(place, 'left');
    const place = waiting.add(entry.flow, entry.weight, {
      entry,
      joinedAtMs: clock.nowMs(),
      timeoutMs: settings.queueTimeoutMs,
      signal,
      onAbort,
      settle: resolve,
    });
    signal.addEventListener('abort', onAbort, { once: true });
    arm();
    return promise;
  }

  function leave(place: Place<Waiter>, reason: LeaveReason): void {
    const { signal, onAbort, settle } = place.value;
    signal.removeEventListener('abort', onAbort);
    waiting.remove(place);
    settle({ kind: reason });
    onLeave?.(reason);
  }

  /** Sends off everybody who has waited too long. */
  function expire(): void {
    const nowMs = clock.nowMs();
    for (;;) {
      const { oldest } = waiting;
      if (oldest === undefined || deadlineMs(oldest.value) > nowMs) return;
      leave(oldest, 'timeout');
    }
  }

  function wake(): void {
    release();
    expire();
    arm();
  }

  function releaseAndArm(): void {
    release();
    arm();
  }

  /** Sets the alarm for all that time alone can change. It is left ringing for who has gone: that costs less. */
  function arm(): void {
    const { oldest } = waiting;
    if (oldest === undefined) return;
    alarm.at(deadlineMs(oldest.value));
    if (heldSinceMs.length > 0) alarm.at(heldSinceMs[0]! + (settings.gracePeriodMs ?? 0));
    if (rate.nextMs > clock.nowMs()) alarm.at(rate.nextMs);
  }

  return {
    join(entry, onWait) {
      if (closed) {
        onLeave?.('closed');
        return { kind: 'waiting', settled: Promise.resolve({ kind: 'closed' }) };
      }
      // Where there is room of which nobody told, it belongs to those who wait.
      releaseAndArm();
      if (goesAtOnce(entry.flow)) {
        const { flow, weight } = entry;
        policy.activated(flow, weight, waiting.leastPriority);
        const turn = begin(entry, clock.nowMs());
        policy.deactivated?.(flow);
        onRelease?.(0);
        return { kind: 'turn', turn };
      }
      return refusal(entry) ?? { kind: 'waiting', settled: wait(entry, onWait()) };
    },
    poke: releaseAndArm,
    charged(flow, spent) {
      policy.charged?.(flow, spent);
      waiting.reorderFlow(flow);
    },
    get waiting() {
      return waiting.size;
    },
    get running() {
      return running;
    },
    get waitingFlows() {
      return waiting.flows;
    },
    flows(limit) {
      const nowMs = clock.nowMs();
      return waiting.list(limit).map(({ name, places, priority }) => ({
        flow: name,
        waiting: places.size,
        priority,
        longestWaitMs: nowMs - places.first!.value.joinedAtMs,
      }));
    },
    update(nextPolicy, nextOptions) {
      settings = nextOptions;
      // So that who came first is still the first whose time is up.
      for (const { value } of waiting.places())
        value.timeoutMs = Math.min(value.timeoutMs, settings.queueTimeoutMs);
      rate.update(settings.maxQps, clock.nowMs());
      if (nextPolicy === policy) waiting.reorder();
      else waiting.follow(nextPolicy);
      policy = nextPolicy;
      wake();
    },
    close() {
      closed = true;
      alarm.cancel();
      while (waiting.oldest !== undefined) leave(waiting.oldest, 'closed');
    },
  };
}

function deadlineMs({ joinedAtMs, timeoutMs }: Waiter): number {
  return joinedAtMs + timeoutMs;
}
