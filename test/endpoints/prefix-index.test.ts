import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { PrefixIndex } from '../../src/endpoints/prefix-index.ts';
import type { BlockChain } from '../../src/lib/block-hash.ts';

/** The chain of a path in a tree: each block's hash stands for the whole path to it. Few buckets, so that they collide. */
function chainOf(path: readonly number[]): BlockChain {
  const codes = path.map((_, i) => path.slice(0, i + 1).reduce((code, step) => code * 4 + step + 1, 0));
  return {
    high: Int32Array.from(codes),
    low: Int32Array.from(codes, (code) => code % 3),
    count: path.length,
  };
}

function depthsOf(
  index: PrefixIndex,
  path: readonly number[],
  slots: readonly number[],
  topK = 100,
): number[] {
  const depths = new Float64Array(slots.length).fill(7);
  index.match(
    chainOf(path),
    slots.map((slot) => ({ slot })),
    topK,
    depths,
  );
  return [...depths];
}

/** The same in plain maps, one per slot, oldest entry first. */
class NaiveIndex {
  readonly held = new Map<number, Map<string, true>>();
  readonly #perEndpoint: number;
  evictions = 0;

  constructor(perEndpoint: number) {
    this.#perEndpoint = perEndpoint;
  }

  get size(): number {
    return [...this.held.values()].reduce((sum, { size }) => sum + size, 0);
  }

  insert(slot: number, path: readonly number[]): void {
    const own = this.held.get(slot) ?? new Map<string, true>();
    this.held.set(slot, own);
    for (let depth = Math.min(path.length, this.#perEndpoint); depth > 0; depth--) {
      const key = path.slice(0, depth).join();
      own.delete(key);
      own.set(key, true);
      if (own.size <= this.#perEndpoint) continue;
      own.delete(own.keys().next().value ?? '');
      this.evictions++;
    }
  }

  match(path: readonly number[], slots: readonly number[], topK: number): number[] {
    const depths = slots.map((slot) => {
      let depth = 0;
      while (depth < path.length && this.held.get(slot)?.has(path.slice(0, depth + 1).join()) === true)
        depth++;
      return depth;
    });
    const least = depths.toSorted((a, b) => b - a)[topK - 1] ?? 0;
    return depths.map((depth) => (depth >= least ? depth : 0));
  }
}

const paths = fc.array(fc.integer({ min: 0, max: 1 }), { maxLength: 7 });
const slots = fc.integer({ min: 0, max: 5 });
const operations = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('insert' as const), slot: slots, path: paths }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('forget' as const), slot: slots, path: paths }) },
  ),
  { maxLength: 60 },
);

describe('PrefixIndex', () => {
  it('match() finds how deep each candidate goes', () => {
    const index = new PrefixIndex({ maxEntries: 100, maxEntriesPerEndpoint: 100 });
    index.insert(3, chainOf([0, 1, 0]));
    index.insert(40, chainOf([0, 1]));
    index.insert(5, chainOf([0]));
    expect(depthsOf(index, [0, 1, 0, 1], [3, 40, 5, 900])).toEqual([3, 2, 1, 0]);
    expect(depthsOf(index, [0, 1, 0, 1], [40, 900])).toEqual([2, 0]);
    expect(depthsOf(index, [1], [3, 40, 5])).toEqual([0, 0, 0]);
    expect(depthsOf(index, [], [3])).toEqual([0]);
  });

  it('match() returns the greatest depth among the candidates', () => {
    const index = new PrefixIndex({ maxEntries: 100, maxEntriesPerEndpoint: 100 });
    index.insert(0, chainOf([0, 1, 0]));
    index.insert(1, chainOf([0, 1]));
    expect(index.match(chainOf([0, 1, 0]), [{ slot: 1 }], 5, new Float64Array(1))).toBe(2);
    expect(index.match(chainOf([0, 1, 0]), [{ slot: 2 }], 5, new Float64Array(1))).toBe(0);
  });

  it('insert() gives up the deepest blocks of the least recent prefix first', () => {
    const index = new PrefixIndex({ maxEntries: 100, maxEntriesPerEndpoint: 4 });
    index.insert(0, chainOf([0, 0, 0]));
    index.insert(0, chainOf([1, 1]));
    expect(depthsOf(index, [0, 0, 0], [0])).toEqual([2]);
    expect(depthsOf(index, [1, 1], [0])).toEqual([2]);
    expect(index.evictions).toBe(1);
  });

  it('insert() keeps the beginning of a chain longer than the bound', () => {
    const index = new PrefixIndex({ maxEntries: 100, maxEntriesPerEndpoint: 2 });
    index.insert(0, chainOf([0, 0, 0, 0]));
    expect(depthsOf(index, [0, 0, 0, 0], [0])).toEqual([2]);
  });

  it('insert() shares a full index equally', () => {
    const index = new PrefixIndex({ maxEntries: 40, maxEntriesPerEndpoint: 40 });
    const long = (first: number) => [first, ...Array.from({ length: 9 }, () => 0)];
    for (const first of [0, 1, 2, 3]) index.insert(0, chainOf(long(first)));
    expect(index.size).toBe(40);
    index.insert(1, chainOf(long(0)));
    index.insert(1, chainOf(long(1)));
    expect(depthsOf(index, long(0), [0, 1])).toEqual([0, 10]);
    expect(depthsOf(index, long(3), [0, 1])).toEqual([10, 0]);
    expect(index.size).toBe(40);
    // Both have their half now: the next prefix costs the endpoint its own oldest.
    index.insert(1, chainOf(long(2)));
    expect(depthsOf(index, long(2), [0, 1])).toEqual([10, 10]);
    expect(depthsOf(index, long(0), [0, 1])).toEqual([0, 0]);
  });

  it('forget() gives room back', () => {
    const index = new PrefixIndex({ maxEntries: 6, maxEntriesPerEndpoint: 6 });
    index.insert(0, chainOf([0, 0, 0, 0, 0, 0]));
    index.forget(0);
    expect(index.size).toBe(0);
    index.insert(1, chainOf([0, 0, 0, 0, 0, 0]));
    expect(depthsOf(index, [0, 0, 0, 0, 0, 0], [0, 1])).toEqual([0, 6]);
    expect(index.evictions).toBe(0);
    index.forget(77);
  });

  it('behaves like plain maps', () => {
    fc.assert(
      fc.property(
        operations,
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 6 }),
        (steps, bound, topK) => {
          const index = new PrefixIndex({ maxEntries: 1000, maxEntriesPerEndpoint: bound });
          const naive = new NaiveIndex(bound);
          const all = [4, 0, 3, 1, 2];
          for (const { kind, slot, path } of steps) {
            if (kind === 'insert') {
              index.insert(slot, chainOf(path));
              naive.insert(slot, path);
            } else {
              index.forget(slot);
              naive.held.delete(slot);
            }
            expect(depthsOf(index, path, all, topK)).toEqual(naive.match(path, all, topK));
            expect(index.size).toBe(naive.size);
            expect(index.evictions).toBe(naive.evictions);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('stays within the total bound and holds what was entered last', () => {
    fc.assert(
      fc.property(operations, fc.integer({ min: 1, max: 30 }), (steps, maxEntries) => {
        const index = new PrefixIndex({ maxEntries, maxEntriesPerEndpoint: 20 });
        const living = new Set<number>();
        for (const { kind, slot, path } of steps) {
          if (kind === 'insert') {
            index.insert(slot, chainOf(path));
            living.add(slot);
            const share = Math.max(1, Math.floor(maxEntries / living.size));
            if (path.length <= share) expect(depthsOf(index, path, [slot])).toEqual([path.length]);
          } else {
            index.forget(slot);
            living.delete(slot);
            expect(depthsOf(index, path, [slot])).toEqual([0]);
          }
          expect(index.size).toBeLessThanOrEqual(maxEntries);
        }
      }),
      { numRuns: 300 },
    );
  });
});
