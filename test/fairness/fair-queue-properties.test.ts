/** What holds of the queue whatever happens to it, in any order. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  createFairQueue,
  type FairQueue,
  type FairQueueOptions,
  type Turn,
} from '../../src/fairness/fair-queue.ts';
import { createFifoPolicy } from '../../src/fairness/policies/fifo.ts';
import { createSessionBoostPolicy, sessionFlow } from '../../src/fairness/policies/session-boost.ts';
import { createVtcPolicy } from '../../src/fairness/policies/vtc.ts';
import type { TokenCount } from '../../src/fairness/token-count.ts';
import type { TurnPolicy } from '../../src/fairness/turn-policy.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { outputOf, roomy } from './support/queue-rig.ts';

const plain = { inputTokenWeight: 1, outputTokenWeight: 1, cachedTokenWeight: 1 };

interface Request {
  readonly id: number;
  readonly flow: string;
  readonly joinedAtMs: number;
  readonly controller: AbortController;
  state: 'waiting' | 'given' | 'started' | 'ended' | 'left';
  leaves: 'left' | 'timeout' | undefined;
  turn: Turn | undefined;
  charged: boolean;
}

/** Counts what flows get, changes its mind between epochs, and checks that whoever gets a turn is first. */
class CheckedPolicy implements TurnPolicy {
  readonly #counts = new Map<string, number>();
  readonly #active = new Set<string>();
  readonly #world: () => World;
  #epoch = 0;

  constructor(world: () => World) {
    this.#world = world;
  }

  priority(flow: string): number {
    return (this.#counts.get(flow) ?? 0) % 50;
  }

  activated(flow: string, _weight: number, active: number | undefined): void {
    expect(this.#active.has(flow)).toBe(false);
    const others = [...this.#active].map((other) => this.priority(other));
    if (this.#world().sameEpoch) expect(active).toBe(others.length === 0 ? undefined : Math.min(...others));
    this.#active.add(flow);
  }

  deactivated(flow: string): void {
    expect(this.#active.delete(flow)).toBe(true);
  }

  released(flow: string, _weight: number, expected: TokenCount): void {
    const { line, agingAfterMs, nowMs } = this.#world();
    const first = line.toSorted(
      (a, b) =>
        this.priority(a.flow) - this.priority(b.flow) || firstOf(a.flow, line) - firstOf(b.flow, line),
    )[0];
    const [oldest] = line;
    const aged = agingAfterMs > 0 && oldest !== undefined && nowMs - oldest.joinedAtMs > agingAfterMs;
    if (first !== undefined) expect([first.flow, ...(aged ? [oldest.flow] : [])]).toContain(flow);
    this.#add(flow, expected.outputTokens);
  }

  settled(flow: string, _weight: number, expected: TokenCount, spent: TokenCount | undefined): void {
    this.#add(flow, (spent?.outputTokens ?? 0) - expected.outputTokens);
  }

  epoch(): number {
    return this.#epoch;
  }

  /** What was used long ago counts no longer, as in a window. */
  forget(): void {
    for (const [flow, count] of this.#counts) this.#counts.set(flow, Math.floor(count / 2));
    this.#epoch++;
  }

  #add(flow: string, tokens: number): void {
    this.#counts.set(flow, (this.#counts.get(flow) ?? 0) + tokens);
  }
}

function firstOf(flow: string, line: readonly Request[]): number {
  return line.find((request) => request.flow === flow)!.id;
}

interface World {
  readonly line: readonly Request[];
  readonly agingAfterMs: number;
  readonly nowMs: number;
  readonly sameEpoch: boolean;
}

const limits = fc.record({
  maxQueued: fc.constantFrom(3, 100),
  maxQueuedPerFlow: fc.constantFrom(2, 100),
  queueTimeoutMs: fc.constantFrom(70, 1000),
  agingAfterMs: fc.constantFrom(0, 30),
  maxConcurrent: fc.constantFrom(0, 0, 0, 1, 3),
  maxQps: fc.constantFrom(0, 0, 0, 100),
  gracePeriodMs: fc.constantFrom(0, 0, 25),
});

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ act: fc.constant('join' as const), flow: fc.nat(4) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      act: fc.constantFrom('abort' as const, 'start' as const, 'end' as const, 'charge' as const),
      which: fc.nat(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ act: fc.constant('advance' as const), byMs: fc.constantFrom(1, 7.3, 40) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ act: fc.constant('slots' as const), slots: fc.nat(4), poke: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ act: fc.constant('update' as const), options: limits, policy: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('epoch' as const) }) },
  // Most things happen before anybody knows of the last one.
  { weight: 4, arbitrary: fc.record({ act: fc.constant('settle' as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

type PolicyName = 'checked' | 'vtc' | 'fifo' | 'sessions';

/** A queue, who asked for turns, and what should be true of them. */
class Simulation {
  readonly #clock = new FakeClock();
  readonly #requests: Request[] = [];
  readonly #policyName: PolicyName;
  readonly #queue: FairQueue;
  #policy: TurnPolicy;
  #options: FairQueueOptions;
  #slots = 2;
  /** Nothing changed since the queue last looked. */
  #isTold = true;
  #sameEpoch = true;
  readonly #lastTurnOf = new Map<string, number>();
  readonly #surprises: string[] = [];

  constructor(policyName: PolicyName, options: FairQueueOptions) {
    this.#policyName = policyName;
    this.#options = options;
    this.#policy = this.#createPolicy();
    this.#queue = createFairQueue(
      { clock: this.#clock, policy: this.#policy, freeSlots: () => this.#slots - this.#count('started') },
      options,
    );
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const each of steps) {
      await this.#do(each);
      this.#check();
    }
    await this.#drain();
  }

  async #do(each: Step): Promise<void> {
    switch (each.act) {
      case 'join':
        this.#join(each.flow);
        break;
      case 'abort':
        this.#abort(this.#pick('waiting', each.which));
        break;
      case 'start': {
        const request = this.#pick('given', each.which);
        if (request?.turn !== undefined) this.#start(request, request.turn);
        break;
      }
      case 'end':
        this.#end(this.#pick('started', each.which) ?? this.#pick('given', each.which));
        break;
      case 'charge':
        this.#charge(
          this.#requests.filter(({ turn, charged }) => turn !== undefined && !charged),
          each.which,
        );
        break;
      case 'advance':
        this.#clock.advance(each.byMs);
        this.#expire();
        break;
      case 'slots':
        this.#isTold &&= each.slots <= this.#slots;
        this.#slots = each.slots;
        if (each.poke) this.#poke();
        break;
      case 'update':
        this.#options = each.options;
        if (each.policy) this.#policy = this.#createPolicy();
        this.#sameEpoch = true;
        this.#queue.update(this.#policy, this.#options);
        this.#expire();
        this.#isTold = true;
        break;
      case 'epoch':
        if (this.#policy instanceof CheckedPolicy) this.#policy.forget();
        this.#sameEpoch = false;
        break;
      case 'settle':
        await new Promise((resolve) => setImmediate(resolve));
        break;
      default:
        each satisfies never;
    }
  }

  #join(flowNumber: number): void {
    const request: Request = {
      id: this.#requests.length,
      flow:
        this.#policyName === 'sessions'
          ? sessionFlow(flowNumber === 0 ? undefined : `s${flowNumber}`, `${this.#requests.length}`)
          : `f${flowNumber}`,
      joinedAtMs: this.#clock.nowMs(),
      controller: new AbortController(),
      state: 'waiting',
      leaves: undefined,
      turn: undefined,
      charged: false,
    };
    const room = this.#queue.waiting < this.#options.maxQueued;
    const joined = this.#queue.join(
      {
        flow: request.flow,
        weight: 1 + flowNumber,
        expected: outputOf(10),
        reserve: () => this.#given(request),
      },
      () => {
        this.#requests.push(request);
        return request.controller.signal;
      },
    );
    // Joining looks, too.
    this.#isTold = true;
    switch (joined.kind) {
      case 'turn':
        this.#requests.push(request);
        request.turn = joined.turn;
        break;
      case 'full':
        expect(
          room &&
            this.#line().filter(({ flow }) => flow === request.flow).length < this.#options.maxQueuedPerFlow,
        ).toBe(false);
        expect(joined.retryAfterMs).toBeGreaterThanOrEqual(1000);
        break;
      case 'waiting':
        void joined.settled.then((end) => {
          if (end.kind === 'turn') request.turn = end.turn;
          const expected = request.leaves ?? 'turn';
          if (end.kind !== expected) this.#surprises.push(`${expected} became ${end.kind}`);
        });
        break;
      default:
        joined satisfies never;
    }
  }

  /** Called in the tick in which a request gets its turn. */
  #given(request: Request): void {
    expect(request.state).toBe('waiting');
    expect(request.id).toBeGreaterThan(this.#lastTurnOf.get(request.flow) ?? -1);
    this.#lastTurnOf.set(request.flow, request.id);
    request.state = 'given';
    const { maxConcurrent, maxQps } = this.#options;
    if (maxConcurrent > 0) expect(this.#running()).toBeLessThanOrEqual(maxConcurrent);
    else if (maxQps === 0) expect(this.#running()).toBeLessThanOrEqual(this.#slots);
  }

  #abort(request: Request | undefined): void {
    if (request === undefined) return;
    request.controller.abort();
    request.state = 'left';
    request.leaves = 'left';
  }

  /** Whoever got no turn up to its deadline has left. */
  #expire(): void {
    for (const request of this.#requests) {
      if (request.state !== 'waiting' || this.#isInTime(request)) continue;
      request.state = 'left';
      request.leaves = 'timeout';
    }
  }

  #isInTime({ joinedAtMs }: Request): boolean {
    return joinedAtMs + this.#options.queueTimeoutMs > this.#clock.nowMs();
  }

  #start(request: Request, turn: Turn): void {
    request.state = 'started';
    turn.started();
    this.#isTold = true;
  }

  #end(request: Request | undefined): void {
    if (request?.turn === undefined) return;
    request.state = 'ended';
    request.turn.end();
    request.turn.end();
    this.#isTold = true;
  }

  #charge(uncharged: readonly Request[], which: number): void {
    const request = uncharged[which % Math.max(1, uncharged.length)];
    if (request?.turn === undefined) return;
    request.charged = true;
    request.turn.charge(which % 5 === 0 ? undefined : outputOf(which % 23));
    request.turn.charge(outputOf(1000));
  }

  #check(): void {
    expect(this.#surprises).toEqual([]);
    const line = this.#line();
    expect(this.#queue.waiting).toBe(line.length);
    expect(this.#queue.running).toBe(this.#running());
    expect(
      this.#queue
        .flows(100)
        .map(({ waiting }) => waiting)
        .reduce((sum, n) => sum + n, 0),
    ).toBe(line.length);
    if (line.length === 0) return;
    // Whoever waits has a timer, and nobody has waited for too long.
    expect(this.#clock.pending).toBe(1);
    expect(this.#clock.nowMs()).toBeLessThan(line[0]!.joinedAtMs + this.#options.queueTimeoutMs);
    const { maxQps, gracePeriodMs = 0 } = this.#options;
    if (this.#isTold && maxQps === 0 && gracePeriodMs === 0) expect(this.#room()).toBeLessThanOrEqual(0);
  }

  /** Whatever happened, everybody gets a turn or leaves when engines have room for a while, without a word from outside. */
  async #drain(): Promise<void> {
    this.#options = { ...this.#options, queueTimeoutMs: 1000 };
    this.#queue.update(this.#policy, this.#options);
    this.#expire();
    this.#slots = 3;
    this.#poke();
    for (
      let i = 0;
      i < 200 && this.#requests.some(({ state }) => state !== 'ended' && state !== 'left');
      i++
    ) {
      await new Promise((resolve) => setImmediate(resolve));
      for (const request of this.#requests)
        if (request.state === 'given' || request.state === 'started') this.#end(request);
      this.#clock.advance(5);
      this.#expire();
      this.#check();
    }
    expect([this.#queue.waiting, this.#queue.running]).toEqual([0, 0]);
    for (const request of this.#requests) expect(['ended', 'left']).toContain(request.state);
    this.#clock.advance(10_000);
    expect(this.#clock.pending).toBe(0);
    expect(this.#queue.flows(10)).toEqual([]);
  }

  #poke(): void {
    this.#queue.poke();
    this.#isTold = true;
  }

  #createPolicy(): TurnPolicy {
    switch (this.#policyName) {
      case 'checked':
        return new CheckedPolicy(() => ({
          line: this.#line(),
          agingAfterMs: this.#options.agingAfterMs,
          nowMs: this.#clock.nowMs(),
          sameEpoch: this.#sameEpoch,
        }));
      case 'vtc':
        return createVtcPolicy({ ...plain, maxIdleFlows: 2 });
      case 'sessions':
        return createSessionBoostPolicy({ maxSessions: 2 });
      case 'fifo':
        return createFifoPolicy();
      default:
        return this.#policyName satisfies never;
    }
  }

  #pick(state: Request['state'], which: number): Request | undefined {
    const candidates = this.#requests.filter(
      (request) => request.state === state && (state === 'waiting') === (request.turn === undefined),
    );
    return candidates[which % Math.max(1, candidates.length)];
  }

  #line(): Request[] {
    return this.#requests.filter((request) => request.state === 'waiting' && this.#isInTime(request));
  }

  #room(): number {
    const { maxConcurrent } = this.#options;
    return (maxConcurrent > 0 ? maxConcurrent : this.#slots) - this.#running();
  }

  #running(): number {
    return this.#count('given') + this.#count('started');
  }

  #count(state: Request['state']): number {
    return this.#requests.filter((request) => request.state === state).length;
  }
}

describe('createFairQueue(), whatever happens,', () => {
  it.each<PolicyName>(['checked', 'vtc', 'sessions', 'fifo'])(
    'keeps order, room and count with policy %s',
    async (policy) => {
      await fc.assert(
        fc.asyncProperty(limits, fc.array(step, { maxLength: 60 }), (options, steps) =>
          new Simulation(policy, options).run(steps),
        ),
        { numRuns: 200, seed: 20_240_710 },
      );
    },
    60_000,
  );

  it('lets nobody starve: the n-th in line goes within 8 n turns after it has aged', () => {
    fc.assert(
      fc.property(fc.nat(20), fc.integer({ min: 1, max: 3 }), (ahead, perTurn) => {
        const clock = new FakeClock();
        let slots = 0;
        // Everybody but the patient ones is always preferred.
        const policy: TurnPolicy = {
          ...createFifoPolicy(),
          priority: (flow) => (flow === 'patient' ? 1 : 0),
        };
        const queue = createFairQueue(
          { clock, policy, freeSlots: () => slots },
          { ...roomy, agingAfterMs: 100 },
        );
        const order: string[] = [];
        const join = (flow: string): void =>
          void queue.join(
            { flow, weight: 1, expected: outputOf(1), reserve: () => order.push(flow) },
            () => new AbortController().signal,
          );
        for (let i = 0; i <= ahead; i++) join('patient');
        clock.advance(101);
        for (let turns = 0; turns < 8 * (ahead + 1); turns += perTurn) {
          for (let i = 0; i < 2 * perTurn; i++) join('hurried');
          slots += perTurn;
          queue.poke();
        }
        expect(order.filter((flow) => flow === 'patient')).toHaveLength(ahead + 1);
      }),
      { numRuns: 50, seed: 20_240_710 },
    );
  });
});
