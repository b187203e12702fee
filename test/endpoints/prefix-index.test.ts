import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { PrefixIndex } from '../../src/endpoints/prefix-index.ts';
import { BlockHasher, type BlockChain } from '../../src/lib/block-hash.ts';

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

  /** The same with another bound: the oldest of each slot go. */
  resized(perEndpoint: number): NaiveIndex {
    const next = new NaiveIndex(perEndpoint);
    for (const [slot, own] of this.held) next.held.set(slot, new Map([...own].slice(-perEndpoint)));
    return next;
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

/** The chain of a path of small numbers, hashed for real, so that paths may be long. */
function longChainOf(path: readonly number[]): BlockChain {
  const hasher = new BlockHasher(1, 64, 1);
  hasher.hash('m', Uint8Array.from(path));
  return hasher;
}

function longDepthsOf(
  index: PrefixIndex,
  path: readonly number[],
  slots: readonly number[],
  topK = 100,
): number[] {
  const depths = new Float64Array(slots.length).fill(7);
  const candidates = slots.map((slot) => ({ slot }));
  const greatest = index.match(longChainOf(path), candidates, topK, depths);
  expect(greatest).toBe(Math.max(...depths));
  return [...depths];
}

/** Insertions of nothing, until all is moved and taken apart. */
function settle(index: PrefixIndex): void {
  const nothing = longChainOf([]);
  for (let i = 0; i < 300; i++) index.insert(0, nothing);
}

/** A path of its own for each `first`. */
const fill = (first: number, length: number) => [first, ...Array.from({ length: length - 1 }, () => 0)];

describe('PrefixIndex resize()', () => {
  const growths: [string, { maxEntries: number; maxEntriesPerEndpoint: number }][] = [
    ['for all', { maxEntries: 900, maxEntriesPerEndpoint: 200 }],
    ['for each', { maxEntries: 500, maxEntriesPerEndpoint: 300 }],
    ['for all and each', { maxEntries: 1000, maxEntriesPerEndpoint: 1000 }],
  ];
  it.each(growths)('to more room %s keeps everything, at once and later', (_, bounds) => {
    const index = new PrefixIndex({ maxEntries: 500, maxEntriesPerEndpoint: 200 });
    for (let first = 0; first < 8; first++) index.insert(first % 2, longChainOf(fill(first, 50)));
    index.resize(bounds);
    for (let i = 0; i < 10; i++) {
      expect(index.size).toBe(400);
      for (let first = 0; first < 8; first++) {
        const expected = first % 2 === 0 ? [50, 0] : [0, 50];
        expect(longDepthsOf(index, fill(first, 50), [0, 1])).toEqual(expected);
      }
      index.insert(0, longChainOf([]));
    }
    expect(index.evictions).toBe(0);
    for (let first = 8; first < 10; first++) index.insert(0, longChainOf(fill(first, 50)));
    expect(longDepthsOf(index, fill(0, 50), [0])).toEqual([bounds.maxEntriesPerEndpoint > 200 ? 50 : 0]);
  });

  it('to less room for each endpoint gives up its oldest with the next insertions', () => {
    const index = new PrefixIndex({ maxEntries: 1000, maxEntriesPerEndpoint: 400 });
    for (let first = 0; first < 8; first++) index.insert(0, longChainOf(fill(first, 50)));
    index.insert(1, longChainOf(fill(0, 50)));
    index.resize({ maxEntries: 1000, maxEntriesPerEndpoint: 120 });
    index.insert(1, longChainOf(fill(1, 10)));
    expect(index.evictions).toBe(32);
    settle(index);
    const depths = [0, 4, 5, 6, 7].map((first) => longDepthsOf(index, fill(first, 50), [0])[0]);
    expect(depths).toEqual([0, 0, 20, 50, 50]);
    expect(longDepthsOf(index, fill(0, 50), [1])).toEqual([50]);
    expect([index.size, index.evictions]).toEqual([180, 280]);
  });

  it('to less room for each endpoint and more for all moves no more than each may hold', () => {
    const index = new PrefixIndex({ maxEntries: 1000, maxEntriesPerEndpoint: 400 });
    for (let first = 0; first < 8; first++) index.insert(0, longChainOf(fill(first, 50)));
    index.resize({ maxEntries: 2000, maxEntriesPerEndpoint: 120 });
    settle(index);
    const depths = [0, 5, 6, 7].map((first) => longDepthsOf(index, fill(first, 50), [0])[0]);
    expect(depths).toEqual([0, 20, 50, 50]);
    expect([index.size, index.evictions]).toEqual([120, 280]);
  });

  it('to less and again more room for each, while entries move, leaves no gap in what is held', () => {
    const index = new PrefixIndex({ maxEntries: 1000, maxEntriesPerEndpoint: 100 });
    const ten = Array.from({ length: 10 }, (_, slot) => slot);
    for (const slot of ten) index.insert(slot, longChainOf(fill(slot, 40)));
    index.resize({ maxEntries: 2000, maxEntriesPerEndpoint: 100 });
    index.insert(0, longChainOf([]));
    index.resize({ maxEntries: 2000, maxEntriesPerEndpoint: 20 });
    // What was moved for endpoint 0 goes again; the rest of it is older and must not come after that.
    index.insert(0, longChainOf(fill(10, 20)));
    index.resize({ maxEntries: 2000, maxEntriesPerEndpoint: 100 });
    settle(index);
    expect(longDepthsOf(index, fill(0, 40), ten)).toEqual(ten.map(() => 0));
    expect(longDepthsOf(index, fill(10, 20), [0])).toEqual([20]);
    expect(longDepthsOf(index, fill(9, 40), [9])).toEqual([40]);
  });

  it('to less room for all gives endpoints equal shares of their newest', () => {
    const index = new PrefixIndex({ maxEntries: 1000, maxEntriesPerEndpoint: 1000 });
    for (let first = 0; first < 16; first++) index.insert(first % 2, longChainOf(fill(first, 50)));
    index.insert(2, longChainOf(fill(0, 20)));
    index.resize({ maxEntries: 320, maxEntriesPerEndpoint: 1000 });
    expect(longDepthsOf(index, fill(0, 50), [0])).toEqual([50]);
    settle(index);
    expect([index.size, index.evictions]).toEqual([320, 500]);
    const holds = (slot: number) =>
      [14, 12, 10, 8, 6].map((first) => longDepthsOf(index, fill(first + slot, 50), [slot])[0]!);
    for (const slot of [0, 1]) {
      const held = holds(slot).reduce((sum, depth) => sum + depth, 0);
      expect(holds(slot).slice(0, 2)).toEqual([50, 50]);
      expect(Math.abs(held - 150)).toBeLessThanOrEqual(16);
    }
    expect(longDepthsOf(index, fill(0, 20), [2])).toEqual([20]);
  });

  it('to the same bounds changes nothing', () => {
    const index = new PrefixIndex({ maxEntries: 100, maxEntriesPerEndpoint: 50 });
    for (let first = 0; first < 4; first++) index.insert(first % 2, longChainOf(fill(first, 30)));
    const before = [index.size, index.evictions];
    index.resize({ maxEntries: 100, maxEntriesPerEndpoint: 50 });
    settle(index);
    expect([index.size, index.evictions]).toEqual(before);
  });

  it('while a resize is under way comes after it', () => {
    const index = new PrefixIndex({ maxEntries: 1000, maxEntriesPerEndpoint: 1000 });
    for (let first = 0; first < 10; first++) index.insert(0, longChainOf(fill(first, 50)));
    for (const maxEntries of [2000, 50, 3000])
      index.resize({ maxEntries, maxEntriesPerEndpoint: maxEntries });
    settle(index);
    expect([index.size, index.evictions]).toEqual([500, 0]);
    for (let first = 10; first < 60; first++) index.insert(0, longChainOf(fill(first, 50)));
    expect([index.size, index.evictions]).toEqual([3000, 0]);
  });

  it('forgets an endpoint that is lost while its entries move, and gives its successor nothing', () => {
    const index = new PrefixIndex({ maxEntries: 1000, maxEntriesPerEndpoint: 1000 });
    for (let first = 0; first < 10; first++) index.insert(first % 2, longChainOf(fill(first, 50)));
    index.resize({ maxEntries: 2000, maxEntriesPerEndpoint: 1000 });
    index.insert(2, longChainOf([5]));
    index.forget(0);
    expect(index.size).toBe(251);
    index.insert(0, longChainOf(fill(0, 3)));
    settle(index);
    expect([0, 2, 4].map((first) => longDepthsOf(index, fill(first, 50), [0])[0])).toEqual([3, 0, 0]);
    expect(longDepthsOf(index, fill(1, 50), [1])).toEqual([50]);
    expect([index.size, index.evictions]).toEqual([254, 0]);
  });

  const longPaths = fc.array(fc.integer({ min: 0, max: 1 }), { maxLength: 16 });
  const all = [4, 0, 3, 1, 2, 5];
  const inserting = fc.record({ kind: fc.constant('insert' as const), slot: slots, path: longPaths });
  const forgetting = fc.record({ kind: fc.constant('forget' as const), slot: slots });

  /** Making a counterexample of so many steps smaller takes minutes. */
  const once = { numRuns: 40, endOnFailure: true };

  /** Insertions, with now and then a forgotten endpoint and new bounds. */
  function steps(maxEntries: fc.Arbitrary<number>, maxEntriesPerEndpoint: fc.Arbitrary<number>) {
    const bounds = fc.record({ maxEntries, maxEntriesPerEndpoint });
    const resizing = fc.record({ kind: fc.constant('resize' as const), bounds });
    const step = fc.oneof(
      { weight: 16, arbitrary: inserting },
      { weight: 1, arbitrary: forgetting },
      { weight: 3, arbitrary: resizing },
    );
    return { bounds, list: fc.array(step, { minLength: 40, maxLength: 120 }) };
  }

  /** What each slot was sent and not made to forget, in plain maps and without bounds: the oldest first. */
  class Everything {
    readonly held = new Map<number, Map<string, readonly number[]>>();

    insert(slot: number, path: readonly number[], perEndpoint: number): void {
      const own = this.held.get(slot) ?? new Map<string, readonly number[]>();
      this.held.set(slot, own);
      for (let depth = Math.min(path.length, perEndpoint); depth > 0; depth--) {
        const block = path.slice(0, depth);
        own.delete(block.join());
        own.set(block.join(), block);
      }
    }
  }

  /** How many blocks the index holds for a slot; fails where they are not its newest. */
  function countNewest(index: PrefixIndex, slot: number, everything: Everything): number {
    const blocks = [...(everything.held.get(slot)?.values() ?? [])].reverse();
    const held = blocks.map((block) => longDepthsOf(index, block, [slot])[0] === block.length);
    const count = held.filter(Boolean).length;
    expect(held.slice(0, count)).toEqual(held.slice(0, count).map(() => true));
    return count;
  }

  it('is noticed by nobody while there is room', () => {
    const { bounds, list } = steps(fc.integer({ min: 2000, max: 4000 }), fc.constant(2000));
    fc.assert(
      fc.property(bounds, list, fc.integer({ min: 1, max: 6 }), (first, operations, topK) => {
        const index = new PrefixIndex(first);
        const naive = new NaiveIndex(2000);
        for (const step of operations) {
          if (step.kind === 'resize') index.resize(step.bounds);
          else if (step.kind === 'forget') {
            index.forget(step.slot);
            naive.held.delete(step.slot);
          } else {
            expect(longDepthsOf(index, step.path, all, topK)).toEqual(naive.match(step.path, all, topK));
            index.insert(step.slot, longChainOf(step.path));
            naive.insert(step.slot, step.path);
            expect(longDepthsOf(index, step.path, all, topK)).toEqual(naive.match(step.path, all, topK));
          }
          expect(index.size).toBeGreaterThanOrEqual(naive.size);
        }
        settle(index);
        expect([index.size, index.evictions]).toEqual([naive.size, 0]);
        for (const [slot, own] of naive.held)
          for (const key of own.keys()) {
            const block = key.split(',').map(Number);
            expect(longDepthsOf(index, block, [slot])).toEqual([block.length]);
          }
      }),
      once,
    );
  });

  it('keeps the newest of each endpoint, as many as plain maps that shrink at once, or more', () => {
    const { bounds, list } = steps(fc.integer({ min: 2000, max: 4000 }), fc.integer({ min: 1, max: 80 }));
    fc.assert(
      fc.property(bounds, list, (first, operations) => {
        const index = new PrefixIndex(first);
        let naive = new NaiveIndex(first.maxEntriesPerEndpoint);
        let { maxEntriesPerEndpoint } = first;
        const everything = new Everything();
        for (const step of operations) {
          const { evictions } = index;
          if (step.kind === 'resize') {
            index.resize(step.bounds);
            ({ maxEntriesPerEndpoint } = step.bounds);
            naive = naive.resized(maxEntriesPerEndpoint);
          } else if (step.kind === 'forget') {
            index.forget(step.slot);
            naive.held.delete(step.slot);
            everything.held.delete(step.slot);
          } else {
            index.insert(step.slot, longChainOf(step.path));
            naive.insert(step.slot, step.path);
            everything.insert(step.slot, step.path, maxEntriesPerEndpoint);
            const atLeast = naive.match(step.path, all, 100);
            longDepthsOf(index, step.path, all).forEach((depth, i) =>
              expect(depth).toBeGreaterThanOrEqual(atLeast[i]!),
            );
          }
          expect(index.evictions).toBeGreaterThanOrEqual(evictions);
        }
        settle(index);
        const counts = all.map((slot) => countNewest(index, slot, everything));
        counts.forEach((count, i) => {
          expect(count).toBeLessThanOrEqual(maxEntriesPerEndpoint);
          expect(count).toBeGreaterThanOrEqual(naive.held.get(all[i]!)?.size ?? 0);
        });
        expect(index.size).toBe(counts.reduce((sum, count) => sum + count, 0));
      }),
      once,
    );
  });

  it('keeps the newest of each endpoint where all of them are too many', () => {
    const { bounds, list } = steps(fc.integer({ min: 100, max: 400 }), fc.integer({ min: 16, max: 300 }));
    fc.assert(
      fc.property(bounds, list, (first, operations) => {
        const index = new PrefixIndex(first);
        let current = first;
        const everything = new Everything();
        for (const step of operations) {
          const { evictions } = index;
          if (step.kind === 'resize') index.resize((current = step.bounds));
          else if (step.kind === 'forget') {
            index.forget(step.slot);
            everything.held.delete(step.slot);
          } else {
            index.insert(step.slot, longChainOf(step.path));
            everything.insert(step.slot, step.path, current.maxEntriesPerEndpoint);
            // Sixteen is an equal share of a hundred among six.
            expect(longDepthsOf(index, step.path, [step.slot])).toEqual([step.path.length]);
          }
          expect(index.evictions).toBeGreaterThanOrEqual(evictions);
        }
        settle(index);
        const counts = all.map((slot) => countNewest(index, slot, everything));
        for (const count of counts) expect(count).toBeLessThanOrEqual(current.maxEntriesPerEndpoint);
        expect(index.size).toBe(counts.reduce((sum, count) => sum + count, 0));
        expect(index.size).toBeLessThanOrEqual(current.maxEntries);
      }),
      once,
    );
  });
});
