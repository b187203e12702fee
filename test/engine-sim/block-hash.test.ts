import { describe, expect, it } from '@jest/globals';
import { hashTokenBlocks, hashTokens } from '../../src/engine-sim/block-hash.ts';

const tokens = Array.from({ length: 64 }, (_, index) => 300 + index);

describe('hashTokenBlocks()', () => {
  it('hashes full blocks only', () => {
    expect(hashTokenBlocks(tokens.slice(0, 35), 16)).toHaveLength(2);
    expect(hashTokenBlocks(tokens.slice(0, 15), 16)).toHaveLength(0);
  });

  it('gives equal beginnings equal hashes, and a change reaches every later block', () => {
    const changed = tokens.with(20, 1);
    const [a, b] = [hashTokenBlocks(tokens, 16), hashTokenBlocks(changed, 16)];
    expect([...a].map((hash, index) => hash === b[index])).toEqual([true, false, false, false]);
  });

  it('keeps salts apart, and token ids beyond 32 bits', () => {
    expect(hashTokenBlocks(tokens, 16, 'a')[0]).not.toBe(hashTokenBlocks(tokens, 16)[0]);
    expect(hashTokenBlocks([5], 1)[0]).not.toBe(hashTokenBlocks([5 + 2 ** 32], 1)[0]);
  });

  it('does not collide over a hundred thousand neighbouring blocks', () => {
    const many = hashTokenBlocks(
      Array.from({ length: 100_000 }, (_, index) => index % 3),
      1,
    );
    expect(new Set(many).size).toBe(100_000);
  });
});

describe('hashTokens()', () => {
  it('depends on the tokens, their number and the seed', () => {
    const hashes = [
      hashTokens([1, 2], 0),
      hashTokens([1, 2], 1),
      hashTokens([1], 0),
      hashTokens([1, 0], 0),
      hashTokens([2, 1], 0),
    ];
    expect(new Set(hashes).size).toBe(5);
    expect(hashTokens([1, 2], 0)).toBe(hashes[0]);
  });
});
