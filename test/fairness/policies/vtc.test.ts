import { describe, expect, it } from '@jest/globals';
import { createVtcPolicy, type VtcPolicy } from '../../../src/fairness/policies/vtc.ts';
import type { TokenCount } from '../../../src/fairness/token-count.ts';
import { outputOf, QueueRig } from '../support/queue-rig.ts';

const plain = { inputTokenWeight: 1, outputTokenWeight: 1, cachedTokenWeight: 1 };

function tokens(inputTokens: number, outputTokens = 0): TokenCount {
  return { inputTokens, cachedInputTokens: 0, outputTokens };
}

/** A request that was let go at once, and whose cost is not known yet. */
function release(policy: VtcPolicy, flow: string, count: number, weight = 1): void {
  policy.activated(flow, weight, undefined);
  policy.released(flow, weight, tokens(count));
  policy.deactivated?.(flow);
}

/** A whole request, from its release to its end. */
function use(policy: VtcPolicy, flow: string, count: number, weight = 1): void {
  release(policy, flow, count, weight);
  policy.settled(flow, weight, tokens(count), tokens(count));
}

describe('createVtcPolicy()', () => {
  it('charges a request when it gets its turn, by the weights of tokens and flow', () => {
    const policy = createVtcPolicy({ inputTokenWeight: 1, outputTokenWeight: 2, cachedTokenWeight: 0.5 });
    policy.activated('a', 4, undefined);
    policy.released('a', 4, { inputTokens: 100, cachedInputTokens: 40, outputTokens: 10 });
    expect(policy.priority('a')).toBe((60 + 20 + 20) / 4);
  });

  const ends: [spent: TokenCount | undefined, charged: number][] = [
    [tokens(10, 5), 15],
    [tokens(10, 50), 60],
    [undefined, 0],
  ];
  it.each(ends)('makes of what was expected what it was: %j', (spent, charged) => {
    const policy = createVtcPolicy(plain);
    policy.activated('a', 2, undefined);
    policy.released('a', 2, tokens(10, 20));
    policy.settled('a', 2, tokens(10, 20), spent);
    expect(policy.priority('a')).toBe(charged / 2);
  });

  it('lifts who begins to wait to the least counter of those that wait', () => {
    const policy = createVtcPolicy(plain);
    use(policy, 'a', 100);
    policy.activated('b', 1, 70);
    expect(policy.priority('b')).toBe(70);
  });

  it('lifts who comes when nobody waits to the counter of who went last, as it is now', () => {
    const policy = createVtcPolicy(plain);
    use(policy, 'a', 300);
    release(policy, 'b', 100);
    expect(policy.priority('b')).toBe(400);
    policy.settled('b', 1, tokens(100), tokens(20));
    policy.activated('c', 1, undefined);
    expect(policy.priority('c')).toBe(320);
  });

  it('lowers nobody', () => {
    const policy = createVtcPolicy(plain);
    use(policy, 'a', 500);
    policy.deactivated?.('a');
    policy.activated('a', 1, 70);
    expect(policy.priority('a')).toBe(500);
  });

  it('holds idle time against nobody, and saves it up for nobody', async () => {
    const rig = new QueueRig({ policy: createVtcPolicy(plain) });
    // Alone for a while.
    for (let i = 0; i < 50; i++) {
      rig.join(`a${i}`, { outputTokens: 100 });
      await rig.end(`a${i}`, 100);
    }
    for (let i = 50; i < 56; i++) rig.join(`a${i}`, { outputTokens: 100 });
    for (let i = 0; i < 6; i++) rig.join(`b${i}`, { outputTokens: 100 });
    for (let ended = 50; ended < 58; ended++) await rig.end(rig.order[ended]!, 100);
    expect(rig.order.slice(50, 58).join(' ')).toBe('a50 a51 b0 a52 b1 a53 b2 a54');
  });

  it('serves by weight', async () => {
    const rig = new QueueRig({ policy: createVtcPolicy(plain) });
    rig.join('x');
    for (let i = 0; i < 12; i++) {
      rig.join(`a${i}`, { weight: 1, outputTokens: 60 });
      rig.join(`b${i}`, { weight: 3, outputTokens: 60 });
    }
    for (let ended = 0; ended < 12; ended++) await rig.end(rig.order[ended]!, 60);
    const served = rig.order.slice(1).map((name) => name[0]);
    expect(served.filter((flow) => flow === 'b')).toHaveLength(9);
  });

  it('does not let one flow have all turns of one moment', () => {
    const rig = new QueueRig({ slots: 0, policy: createVtcPolicy(plain) });
    for (let i = 0; i < 4; i++) rig.join(`a${i}`, { outputTokens: 10 });
    for (let i = 0; i < 4; i++) rig.join(`b${i}`, { outputTokens: 10 });
    rig.slots = 4;
    rig.queue.poke();
    expect(rig.order).toEqual(['a0', 'b0', 'a1', 'b1']);
  });

  it('counts what a flow uses elsewhere, by its weight, on top of what it would be lifted to', () => {
    const policy = createVtcPolicy(plain);
    use(policy, 'a', 100, 2);
    policy.charged?.('a', tokens(50));
    expect(policy.priority('a')).toBe(75);
    use(policy, 'b', 1000);
    policy.activated('c', 1, undefined);
    policy.charged?.('stranger', tokens(7));
    expect(policy.priority('stranger')).toBe(policy.priority('c') + 7);
  });

  it('forgets counters to which everybody is lifted anyway', () => {
    const policy = createVtcPolicy(plain);
    for (let i = 0; i < 10_000; i++) use(policy, `flow ${i}`, 10);
    expect(policy.size).toBeLessThan(20);
  });

  it('remembers who is ahead, up to a bound, those that were idle longest not', () => {
    const policy = createVtcPolicy({ ...plain, maxIdleFlows: 100 });
    for (let i = 0; i < 100; i++) policy.charged?.(`ahead ${i}`, tokens(1000 + i));
    expect([policy.size, policy.priority('ahead 0'), policy.priority('ahead 99')]).toEqual([100, 1000, 1099]);
    use(policy, 'ahead 0', 1);
    for (let i = 100; i < 150; i++) policy.charged?.(`ahead ${i}`, tokens(1000));
    expect(policy.size).toBe(100);
    expect(['ahead 0', 'ahead 49', 'ahead 51'].map((flow) => policy.priority(flow))).toEqual([1001, 0, 1051]);
    policy.update({ ...plain, maxIdleFlows: 10 });
    expect(policy.size).toBe(10);
  });

  it('never forgets who waits or has something under way', () => {
    const policy = createVtcPolicy({ ...plain, maxIdleFlows: 10 });
    release(policy, 'under way', 500);
    policy.activated('waiting', 1, 600);
    for (let i = 0; i < 1000; i++) policy.charged?.(`ahead ${i}`, tokens(1000));
    expect([policy.priority('under way'), policy.priority('waiting')]).toEqual([500, 600]);
    policy.settled('under way', 1, tokens(500), tokens(900));
    expect(policy.priority('under way')).toBe(900);
  });

  it('update() changes weights and leaves counters', () => {
    const policy = createVtcPolicy(plain);
    use(policy, 'a', 100);
    policy.update({ ...plain, inputTokenWeight: 3 });
    expect(policy.priority('a')).toBe(100);
    use(policy, 'a', 10);
    expect(policy.priority('a')).toBe(130);
  });

  it('settles what it does not know without harm', () => {
    const policy = createVtcPolicy(plain);
    policy.settled('nobody', 1, outputOf(10), outputOf(20));
    expect(policy.size).toBe(0);
  });
});
