/**
 * Chained hashes of the blocks of a text: equal hashes at depth i mean (but for collisions) equal text up to depth i.
 * Two 32-bit lanes in plain JavaScript; see docs/decisions/0001-prefix-hash.md for why not xxhash.
 */

/** The chain of one text: block i hashes to (high[i], low[i]) for i < count. The arrays are reused by the next text. */
export interface BlockChain {
  readonly high: Int32Array;
  readonly low: Int32Array;
  readonly count: number;
}

const mulA = 0x85ebca6b | 0;
const mulB = 0xc2b2ae35 | 0;
const mulC = 0x9e3779b1 | 0;

/**
 * Cuts texts into blocks of `blockBytes` (the last may be shorter, everything after `maxBlocks` is ignored) and hashes
 * them into buffers of its own, without allocation. Hashes are only comparable within one hasher: each has its seed,
 * so that nobody outside can prepare texts that collide.
 */
export class BlockHasher implements BlockChain {
  readonly high: Int32Array;
  readonly low: Int32Array;
  readonly #blockBytes: number;
  readonly #seed: number;
  readonly #text: Uint8Array;
  readonly #words: DataView;
  #count = 0;

  constructor(blockBytes: number, maxBlocks: number, seed: number) {
    this.#blockBytes = blockBytes;
    this.#seed = seed | 0;
    this.high = new Int32Array(maxBlocks);
    this.low = new Int32Array(maxBlocks);
    this.#text = new Uint8Array(blockBytes * maxBlocks);
    this.#words = new DataView(this.#text.buffer);
  }

  get count(): number {
    return this.#count;
  }

  /** Hashes `text`, the chain being rooted in `root` (the model name), and returns the number of blocks. */
  hash(root: string, text: Uint8Array): number {
    const blockBytes = this.#blockBytes;
    const words = this.#words;
    const { high, low } = this;
    const endByte = Math.min(text.length, this.#text.length);
    // A copy into one fixed buffer costs less than a view per text, and unaligned words read at full speed from it.
    this.#text.set(text.length > endByte ? text.subarray(0, endByte) : text);

    let a = this.#seed;
    let b = ~a;
    for (let i = 0; i < root.length; i++) {
      a = Math.imul(a ^ root.charCodeAt(i), mulA);
      b = (b + rotate(a, 13)) | 0;
    }

    let count = 0;
    for (let start = 0; start < endByte; start += blockBytes) {
      const end = Math.min(start + blockBytes, endByte);
      let at = start;
      for (; at + 8 <= end; at += 8) {
        // Every step is a bijection of (a, b), so a single changed word can never be lost.
        a = rotate(Math.imul(a ^ words.getInt32(at, true), mulA), 13);
        b = rotate(Math.imul(b ^ words.getInt32(at + 4, true), mulB), 17);
        a = (a + b) | 0;
        b ^= rotate(a, 5);
      }
      for (; at < end; at++) {
        a = rotate(Math.imul(a ^ words.getUint8(at), mulC), 13);
        b = (b + a) | 0;
      }
      a ^= end - start;
      a = Math.imul(a ^ (a >>> 16), mulA);
      b = Math.imul(b ^ (b >>> 16) ^ a, mulB);
      a ^= b ^ (b >>> 13);
      b = (b + rotate(a, 16)) | 0;
      high[count] = a;
      low[count] = b;
      count++;
    }
    this.#count = count;
    return count;
  }
}

function rotate(value: number, by: number): number {
  return (value << by) | (value >>> (32 - by));
}
