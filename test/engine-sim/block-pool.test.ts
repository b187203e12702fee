import { describe, expect, it } from '@jest/globals';
import { BlockPool } from '../../src/engine-sim/block-pool.ts';

describe('BlockPool', () => {
  it('claim() hands out the block freed longest ago, and forgets what it held', () => {
    const pool = new BlockPool(3);
    expect(pool.claim([], 3)).toEqual([0, 1, 2]);
    pool.register(1, 11);
    pool.release([1]);
    pool.release([0]);
    expect(pool.findPrefix([11], 9)).toEqual([1]);
    expect(pool.claim([], 1)).toEqual([1]);
    expect(pool.findPrefix([11], 9)).toEqual([]);
    expect(pool.cachedCount).toBe(0);
  });

  it('claim() takes cached blocks out of the free ones and shares them', () => {
    const pool = new BlockPool(3);
    pool.claim([], 2);
    pool.register(0, 10);
    pool.release([0, 1]);
    expect(pool.claim([0], 1)).toEqual([0, 2]);
    expect(pool.claim([0], 1)).toEqual([0, 1]);
    expect(pool.freeCount).toBe(0);
    pool.release([0, 2]);
    expect(pool.freeCount).toBe(1);
    pool.release([0, 1]);
    expect(pool.freeCount).toBe(3);
  });

  it('claim() changes nothing where there are too few blocks, the cached ones it would revive counted', () => {
    const pool = new BlockPool(3);
    pool.claim([], 3);
    pool.register(0, 10);
    pool.release([0, 1]);
    expect(pool.claim([0], 2)).toBeUndefined();
    expect(pool.freeCount).toBe(2);
    expect(pool.claim([0], 1)).toEqual([0, 1]);
  });

  it('release() of a sequence gives its last block up first', () => {
    const pool = new BlockPool(3);
    pool.release(pool.claim([], 3) ?? []);
    expect(pool.claim([], 3)).toEqual([2, 1, 0]);
  });

  it('register() keeps the first block with a hash', () => {
    const pool = new BlockPool(2);
    pool.claim([], 2);
    pool.register(0, 10);
    pool.register(1, 10);
    expect(pool.findPrefix([10], 9)).toEqual([0]);
    expect(pool.cachedCount).toBe(1);
  });

  it('findPrefix() stops at the first gap and at its maximum', () => {
    const pool = new BlockPool(4);
    pool.claim([], 4);
    [10, 11, 13].forEach((hash, block) => pool.register(block, hash));
    expect(pool.findPrefix([10, 11, 12, 13], 9)).toEqual([0, 1]);
    expect(pool.findPrefix([10, 11], 1)).toEqual([0]);
  });
});
