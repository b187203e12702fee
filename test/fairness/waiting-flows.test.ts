import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createFifoPolicy } from '../../src/fairness/policies/fifo.ts';
import type { TurnPolicy } from '../../src/fairness/turn-policy.ts';
import { WaitingFlows, type Place } from '../../src/fairness/waiting-flows.ts';

function goingBy(priorities: Readonly<Record<string, number>>): TurnPolicy {
  return { ...createFifoPolicy(), priority: (flow) => priorities[flow] ?? 0 };
}

/** Whoever waits, in the order of turns. */
function turns(waiting: WaitingFlows<string>): string {
  let values = '';
  for (let { next } = waiting; next !== undefined; { next } = waiting) {
    values += next.value;
    waiting.remove(next);
  }
  return values;
}

describe('WaitingFlows', () => {
  it('knows both orders, and how many wait', () => {
    const waiting = new WaitingFlows<string>(goingBy({ a: 2, b: 1 }));
    expect([waiting.next, waiting.oldest, waiting.leastPriority]).toEqual([undefined, undefined, undefined]);
    for (const [flow, value] of ['a1', 'b2', 'a3', 'b4'].map((each) => [each[0]!, each[1]!] as const))
      waiting.add(flow, 1, value);
    expect([waiting.size, waiting.flows, waiting.sizeOf('a'), waiting.sizeOf('c')]).toEqual([4, 2, 2, 0]);
    expect([waiting.oldest?.value, waiting.next?.value, waiting.leastPriority]).toEqual(['1', '2', 1]);
    expect(turns(waiting)).toBe('2413');
  });

  it('list() has the flows in the order of turns', () => {
    const waiting = new WaitingFlows<string>(goingBy({ a: 2, b: 1 }));
    for (const flow of ['c', 'a', 'b', 'a']) waiting.add(flow, 1, '');
    expect(waiting.list(2).map(({ name, places }) => [name, places.size])).toEqual([
      ['c', 1],
      ['b', 1],
    ]);
  });

  it('gives turns by priority, then by the arrival of whoever is first in its flow, after any changes', () => {
    const step = fc.record({
      act: fc.constantFrom(
        'add' as const,
        'add' as const,
        'remove' as const,
        'reprioritise' as const,
        'epoch' as const,
      ),
      which: fc.nat(),
      priority: fc.nat(3),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const priorities: Record<string, number> = {};
        let epoch = 0;
        const waiting = new WaitingFlows<number>({ ...goingBy(priorities), epoch: () => epoch });
        const line: Place<number>[] = [];
        for (const [number, { act, which, priority }] of steps.entries()) {
          const flow = `f${which % 4}`;
          if (act === 'add') line.push(waiting.add(flow, 1, number));
          else if (act === 'remove')
            for (const place of line.splice(which % Math.max(1, line.length), 1)) waiting.remove(place);
          else priorities[flow] = priority;
          if (act === 'reprioritise') waiting.reorderFlow(flow);
          if (act === 'epoch') epoch++;
          const rank = ({ flow: { name } }: Place<number>): number => priorities[name] ?? 0;
          const arrival = ({ flow: { name } }: Place<number>): number =>
            line.find((place) => place.flow.name === name)!.value;
          const expected = line.toSorted(
            (a, b) => rank(a) - rank(b) || arrival(a) - arrival(b) || a.value - b.value,
          );
          expect([waiting.next?.value, waiting.oldest?.value, waiting.size]).toEqual([
            expected[0]?.value,
            line[0]?.value,
            line.length,
          ]);
        }
      }),
    );
  });
});
