/** The queues: one for each model that is asked for, all with the same settings. */
import type { Endpoint, EndpointSnapshot } from '../endpoints/endpoint.ts';
import type { Clock } from '../lib/clock.ts';
import type { Arrival } from './admission.ts';
import { createEngineCapacity, type EngineCapacityOptions } from './engine-capacity.ts';
import {
  createFairQueue,
  type FairQueue,
  type FairQueueOptions,
  type FlowView,
  type JoinResult,
  type LeaveReason,
  type QueueEntry,
} from './fair-queue.ts';
import type { Ledger } from './ledger.ts';
import { createFifoPolicy } from './policies/fifo.ts';
import { createSessionBoostPolicy, sessionFlow } from './policies/session-boost.ts';
import { createVtcPolicy } from './policies/vtc.ts';
import { createWindowPolicy } from './policies/window.ts';
import { createSuspects } from './suspects.ts';
import type { TokenCount, TokenWeights } from './token-count.ts';
import type { TurnPolicy } from './turn-policy.ts';

interface SharedBounds extends FairQueueOptions {
  /** Most bytes that are kept for requests that wait, over all models. */
  readonly maxQueuedBytes: number;
}

/** Turns between principals. */
export interface FairnessSettings extends TokenWeights, EngineCapacityOptions, SharedBounds {
  readonly kind: 'fairness';
  readonly policy: 'vtc' | 'window' | 'fifo';
  readonly priorityTokenWeight: number;
  readonly priorityRequestNumWeight: number;
}

/** Sessions that come back go first. */
export interface SessionBoostSettings extends SharedBounds {
  readonly kind: 'session-boost';
  readonly maxSessions: number;
  readonly inflightPerPod: number;
}

/** Undefined: nobody waits. */
export type QueueSettings = FairnessSettings | SessionBoostSettings | undefined;

/** One queue as operators see it. */
export interface QueueView {
  readonly model: string;
  readonly waiting: number;
  readonly running: number;
  /** How many more requests its engines can take. */
  readonly freeSlots: number;
  readonly flows: readonly FlowView[];
}

/** One queue in numbers. */
export interface QueueFigures {
  readonly model: string;
  readonly waiting: number;
  readonly running: number;
  /** How many different principals, or sessions, wait. */
  readonly principals: number;
}

export interface ModelQueues {
  /**
   * Asks for a turn; undefined where nobody has to. `reserve` is called in the tick of the release, `onWait` when the
   * request has to wait: it returns the signal that makes it leave.
   */
  join(
    arrival: Arrival,
    expected: TokenCount,
    reserve: () => void,
    onWait: () => AbortSignal,
  ): JoinResult | undefined;
  /** A request is in flight no longer, with a turn or without: models may share engines, and settings change. */
  freed(): void;
  /**
   * Those that can take one more, where turns go by the room in engines: whom affinity prefers may be full while another
   * has room; in any case without those that have just let a request down. All of them where nobody is left.
   */
  withRoom(endpoints: readonly Endpoint[]): readonly Endpoint[];
  /** A request was sent to an endpoint, which answered it or let it down. */
  onTried(endpoint: Endpoint, answered: boolean): void;
  /** An endpoint's metrics changed. */
  onMetrics(endpoint: Endpoint): void;
  /** Membership, health or models changed; `lost` are endpoints of which nothing that was learned holds. */
  onEndpoints(snapshot: EndpointSnapshot, lost: readonly Endpoint[]): void;
  /** Another replica let a principal's request use so much. */
  onRemote(principal: string, model: string, count: TokenCount): void;
  list(maxFlows: number): readonly QueueView[];
  figures(): readonly QueueFigures[];
  update(settings: QueueSettings): void;
  /** Whoever waits leaves. */
  close(): void;
}

export interface ModelQueuesDeps {
  readonly clock: Clock;
  readonly ledger: Ledger;
  readonly snapshot: () => EndpointSnapshot;
  readonly onRelease?: (model: string, waitedMs: number) => void;
  readonly onLeave?: (model: string, reason: LeaveReason | 'full') => void;
}

/** The queue of one model, and whose order it keeps. */
interface Line {
  readonly queue: FairQueue;
  order: Order;
}

/** A policy that follows its settings as long as they ask for the same one. */
interface Order {
  readonly name: string;
  readonly policy: TurnPolicy;
  update(settings: QueueSettings): void;
}

/** Creates queues that are all empty. */
export function createModelQueues(deps: ModelQueuesDeps, initial: QueueSettings): ModelQueues {
  const { clock, ledger, snapshot } = deps;
  const lines = new Map<string, Line>();
  const capacity = createEngineCapacity(engineOptions(initial));
  const suspects = createSuspects({ clock, onTrial: pokeAll });
  let settings = initial;
  /** Of requests that wait. */
  let keptInAll = 0;

  function isCrowded({ keptBytes = 0 }: QueueEntry): boolean {
    if (settings === undefined) return false;
    return waitingInAll() >= settings.maxQueued || keptInAll + keptBytes > settings.maxQueuedBytes;
  }

  function readyFor(model: string): readonly Endpoint[] {
    return snapshot().readyByModel.get(model) ?? nobody;
  }

  function freeSlots(model: string): number {
    if (settings === undefined) return Infinity;
    const endpoints = readyFor(model);
    if (settings.kind === 'session-boost')
      return boostedSlots(endpoints.filter(isTrusted), settings.inflightPerPod);
    if (suspects.size === 0) return capacity.free(endpoints);
    return endpoints.reduce(
      (free, endpoint) => free + suspects.trusted(endpoint, capacity.room(endpoint)),
      0,
    );
  }

  function isTrusted(endpoint: Endpoint): boolean {
    return suspects.trusted(endpoint, 1) > 0;
  }

  function hasRoom(endpoint: Endpoint): boolean {
    return isTrusted(endpoint) && (!goesByEngines(settings) || capacity.room(endpoint) > 0);
  }

  function createLine(model: string, current: NonNullable<QueueSettings>): Line {
    const order = createOrder(model, current);
    const queue = createFairQueue(
      {
        clock,
        policy: order.policy,
        freeSlots: () => freeSlots(model),
        isServed: () => settings === undefined || readyFor(model).some(isTrusted),
        isCrowded,
        onRelease: (waitedMs) => deps.onRelease?.(model, waitedMs),
        onLeave: (reason) => deps.onLeave?.(model, reason),
      },
      current,
    );
    const line = { queue, order };
    lines.set(model, line);
    return line;
  }

  function createOrder(model: string, current: NonNullable<QueueSettings>): Order {
    const name = orderName(current);
    if (current.kind === 'session-boost') {
      const policy = createSessionBoostPolicy(current);
      return { name, policy, update: (next) => next?.kind === 'session-boost' && policy.update(next) };
    }
    switch (current.policy) {
      case 'vtc': {
        const policy = createVtcPolicy(current);
        return { name, policy, update: (next) => next?.kind === 'fairness' && policy.update(next) };
      }
      case 'window': {
        const usage = {
          weighted: (flow: string) => ledger.weighted(flow, model),
          requests: (flow: string) => ledger.requests(flow, model),
          slot: () => ledger.slotAt(clock.nowMs()),
        };
        return { name, policy: createWindowPolicy(usage, current), update: () => undefined };
      }
      case 'fifo':
        return { name, policy: createFifoPolicy(), update: () => undefined };
      default:
        return current.policy satisfies never;
    }
  }

  function waitingInAll(): number {
    let waiting = 0;
    for (const { queue } of lines.values()) waiting += queue.waiting;
    return waiting;
  }

  function pokeAll(): void {
    for (const { queue } of lines.values()) queue.poke();
  }

  return {
    join(arrival, expected, reserve, onWait) {
      if (settings === undefined) return undefined;
      const { id, caller, model, weight, keptBytes, sessionKey } = arrival;
      const { queue } = lines.get(model) ?? createLine(model, settings);
      const flow = settings.kind === 'session-boost' ? sessionFlow(sessionKey, id) : caller.id;
      const joined = queue.join({ flow, weight, expected, keptBytes, reserve }, onWait);
      if (joined.kind === 'full') deps.onLeave?.(model, 'full');
      if (joined.kind === 'waiting' && keptBytes > 0) {
        keptInAll += keptBytes;
        void joined.settled.then(() => (keptInAll -= keptBytes));
      }
      return joined;
    },
    freed: pokeAll,
    withRoom(endpoints) {
      if (endpoints.every(hasRoom)) return endpoints;
      const roomy = endpoints.filter(hasRoom);
      return roomy.length === 0 ? endpoints : roomy;
    },
    onTried(endpoint, answered) {
      if (!answered) suspects.failed(endpoint);
      else if (suspects.size > 0) suspects.cleared(endpoint);
      else return;
      pokeAll();
    },
    onMetrics(endpoint) {
      capacity.learned(endpoint);
      pokeAll();
    },
    onEndpoints({ models }, lost) {
      for (const endpoint of lost) {
        capacity.lost(endpoint);
        suspects.cleared(endpoint);
      }
      for (const [model, { queue }] of lines) {
        if (queue.waiting + queue.running === 0 && !models.has(model)) lines.delete(model);
        else queue.poke();
      }
    },
    onRemote: (principal, model, count) => lines.get(model)?.queue.charged(principal, count),
    list: (maxFlows) =>
      [...lines].map(([model, { queue }]) => ({
        model,
        waiting: queue.waiting,
        running: queue.running,
        freeSlots: freeSlots(model),
        flows: queue.flows(maxFlows),
      })),
    figures: () =>
      [...lines].map(([model, { queue }]) => ({
        model,
        waiting: queue.waiting,
        running: queue.running,
        principals: queue.waitingFlows,
      })),
    update(next) {
      settings = next;
      capacity.update(engineOptions(next));
      for (const [model, line] of lines) {
        if (next === undefined) {
          lines.delete(model);
          line.queue.update(createFifoPolicy(), unlimited);
          continue;
        }
        if (line.order.name === orderName(next)) line.order.update(next);
        else line.order = createOrder(model, next);
        line.queue.update(line.order.policy, next);
      }
    },
    close() {
      suspects.stop();
      for (const { queue } of lines.values()) queue.close();
    },
  };
}

const nobody: readonly Endpoint[] = [];

/** Those who wait when queues are turned off go at once. */
const unlimited: FairQueueOptions = {
  maxQueued: Infinity,
  maxQueuedPerFlow: Infinity,
  queueTimeoutMs: 1,
  agingAfterMs: 0,
  maxConcurrent: 0,
  maxQps: 0,
};

/** Policies of one name can follow each other's settings. */
function orderName(settings: NonNullable<QueueSettings>): string {
  if (settings.kind === 'session-boost') return settings.kind;
  const { policy, priorityTokenWeight, priorityRequestNumWeight } = settings;
  return policy === 'window' ? `window ${priorityTokenWeight} ${priorityRequestNumWeight}` : policy;
}

function goesByEngines(settings: QueueSettings): boolean {
  return settings?.kind === 'fairness' && settings.maxConcurrent === 0 && settings.maxQps === 0;
}

function engineOptions(settings: QueueSettings): EngineCapacityOptions {
  return settings?.kind === 'fairness' ? settings : { maxWaitingRequests: 1, maxInFlightPerEndpoint: 1 };
}

/** Kthena's room: so many in flight for each endpoint, as long as one of them has nothing waiting or does not say. */
function boostedSlots(endpoints: readonly Endpoint[], inflightPerPod: number): number {
  let inFlight = 0;
  let open = false;
  for (const endpoint of endpoints) {
    inFlight += endpoint.inFlight;
    if ((endpoint.metrics?.waiting ?? 0) === 0) open = true;
  }
  // Metrics are old by the time they are read: engines with nothing in flight have nothing waiting of ours.
  return open || inFlight === 0 ? inflightPerPod * endpoints.length - inFlight : 0;
}
