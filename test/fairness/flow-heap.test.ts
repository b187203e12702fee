import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FlowHeap, type Ranked } from '../../src/fairness/flow-heap.ts';

interface NamedFlow extends Ranked {
  readonly name: string;
}

function aFlow(name: string, priority: number, sequence: number): NamedFlow {
  return { name, priority, sequence, place: -1 };
}

function filled(...flows: NamedFlow[]): FlowHeap<NamedFlow> {
  const heap = new FlowHeap<NamedFlow>();
  for (const flow of flows) heap.add(flow);
  return heap;
}

function drain(heap: FlowHeap<NamedFlow>): string {
  let names = '';
  for (let { first } = heap; first !== undefined; { first } = heap) {
    names += first.name;
    heap.remove(first);
  }
  return names;
}

function inOrder(flows: readonly NamedFlow[]): NamedFlow[] {
  return flows.toSorted((a, b) =>
    a.priority === b.priority ? a.sequence - b.sequence : a.priority - b.priority,
  );
}

describe('FlowHeap', () => {
  it('goes by priority, then by sequence', () => {
    expect(drain(filled(aFlow('c', 5, 1), aFlow('a', 2, 4), aFlow('b', 2, 5), aFlow('d', 5, 2)))).toBe(
      'abcd',
    );
  });

  it('takes infinite priorities', () => {
    expect(drain(filled(aFlow('b', Infinity, 1), aFlow('c', Infinity, 2), aFlow('a', -Infinity, 3)))).toBe(
      'abc',
    );
  });

  it('list() begins with whoever is first and leaves the heap alone', () => {
    const heap = filled(...'hgfedcba'.split('').map((name, i) => aFlow(name, -i, i)));
    expect(heap.list(3).map(({ name }) => name)).toEqual(['a', 'b', 'c']);
    expect([heap.list(100).length, heap.list(0)]).toEqual([8, []]);
    expect(drain(heap)).toBe('abcdefgh');
  });

  it('is in order after any changes', () => {
    const priority = fc.oneof(fc.integer({ min: 0, max: 4 }), fc.constant(Infinity));
    const step = fc.record({
      act: fc.constantFrom('add' as const, 'remove' as const, 'move' as const, 'rebuild' as const),
      which: fc.nat(),
      priority,
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const heap = new FlowHeap<NamedFlow>();
        const flows: NamedFlow[] = [];
        let sequence = 0;
        for (const { act, which, priority: rank } of steps) {
          const index = which % Math.max(1, flows.length);
          const flow = flows[index];
          if (act === 'add' || flow === undefined) {
            const added = aFlow('', rank, sequence++);
            flows.push(added);
            heap.add(added);
          } else if (act === 'remove') {
            flows.splice(index, 1);
            heap.remove(flow);
          } else if (act === 'move') {
            flow.priority = rank;
            heap.moved(flow);
          } else {
            for (const other of flows) other.priority = (other.sequence * 7 + which) % 5;
            heap.rebuild();
          }
          const expected = inOrder(flows);
          expect([heap.size, heap.first]).toEqual([flows.length, expected[0]]);
          expect(heap.list(flows.length)).toEqual(expected);
        }
      }),
    );
  });
});
