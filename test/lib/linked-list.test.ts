import { describe, expect, it } from '@jest/globals';
import { LinkedList } from '../../src/lib/linked-list.ts';

/** What is in it, from the first on; it is empty afterwards. */
function drained(list: LinkedList<string>, nodes: ReturnType<typeof list.append>[]): string[] {
  const values: string[] = [];
  while (list.first !== undefined) {
    const { first } = list;
    values.push(first);
    list.remove(nodes.find(({ value }) => value === first)!);
  }
  return values;
}

describe('LinkedList', () => {
  const cases: [removed: string, left: string[]][] = [
    ['a', ['b', 'c']],
    ['b', ['a', 'c']],
    ['c', ['a', 'b']],
  ];
  it.each(cases)('remove() of %s leaves %j, in order', (removed, left) => {
    const list = new LinkedList<string>();
    const nodes = ['a', 'b', 'c'].map((value) => list.append(value));
    list.remove(nodes.find(({ value }) => value === removed)!);
    expect([list.size, drained(list, nodes)]).toEqual([2, left]);
  });

  it('append() works again after the last one left', () => {
    const list = new LinkedList<string>();
    list.remove(list.append('a'));
    expect([list.size, list.first]).toEqual([0, undefined]);
    const nodes = [list.append('b'), list.append('c')];
    expect(drained(list, nodes)).toEqual(['b', 'c']);
  });
});
