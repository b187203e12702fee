/** KV cache blocks with reference counts and an LRU prefix cache, after vLLM's block pool and its queue of free blocks. */

/**
 * A block is in use (references > 0) or free. A free block keeps its content, and can be found by its hash, until it is
 * handed out again; the one freed longest ago goes first.
 */
export class BlockPool {
  readonly total: number;
  readonly #references: Int32Array;
  /** The hash of each block's content; NaN where it is not in the prefix cache. */
  readonly #hashes: Float64Array;
  readonly #byHash = new Map<number, number>();
  /** The free blocks as a ring around the sentinel `total`: after it the first to hand out, before it the last freed. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  #freeCount: number;

  constructor(total: number) {
    this.total = total;
    this.#references = new Int32Array(total);
    this.#hashes = new Float64Array(total).fill(Number.NaN);
    this.#next = Int32Array.from({ length: total + 1 }, (_, index) => (index + 1) % (total + 1));
    this.#previous = Int32Array.from({ length: total + 1 }, (_, index) => (index + total) % (total + 1));
    this.#freeCount = total;
  }

  get freeCount(): number {
    return this.#freeCount;
  }

  /** Blocks that can be found by hash, used or free. */
  get cachedCount(): number {
    return this.#byHash.size;
  }

  /** The blocks of the longest cached prefix of `hashes`, at most `max`. They stay evictable until claimed. */
  findPrefix(hashes: ArrayLike<number>, max: number): number[] {
    const found: number[] = [];
    while (found.length < Math.min(max, hashes.length)) {
      const block = this.#byHash.get(hashes[found.length] ?? Number.NaN);
      if (block === undefined) break;
      found.push(block);
    }
    return found;
  }

  /**
   * Takes a reference on each cached block and hands out `fresh` new ones after them; undefined, with nothing changed,
   * where there are too few.
   */
  claim(cached: readonly number[], fresh: number): number[] | undefined {
    const revived = cached.reduce((count, block) => count + (this.#references[block] === 0 ? 1 : 0), 0);
    if (this.#freeCount - revived < fresh) return undefined;
    for (const block of cached) this.#reference(block);
    const blocks = [...cached];
    for (let count = 0; count < fresh; count++) {
      const block = this.#next[this.total] ?? 0;
      this.#forget(block);
      this.#reference(block);
      blocks.push(block);
    }
    return blocks;
  }

  /** Gives back one reference on each block of a sequence. Its last block is handed out again first: prefixes live longest. */
  release(blocks: readonly number[]): void {
    for (let index = blocks.length - 1; index >= 0; index--) {
      const block = blocks[index] ?? 0;
      const left = (this.#references[block] ?? 0) - 1;
      this.#references[block] = left;
      if (left === 0) this.#appendFree(block);
    }
  }

  /** Makes a full block findable; where another block holds the same content already, that one stays the findable one. */
  register(block: number, hash: number): void {
    if (this.#byHash.has(hash)) return;
    this.#hashes[block] = hash;
    this.#byHash.set(hash, block);
  }

  #reference(block: number): void {
    if (this.#references[block] === 0) this.#removeFree(block);
    this.#references[block] = (this.#references[block] ?? 0) + 1;
  }

  #forget(block: number): void {
    this.#byHash.delete(this.#hashes[block] ?? Number.NaN);
    this.#hashes[block] = Number.NaN;
  }

  #removeFree(block: number): void {
    const next = this.#next[block] ?? 0;
    const previous = this.#previous[block] ?? 0;
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.#freeCount--;
  }

  #appendFree(block: number): void {
    const last = this.#previous[this.total] ?? 0;
    this.#next[last] = block;
    this.#previous[block] = last;
    this.#next[block] = this.total;
    this.#previous[this.total] = block;
    this.#freeCount++;
  }
}
