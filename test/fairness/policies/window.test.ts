import { describe, expect, it } from '@jest/globals';
import { createWindowPolicy, type WindowUsage } from '../../../src/fairness/policies/window.ts';
import { QueueRig } from '../support/queue-rig.ts';

/** A ledger of which the test writes every number. */
class Usage implements WindowUsage {
  readonly tokens: Record<string, number>;
  slotNumber = 0;

  constructor(tokens: Record<string, number>) {
    this.tokens = tokens;
  }

  weighted(principal: string): number {
    return this.tokens[principal] ?? 0;
  }

  requests(principal: string): number {
    return principal.length;
  }

  slot(): number {
    return this.slotNumber;
  }
}

const tokensOnly = { priorityTokenWeight: 1, priorityRequestNumWeight: 0 };

describe('createWindowPolicy()', () => {
  const cases: [priorityTokenWeight: number, priorityRequestNumWeight: number, priority: number][] = [
    [1, 0, 10],
    [2, 0, 20],
    [1, 5, 25],
    [0, 1, 3],
    [0, 0, 0],
  ];
  it.each(cases)(
    'weighs tokens by %d and requests by %d',
    (priorityTokenWeight, priorityRequestNumWeight, priority) => {
      const policy = createWindowPolicy(new Usage({ abc: 10 }), {
        priorityTokenWeight,
        priorityRequestNumWeight,
      });
      expect(policy.priority('abc')).toBe(priority);
    },
  );

  it('lets go whoever used least, with what those before it reserved', () => {
    const usage = new Usage({ a: 10, b: 25 });
    const rig = new QueueRig({ slots: 0, policy: createWindowPolicy(usage, tokensOnly) });
    const reserve = (): void => void (usage.tokens['a']! += 10);
    for (const name of ['b1', 'a1', 'a2', 'a3']) rig.join(name, name.startsWith('a') ? { reserve } : {});
    rig.slots = 3;
    rig.queue.poke();
    expect(rig.order).toEqual(['a1', 'a2', 'b1']);
  });

  it('goes by arrival among those who used the same', () => {
    const rig = new QueueRig({ slots: 0, policy: createWindowPolicy(new Usage({}), tokensOnly) });
    for (const name of ['b1', 'c1', 'a1']) rig.join(name);
    rig.slots = 3;
    rig.queue.poke();
    expect(rig.order).toEqual(['b1', 'c1', 'a1']);
  });

  it('looks again when something left the window', () => {
    const usage = new Usage({ a: 10, b: 25 });
    const rig = new QueueRig({ slots: 0, policy: createWindowPolicy(usage, tokensOnly) });
    for (const name of ['a1', 'b1']) rig.join(name);
    usage.tokens['b'] = 0;
    usage.slotNumber++;
    rig.slots = 1;
    rig.queue.poke();
    expect(rig.order).toEqual(['b1']);
  });
});
