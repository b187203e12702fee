import { describe, expect, it } from '@jest/globals';
import { createSessionBoostPolicy, sessionFlow } from '../../../src/fairness/policies/session-boost.ts';
import { QueueRig, type RigOptions } from '../support/queue-rig.ts';

/** Names that begin with a capital belong to a session, all others to none. */
function join(rig: QueueRig, ...names: string[]): string[] {
  return names.map((name) =>
    rig.join(name, { flow: sessionFlow(/[A-Z]/.test(name) ? name[0] : undefined, name) }),
  );
}

async function run(rig: QueueRig, ...names: string[]): Promise<void> {
  for (const name of names) {
    join(rig, name);
    await rig.end(name, 10);
  }
}

function boosted(options: RigOptions = {}, maxSessions = 100): QueueRig {
  return new QueueRig({ policy: createSessionBoostPolicy({ maxSessions }), ...options });
}

/** Gives all that wait their turns, and says in which order. */
function orderOf(rig: QueueRig): string {
  const before = rig.order.length;
  rig.slots += rig.queue.waiting;
  rig.queue.poke();
  return rig.order.slice(before).join(' ');
}

describe('sessionFlow()', () => {
  it('is the same for a session, and different for any two requests without one', () => {
    expect(sessionFlow('s', '1')).toBe(sessionFlow('s', '2'));
    expect(sessionFlow(undefined, '1')).not.toBe(sessionFlow(undefined, '2'));
    expect(sessionFlow('', '1')).toBe(sessionFlow(undefined, '1'));
    expect(sessionFlow('request 1', '2')).not.toBe(sessionFlow(undefined, '1'));
  });
});

describe('createSessionBoostPolicy()', () => {
  it('lets sessions that completed go first, the most recent before the others, the rest by arrival', async () => {
    const rig = boosted();
    await run(rig, 'A1', 'B1', 'a');
    join(rig, 'x', 'b', 'C1', 'A2', 'a', 'B2');
    expect(orderOf(rig)).toBe('B2 A2 b C1 a');
  });

  it('goes by arrival within a session', async () => {
    const rig = boosted();
    await run(rig, 'A1');
    join(rig, 'x', 'A2', 'A3', 'A4');
    expect(orderOf(rig)).toBe('A2 A3 A4');
  });

  it('boosts as of when a session began to wait', async () => {
    const rig = boosted({ slots: 2 });
    join(rig, 'A1', 'x', 'a', 'A2');
    await rig.end('A1', 10);
    // a has the slot; that A1 completed meanwhile changes nothing for A2.
    join(rig, 'b');
    await rig.end('a', 10);
    expect(rig.order).toEqual(['A1', 'x', 'a', 'A2']);
  });

  it('boosts nobody who used nothing', async () => {
    const rig = boosted();
    join(rig, 'A1');
    await rig.end('A1');
    join(rig, 'x', 'a', 'A2');
    expect(orderOf(rig)).toBe('a A2');
  });

  it('boosts before it is known what was used, and takes that back', () => {
    const rig = boosted();
    join(rig, 'A1');
    rig.inFlight--;
    rig.turn('A1').end();
    join(rig, 'x', 'a', 'A2');
    expect(orderOf(rig)).toBe('A2 a');
    rig.turn('A1').charge(undefined);
    join(rig, 'b', 'A3');
    expect(orderOf(rig)).toBe('b A3');
  });

  it('leaves a session its boost when a later request fails or is never sent', async () => {
    const rig = boosted();
    await run(rig, 'A1', 'B1');
    join(rig, 'A2');
    await rig.end('A2');
    join(rig, 'x', 'a', 'A3', 'B2');
    expect(orderOf(rig)).toBe('B2 A3 a');
  });

  it('remembers so many sessions, those that completed last', async () => {
    const policy = createSessionBoostPolicy({ maxSessions: 2 });
    const rig = new QueueRig({ policy });
    await run(rig, 'A1', 'B1', 'A2', 'C1');
    join(rig, 'x', 'a', 'B2', 'A3', 'C2');
    expect([orderOf(rig), policy.size]).toEqual(['C2 A3 a B2', 2]);
    policy.update({ maxSessions: 1 });
    expect(policy.size).toBe(1);
    policy.update({ maxSessions: 3 });
    join(rig, 'b', 'A4', 'C3');
    expect(orderOf(rig)).toBe('C3 b A4');
  });

  it('keeps nothing of requests without a session', async () => {
    const policy = createSessionBoostPolicy({ maxSessions: 2 });
    await run(new QueueRig({ policy }), 'a', 'b', 'c');
    expect(policy.size).toBe(0);
  });
});

describe('createFairQueue() with a grace period', () => {
  it('holds the slot of a session that may come back, which then goes before all who wait', async () => {
    const rig = boosted({ gracePeriodMs: 500 });
    join(rig, 'A1', 'a', 'b');
    await rig.end('A1', 10);
    rig.clock.advance(499);
    expect(rig.order).toEqual(['A1']);
    expect(join(rig, 'A2')).toEqual(['turn']);
    rig.clock.advance(1000);
    expect(rig.order).toEqual(['A1', 'A2']);
  });

  it('lets who waits go when it is over, without any other event', async () => {
    const rig = boosted({ gracePeriodMs: 500 });
    join(rig, 'A1', 'a', 'b');
    await rig.end('A1', 10);
    rig.clock.advance(500);
    expect(rig.order).toEqual(['A1', 'a']);
    await rig.settled();
    // Nobody comes back to the slot of a request without a session.
    await rig.end('a', 10);
    expect(rig.order).toEqual(['A1', 'a', 'b']);
  });

  it('lets others wait for it, also where nobody waited', async () => {
    const rig = boosted({ gracePeriodMs: 500 });
    join(rig, 'A1');
    await rig.end('A1', 10);
    expect(join(rig, 'a', 'B1')).toEqual(['waiting', 'waiting']);
    rig.clock.advance(500);
    expect(rig.order).toEqual(['A1', 'a']);
  });

  it('holds slots that were freed, and no others', async () => {
    const rig = boosted({ slots: 3, gracePeriodMs: 500 });
    join(rig, 'A1');
    await rig.end('A1', 10);
    expect(join(rig, 'a', 'b', 'c')).toEqual(['turn', 'turn', 'waiting']);
    expect(join(rig, 'A2')).toEqual(['turn']);
  });

  it('holds nothing any more once a session is back', async () => {
    const rig = boosted({ slots: 2, gracePeriodMs: 500 });
    join(rig, 'A1');
    await rig.end('A1', 10);
    expect(join(rig, 'A2', 'a')).toEqual(['turn', 'turn']);
  });

  it('gives it to any session that is back, but to none before one that waits and is more recent', async () => {
    const rig = boosted({ slots: 3, gracePeriodMs: 500 });
    join(rig, 'A1', 'B1', 'C1');
    for (const name of ['A1', 'B1', 'C1']) await rig.end(name, 10);
    rig.slots = 0;
    expect(join(rig, 'B2')).toEqual(['waiting']);
    rig.slots = 1;
    expect(join(rig, 'A2')).toEqual(['waiting']);
    expect(join(rig, 'C2')).toEqual(['turn']);
  });

  it('lets nobody overtake within a session', async () => {
    const rig = boosted({ slots: 2, gracePeriodMs: 500 });
    join(rig, 'A1', 'B1', 'A2');
    await rig.end('A1', 10);
    expect(join(rig, 'A3')).toEqual(['waiting']);
    rig.clock.advance(500);
    expect(rig.order).toEqual(['A1', 'B1', 'A2']);
  });

  it('holds no slot for a request that was never sent', async () => {
    const rig = boosted({ gracePeriodMs: 500 });
    rig.join('A1', { flow: sessionFlow('A', ''), starts: false });
    join(rig, 'a');
    await rig.end('A1');
    expect(rig.order).toEqual(['A1', 'a']);
  });

  it('ends with a configuration that has none', async () => {
    const policy = createSessionBoostPolicy({ maxSessions: 10 });
    const rig = new QueueRig({ policy, gracePeriodMs: 500 });
    join(rig, 'A1', 'a');
    await rig.end('A1', 10);
    rig.queue.update(policy, { ...rig.options, gracePeriodMs: 0 });
    expect(rig.order).toEqual(['A1', 'a']);
  });
});
