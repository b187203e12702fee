import { describe, expect, it } from '@jest/globals';
import { createFairQueue } from '../../src/fairness/fair-queue.ts';
import { createFifoPolicy } from '../../src/fairness/policies/fifo.ts';
import type { TurnPolicy } from '../../src/fairness/turn-policy.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { outputOf, QueueRig, roomy } from './support/queue-rig.ts';

/** Goes by a table that the test may change, and notes what it is told. */
class TablePolicy implements TurnPolicy {
  readonly priorities: Record<string, number>;
  readonly told: string[] = [];
  version = 0;

  constructor(priorities: Record<string, number> = {}) {
    this.priorities = priorities;
  }

  priority(flow: string): number {
    return this.priorities[flow] ?? 0;
  }

  activated(flow: string, weight: number, active: number | undefined): void {
    this.told.push(`${flow} activated ${weight} ${active}`);
  }

  deactivated(flow: string): void {
    this.told.push(`${flow} deactivated`);
  }

  released(flow: string): void {
    this.told.push(`${flow} released`);
  }

  settled(flow: string, _weight: number, _expected: unknown, spent: unknown): void {
    this.told.push(`${flow} settled ${spent === undefined ? 'nothing' : 'something'}`);
  }

  charged(flow: string): void {
    this.told.push(`${flow} charged`);
  }

  epoch(): number {
    return this.version;
  }
}

/** One slot that is taken by x; the others wait in the order given. */
function busy(names: string, options: ConstructorParameters<typeof QueueRig>[0] = {}): QueueRig {
  const rig = new QueueRig(options);
  rig.join('x');
  for (const name of names.split(' ').filter((each) => each !== '')) rig.join(name);
  return rig;
}

/** Ends whoever runs until nobody waits, and says who got turns after x. */
async function drain(rig: QueueRig): Promise<string> {
  for (let ended = 0; ended < rig.order.length; ended++) await rig.end(rig.order[ended]!);
  return rig.order.slice(1).join(' ');
}

describe('createFairQueue()', () => {
  it('gives a turn at once where nobody waits and there is room', () => {
    const rig = new QueueRig({ slots: 2 });
    expect([rig.join('a1'), rig.join('a2'), rig.join('a3')]).toEqual(['turn', 'turn', 'waiting']);
    expect([rig.queue.running, rig.queue.waiting]).toEqual([2, 1]);
    expect(rig.clock.pending).toBe(1);
  });

  it('asks for a signal only where somebody has to wait, once', () => {
    const queue = createFairQueue(
      { clock: new FakeClock(), policy: createFifoPolicy(), freeSlots: () => 1 },
      roomy,
    );
    let asked = 0;
    const onWait = (): AbortSignal => {
      asked++;
      return new AbortController().signal;
    };
    const entry = { flow: 'a', weight: 1, expected: outputOf(1) };
    queue.join(entry, onWait);
    expect(asked).toBe(0);
    queue.join(entry, onWait);
    expect(asked).toBe(1);
  });

  it('gives the next turn when one ends', async () => {
    const rig = busy('a1 b1');
    rig.clock.advance(250);
    await rig.end('x');
    expect([rig.order, rig.ends, rig.waitsMs]).toEqual([['x', 'a1'], ['a1 turn'], [0, 250]]);
  });

  it('goes by the policy among flows, by arrival within a flow and among equals', async () => {
    const policy = new TablePolicy({ a: 5, b: 1, c: 1, d: 3 });
    const rig = busy('a1 c1 a2 b1 d1 c2 b2', { policy });
    expect(await drain(rig)).toBe('c1 b1 c2 b2 d1 a1 a2');
  });

  it('tells the policy who waits, and the least priority of the others', async () => {
    const policy = new TablePolicy({ x: 9, a: 5, b: 3 });
    const rig = busy('a1 b1 a2', { policy });
    await rig.end('x', 1);
    await rig.end('b1');
    expect(policy.told).toEqual([
      'x activated 1 undefined',
      'x released',
      'x deactivated',
      'a activated 1 undefined',
      'b activated 1 5',
      'b released',
      'b deactivated',
      'x settled something',
      'a released',
      'b settled nothing',
    ]);
  });

  it('lets as many go as there is room for, and counts those that have not started', async () => {
    const rig = new QueueRig({ slots: 0 });
    for (const name of ['a1', 'a2', 'a3', 'a4']) rig.join(name, { starts: false });
    rig.slots = 2;
    rig.queue.poke();
    rig.queue.poke();
    expect(rig.order).toEqual(['a1', 'a2']);
    await rig.settled();
    rig.start('a1');
    expect(rig.order).toEqual(['a1', 'a2']);
    rig.slots = 3;
    rig.start('a2');
    expect(rig.order).toEqual(['a1', 'a2', 'a3']);
  });

  it('decides each turn with what those before it reserved', () => {
    const policy = new TablePolicy({ a: 0, b: 1 });
    const rig = new QueueRig({ slots: 0, policy });
    const reserve = (): void => void (policy.priorities['a']! += 2);
    for (const name of ['a1', 'a2', 'a3']) rig.join(name, { reserve });
    rig.join('b1');
    rig.slots = 3;
    rig.queue.poke();
    expect(rig.order).toEqual(['a1', 'b1', 'a2']);
  });

  it('lets those who wait go first where room came without a word', () => {
    const rig = busy('a1');
    rig.slots = 2;
    expect(rig.join('b1')).toBe('waiting');
    rig.slots = 4;
    expect(rig.join('c1')).toBe('turn');
    expect(rig.order).toEqual(['x', 'a1', 'b1', 'c1']);
  });

  it('looks at all priorities again in a new epoch', () => {
    const policy = new TablePolicy({ a: 1, b: 2, c: 3 });
    const rig = busy('a1 b1 c1', { policy });
    policy.priorities['c'] = 0;
    rig.slots = 2;
    rig.queue.poke();
    expect(rig.order.at(-1)).toBe('a1');
    policy.version++;
    rig.slots = 3;
    rig.queue.poke();
    expect(rig.order.at(-1)).toBe('c1');
  });

  it('moves a flow when it is charged, here or elsewhere', async () => {
    const policy = new TablePolicy({ a: 1, b: 2, c: 3 });
    const rig = busy('a1 b1 c1', { policy });
    policy.priorities['a'] = 9;
    rig.queue.charged('a', outputOf(8));
    expect(policy.told.at(-1)).toBe('a charged');
    rig.slots = 2;
    rig.queue.poke();
    expect(rig.order.at(-1)).toBe('b1');
    await rig.settled();
    rig.join('b2');
    policy.priorities['b'] = 8;
    rig.turn('b1').charge(outputOf(8));
    rig.slots = 4;
    rig.queue.poke();
    expect(rig.order).toEqual(['x', 'b1', 'c1', 'b2']);
  });

  it('flows() lists who waits in the order of turns', () => {
    const rig = busy('a1 a2', { policy: new TablePolicy({ a: 3, b: 1 }) });
    rig.clock.advance(100);
    rig.join('b1');
    rig.clock.advance(50);
    expect(rig.queue.flows(10)).toEqual([
      { flow: 'b', waiting: 1, priority: 1, longestWaitMs: 50 },
      { flow: 'a', waiting: 2, priority: 3, longestWaitMs: 150 },
    ]);
    expect(rig.queue.flows(1)).toHaveLength(1);
  });
});

describe('createFairQueue() with a turn', () => {
  it('that ends before it started has room again, and cannot start later', async () => {
    const rig = new QueueRig();
    rig.join('a1', { starts: false });
    rig.join('b1', { starts: false });
    await rig.end('a1');
    expect(rig.order).toEqual(['a1', 'b1']);
    rig.turn('a1').started();
    rig.join('c1');
    expect([rig.order.length, rig.queue.running]).toEqual([2, 1]);
  });

  it('that ends twice, and is charged twice, does so once', async () => {
    const policy = new TablePolicy();
    const rig = busy('a1 a2', { policy });
    await rig.end('x', 1);
    const { told } = policy;
    const before = told.length;
    await rig.end('x', 1);
    expect([rig.order, rig.queue.running, told.length]).toEqual([['x', 'a1'], 1, before]);
  });

  it('that ends tells of its room before what it used is known', () => {
    const policy = new TablePolicy();
    const rig = busy('a1', { policy });
    rig.inFlight--;
    rig.turn('x').end();
    expect([rig.order, policy.told.at(-1)]).toEqual([['x', 'a1'], 'a deactivated']);
    rig.turn('x').charge(undefined);
    expect(policy.told.at(-1)).toBe('x settled nothing');
  });

  it('that was started is not counted twice', () => {
    const rig = new QueueRig({ slots: 2 });
    rig.join('a1');
    rig.turn('a1').started();
    expect([rig.join('a2'), rig.join('a3')]).toEqual(['turn', 'waiting']);
  });
});

describe('createFairQueue() bounds who waits', () => {
  const cases: [title: string, options: ConstructorParameters<typeof QueueRig>[0], full: string][] = [
    ['in all', { maxQueued: 2 }, 'queue'],
    ['in a flow', { maxQueuedPerFlow: 2 }, 'principal'],
    ['in a flow, rather than in all', { maxQueued: 2, maxQueuedPerFlow: 2 }, 'principal'],
    ['in other queues', { isCrowded: () => true }, 'queue'],
  ];
  it.each(cases)('%s', (_title, options, scope) => {
    const rig = new QueueRig(options);
    rig.join('x');
    rig.join('a1');
    rig.join('a2');
    const entry = { flow: 'a', weight: 1, expected: outputOf(1) };
    const refused = rig.queue.join(entry, () => {
      throw new Error('nobody waits');
    });
    expect(refused).toMatchObject({ kind: 'full', scope });
  });

  it('and says when to come back: after so many turns as its own take, or all', async () => {
    const rig = new QueueRig({ slots: 0, maxQueued: 8, maxQueuedPerFlow: 2 });
    const retryAfterMs = (flow: string): unknown => {
      const joined = rig.queue.join({ flow, weight: 1, expected: outputOf(1) }, () => AbortSignal.abort());
      return joined.kind === 'full' ? joined.retryAfterMs : joined.kind;
    };
    for (const name of ['a1', 'a2']) rig.join(name);
    expect(retryAfterMs('a')).toBe(60_000);
    rig.slots = 1;
    rig.queue.poke();
    await rig.settled();
    for (let i = 1; i <= 7; i++) {
      rig.join(`a${i + 2}`);
      rig.clock.advance(2000);
      await rig.end(`a${i}`);
    }
    rig.join('a10');
    for (const name of ['b1', 'c1']) rig.join(name);
    // 8 turns in 14 s. Of three flows' turns it gets two by the time all four have gone.
    expect(retryAfterMs('a')).toBe(7000);
    for (const name of ['d1', 'e1', 'f1', 'g1']) rig.join(name);
    expect(retryAfterMs('h')).toBe(14_000);
    rig.clock.advance(26_000);
    expect(retryAfterMs('h')).toBe(40_000);
    rig.clock.advance(26_000);
    expect(retryAfterMs('h')).toBe(60_000);
  });

  it('and asks nobody to come back within a second', () => {
    const rig = new QueueRig({ slots: 4, maxQueued: 1 });
    for (const name of ['a1', 'a2', 'a3', 'a4', 'a5']) rig.join(name);
    const entry = { flow: 'a', weight: 1, expected: outputOf(1) };
    expect(rig.queue.join(entry, () => AbortSignal.abort())).toMatchObject({ retryAfterMs: 1000 });
  });

  it('by nobody at all where maxQueued is 0', () => {
    const rig = new QueueRig({ maxQueued: 0 });
    expect([rig.join('a1'), rig.join('a2')]).toEqual(['turn', 'full']);
  });
});

describe('createFairQueue() lets leave', () => {
  it('who is aborted, at once, wherever in line', async () => {
    const rig = busy('b1');
    const controllers = ['a1', 'a2', 'a3'].map((name) => {
      const controller = new AbortController();
      rig.join(name, { signal: controller.signal });
      return controller;
    });
    controllers[1]!.abort();
    controllers[0]!.abort();
    expect([rig.queue.waiting, rig.leaves]).toEqual([2, ['left', 'left']]);
    await rig.settled();
    expect(rig.ends).toEqual(['a2 left', 'a1 left']);
    expect(await drain(rig)).toBe('b1 a3');
  });

  it('who was aborted before it began to wait', async () => {
    const rig = busy('');
    expect(rig.join('a1', { signal: AbortSignal.abort() })).toBe('waiting');
    await rig.settled();
    expect([rig.ends, rig.queue.waiting, rig.leaves]).toEqual([['a1 left'], 0, ['left']]);
  });

  it('nobody with a turn: who is aborted in the tick of the release ends it', async () => {
    const rig = busy('');
    const controller = new AbortController();
    rig.join('a1', { signal: controller.signal, starts: false });
    rig.join('b1');
    const ended = rig.end('x');
    controller.abort();
    await ended;
    expect([rig.ends, rig.leaves, rig.queue.running]).toEqual([['a1 turn'], [], 1]);
    await rig.end('a1');
    expect(rig.ends).toEqual(['a1 turn', 'b1 turn']);
  });

  it('who waits too long, to the millisecond, with one timer for all', async () => {
    const rig = busy('a1', { queueTimeoutMs: 1000 });
    rig.clock.advance(400);
    rig.join('a2');
    rig.join('b1');
    expect(rig.clock.pending).toBe(1);
    rig.clock.advance(599);
    expect(rig.leaves).toEqual([]);
    rig.clock.advance(1);
    expect([rig.leaves, rig.queue.waiting]).toEqual([['timeout'], 2]);
    rig.clock.advance(400);
    await rig.settled();
    expect([rig.ends, rig.clock.pending]).toEqual([['a1 timeout', 'a2 timeout', 'b1 timeout'], 0]);
  });

  it('nobody for whom there is room at the very moment of the timeout', async () => {
    const clock = new FakeClock();
    clock.after(1000, () => {
      rig.slots++;
      rig.queue.poke();
    });
    const rig = busy('a1 b1', { clock, queueTimeoutMs: 1000 });
    clock.advance(1000);
    await rig.settled();
    expect(rig.ends).toEqual(['a1 turn', 'b1 timeout']);
  });

  it('nobody whose turn the rate has at the very moment of the timeout', async () => {
    const rig = busy('a1 b1', { maxQps: 1, queueTimeoutMs: 1000 });
    rig.clock.advance(1000);
    await rig.settled();
    expect(rig.ends).toEqual(['a1 turn', 'b1 timeout']);
  });

  it('everybody when it is closed, and who comes later', async () => {
    const rig = busy('a1 b1');
    rig.queue.close();
    expect([rig.queue.waiting, rig.clock.pending]).toEqual([0, 0]);
    expect(rig.join('c1')).toBe('waiting');
    await rig.end('x', 3);
    expect(rig.ends).toEqual(['a1 closed', 'b1 closed', 'c1 closed']);
    expect([rig.queue.running, rig.leaves.length]).toEqual([0, 3]);
  });
});

describe('createFairQueue() lets who waits long go out of turn', () => {
  const names = Array.from({ length: 20 }, (_, i) => `a${i}`);

  it('in every eighth turn at most, the oldest first', async () => {
    const policy = new TablePolicy({ a: 0, b: 1 });
    const rig = busy('b1 b2', { policy, agingAfterMs: 100 });
    rig.clock.advance(101);
    for (const name of names) rig.join(name);
    const order = (await drain(rig)).split(' ');
    expect([order.indexOf('b1'), order.indexOf('b2')]).toEqual([0, 8]);
  });

  it('only after that long', async () => {
    const policy = new TablePolicy({ a: 0, b: 1 });
    const rig = busy('b1', { policy, agingAfterMs: 100 });
    rig.clock.advance(100);
    for (const name of names) rig.join(name);
    expect((await drain(rig)).split(' ').indexOf('b1')).toBe(20);
  });

  it('not at all where agingAfterMs is 0', async () => {
    const policy = new TablePolicy({ a: 0, b: 1 });
    const rig = busy('b1', { policy, agingAfterMs: 0 });
    rig.clock.advance(10_000);
    for (const name of names) rig.join(name);
    expect((await drain(rig)).split(' ').indexOf('b1')).toBe(20);
  });
});

describe('createFairQueue() by configured room', () => {
  it('maxConcurrent counts turns, whatever the engines say', async () => {
    const rig = new QueueRig({ slots: 0, maxConcurrent: 2 });
    expect([rig.join('a1'), rig.join('a2', { starts: false }), rig.join('a3')]).toEqual([
      'turn',
      'turn',
      'waiting',
    ]);
    rig.slots = 100;
    rig.queue.poke();
    expect(rig.order).toEqual(['a1', 'a2']);
    await rig.end('a2');
    expect(rig.order).toEqual(['a1', 'a2', 'a3']);
  });

  it('maxQps spaces turns evenly, with a timer for the next, whatever the engines say', () => {
    const rig = new QueueRig({ slots: 0, maxQps: 10 });
    const turnsAtMs: number[] = [];
    for (let i = 0; i < 4; i++) rig.join(`a${i}`, { reserve: () => turnsAtMs.push(rig.clock.nowMs()) });
    rig.clock.advance(1000);
    expect(turnsAtMs).toEqual([0, 100, 200, 300]);
    rig.join('b1');
    expect(rig.join('b2')).toBe('waiting');
  });

  it('maxConcurrent and maxQps hold together', async () => {
    const rig = new QueueRig({ maxConcurrent: 1, maxQps: 10 });
    rig.join('a1');
    rig.join('a2');
    rig.join('a3');
    rig.clock.advance(50);
    await rig.end('a1');
    expect(rig.order).toEqual(['a1']);
    rig.clock.advance(50);
    expect(rig.order).toEqual(['a1', 'a2']);
    rig.clock.advance(1000);
    expect(rig.order).toEqual(['a1', 'a2']);
    await rig.settled();
    await rig.end('a2');
    expect(rig.order).toEqual(['a1', 'a2', 'a3']);
  });
});

describe('createFairQueue() update()', () => {
  it('lets go at once whom a higher limit has room for', () => {
    const rig = busy('a1 a2 a3', { maxConcurrent: 1 });
    rig.queue.update(createFifoPolicy(), { ...rig.options, maxConcurrent: 3 });
    expect(rig.order).toEqual(['x', 'a1', 'a2']);
  });

  it('lets turns under way end where a limit is lower, and nobody else go before', async () => {
    const rig = new QueueRig({ maxConcurrent: 3 });
    for (const name of ['a1', 'a2', 'a3', 'b1']) rig.join(name);
    rig.queue.update(createFifoPolicy(), { ...rig.options, maxConcurrent: 1 });
    await rig.end('a1');
    await rig.end('a2');
    expect(rig.order).toEqual(['a1', 'a2', 'a3']);
    await rig.end('a3');
    expect(rig.order).toEqual(['a1', 'a2', 'a3', 'b1']);
  });

  it('keeps those who are too many, and refuses others', () => {
    const rig = busy('a1 a2 a3');
    rig.queue.update(createFifoPolicy(), { ...rig.options, maxQueued: 1 });
    expect([rig.queue.waiting, rig.join('a4')]).toEqual([3, 'full']);
  });

  it('goes by a shorter timeout also for those who wait, and by a longer one for who comes later', async () => {
    const rig = busy('a1', { queueTimeoutMs: 10_000 });
    rig.clock.advance(2000);
    rig.join('b1');
    rig.queue.update(createFifoPolicy(), { ...rig.options, queueTimeoutMs: 1000 });
    await rig.settled();
    expect(rig.ends).toEqual(['a1 timeout']);
    // Envoy was asked to wait for b1 as long as it was to then.
    rig.queue.update(createFifoPolicy(), { ...rig.options, queueTimeoutMs: 5000 });
    rig.join('c1');
    rig.clock.advance(999);
    expect(rig.queue.waiting).toBe(2);
    rig.clock.advance(1);
    expect(rig.queue.waiting).toBe(1);
    rig.clock.advance(3999);
    expect(rig.queue.waiting).toBe(1);
    rig.clock.advance(1);
    expect(rig.queue.waiting).toBe(0);
  });

  it.each([{ maxConcurrent: 5 }, { maxQps: 100 }, {}])(
    'lets nobody go while there is no engine, with %j',
    async (bounds) => {
      let served = true;
      const rig = busy('', { slots: 5, ...bounds, isServed: () => served });
      served = false;
      expect(rig.join('a1')).toBe('waiting');
      rig.clock.advance(100);
      expect(rig.queue.waiting).toBe(1);
      served = true;
      rig.queue.poke();
      await rig.settled();
      expect(rig.order).toContain('a1');
    },
  );

  it('tells another policy who waits, in the order of arrival, and goes by it', async () => {
    const rig = busy('a1 b1 a2 c1', { policy: new TablePolicy({ a: 1, b: 2, c: 3 }) });
    const next = new TablePolicy({ a: 3, b: 2, c: 1 });
    rig.queue.update(next, rig.options);
    expect(next.told).toEqual(['a activated 1 undefined', 'b activated 1 3', 'c activated 1 2']);
    expect(await drain(rig)).toBe('c1 b1 a1 a2');
  });

  it('charges a turn to the policy that gave it', async () => {
    const policy = new TablePolicy();
    const rig = busy('', { policy });
    const next = new TablePolicy();
    rig.queue.update(next, rig.options);
    await rig.end('x', 1);
    expect([policy.told.at(-1), next.told]).toEqual(['x settled something', []]);
  });

  it('looks at the priorities again where the policy is the same', async () => {
    const policy = new TablePolicy({ a: 1, b: 2 });
    const rig = busy('a1 b1', { policy });
    policy.priorities['b'] = 0;
    rig.queue.update(policy, rig.options);
    expect(await drain(rig)).toBe('b1 a1');
  });
});
