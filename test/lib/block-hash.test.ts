import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { BlockHasher } from '../../src/lib/block-hash.ts';

function chain(hasher: BlockHasher, text: Uint8Array, root = 'm'): string[] {
  const count = hasher.hash(root, text);
  return Array.from({ length: count }, (_, i) => `${hasher.high[i]}:${hasher.low[i]}`);
}

const bytes = (text: string) => new TextEncoder().encode(text);

describe('BlockHasher', () => {
  it('hash() cuts blocks, keeps the last shorter one, and stops at maxBlocks', () => {
    const hasher = new BlockHasher(4, 3, 1);
    expect([0, 1, 4, 5, 12, 13, 100].map((length) => hasher.hash('m', new Uint8Array(length)))).toEqual([
      0, 1, 1, 2, 3, 3, 3,
    ]);
    expect(hasher.count).toBe(3);
  });

  it('hash() depends on the root and on the seed', () => {
    const [ours] = chain(new BlockHasher(4, 3, 1), bytes('aaaa'));
    expect(chain(new BlockHasher(4, 3, 1), bytes('aaaa'), 'n')).not.toEqual([ours]);
    expect(chain(new BlockHasher(4, 3, 2), bytes('aaaa'))).not.toEqual([ours]);
  });

  it('hash() tells a text from the same with zeros after it', () => {
    const hasher = new BlockHasher(8, 2, 1);
    expect(chain(hasher, bytes('abc'))).not.toEqual(chain(hasher, bytes('abc\0')));
  });

  it('hash() keeps nothing of the text before', () => {
    const hasher = new BlockHasher(16, 4, 1);
    const short = chain(hasher, bytes('short'));
    hasher.hash('m', bytes('something much longer than that'));
    expect(chain(hasher, bytes('short'))).toEqual(short);
  });

  it('hash() gives texts equal hashes exactly as deep as they are equal', () => {
    const text = fc.uint8Array({ minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(text, text, text, fc.integer({ min: 1, max: 20 }), (head, one, other, blockBytes) => {
        const hasher = new BlockHasher(blockBytes, 200, 7);
        const first = Uint8Array.of(...head, ...one);
        const second = Uint8Array.of(...head, ...other);
        const firstChain = chain(hasher, first);
        const secondChain = chain(hasher, second);
        for (let i = 0; i < Math.max(firstChain.length, secondChain.length); i++) {
          const end = (i + 1) * blockBytes;
          const equal = Buffer.from(first.subarray(0, end)).equals(second.subarray(0, end));
          expect(firstChain[i] === secondChain[i]).toBe(equal);
        }
      }),
    );
  });

  it('hash() spreads the low bits, which choose the bucket', () => {
    const hasher = new BlockHasher(64, 1, 1);
    const buckets = new Set<number>();
    for (let i = 0; i < 4096; i++) {
      hasher.hash('m', bytes(`conversation ${i}`));
      buckets.add(hasher.low[0]! & 4095);
    }
    // Of n balls in n bins, 63 % of the bins get one.
    expect(buckets.size).toBeGreaterThan(2400);
  });
});
