/**
 * Which endpoint was sent which prompt prefix: a bounded map from block hash to the endpoints that hold it.
 *
 * An entry is one (block, endpoint) pair. Each endpoint's entries form a list by age; a prefix is entered from its
 * deepest block to its first, so a block is never older than the blocks that continue it, eviction takes the deepest
 * first, and holders stay nested: whoever holds block i + 1 holds block i. Lookup relies on that twice: the deepest known
 * block is found by bisection, and two depths with equally many holders have the same holders.
 *
 * Everything lives in typed arrays of the full bound, allocated once: the operating system gives them memory only as
 * they are used, and there is never a pause for growing. Index 0 means "none" throughout.
 */
import type { BlockChain } from '../lib/block-hash.ts';

/** The bounds of an index, in (block, endpoint) pairs. */
export interface PrefixIndexOptions {
  /** Over all endpoints. */
  readonly maxEntries: number;
  readonly maxEntriesPerEndpoint: number;
}

/** Who entered something: one per endpoint, replaced when the endpoint is forgotten, so that forgetting is instant. */
interface Owner {
  /** Endpoint slot, or -1 once forgotten: its entries are then taken apart a few at a time. */
  slot: number;
  newest: number;
  oldest: number;
  held: number;
}

/** How many entries of forgotten endpoints one insertion takes apart: some 20 µs where nothing is in the cache. */
const reclaimedPerInsert = 32;

/** The bounded map from prompt prefixes to endpoint slots. */
export class PrefixIndex {
  readonly #maxEntries: number;
  readonly #maxPerOwner: number;

  /* A node is one block hash that somebody holds. */
  readonly #nodeHigh: Int32Array;
  readonly #nodeLow: Int32Array;
  /** Next node of the bucket, or of the free list. */
  readonly #nodeNext: Int32Array;
  /** First entry of the node. */
  readonly #nodeFirst: Int32Array;
  readonly #nodeHolders: Int32Array;
  readonly #nodeBuckets: Int32Array;
  #nodesUsed = 0;
  #freeNode = 0;

  /* An entry is one owner's hold on one node. */
  readonly #entryNode: Int32Array;
  readonly #entryOwner: Int32Array;
  /** Next entry of the bucket, or of the free list. */
  readonly #entryNext: Int32Array;
  /* Neighbours among the entries of the node. */
  readonly #holderBefore: Int32Array;
  readonly #holderAfter: Int32Array;
  /* Neighbours among the entries of the owner. */
  readonly #newer: Int32Array;
  readonly #older: Int32Array;
  readonly #entryBuckets: Int32Array;
  readonly #mask: number;
  #entriesUsed = 0;
  #freeEntry = 0;
  #total = 0;
  #live = 0;
  #evictions = 0;

  /** Owner 0 is never used. */
  readonly #owners: Owner[] = [{ slot: -1, newest: 0, oldest: 0, held: 0 }];
  readonly #freeOwners: number[] = [];
  readonly #forgotten: number[] = [];
  #ownerBySlot = new Int32Array(16);
  #livingOwners = 0;
  #victim = 1;

  /** Position + 1 of each candidate by slot, during a lookup only. */
  #positionBySlot = new Int32Array(16);

  constructor(options: PrefixIndexOptions) {
    this.#maxEntries = options.maxEntries;
    this.#maxPerOwner = Math.min(options.maxEntriesPerEndpoint, options.maxEntries);
    const length = options.maxEntries + 1;
    const buckets = 2 ** Math.ceil(Math.log2(length));
    this.#mask = buckets - 1;
    this.#nodeHigh = new Int32Array(length);
    this.#nodeLow = new Int32Array(length);
    this.#nodeNext = new Int32Array(length);
    this.#nodeFirst = new Int32Array(length);
    this.#nodeHolders = new Int32Array(length);
    this.#nodeBuckets = new Int32Array(buckets);
    this.#entryNode = new Int32Array(length);
    this.#entryOwner = new Int32Array(length);
    this.#entryNext = new Int32Array(length);
    this.#holderBefore = new Int32Array(length);
    this.#holderAfter = new Int32Array(length);
    this.#newer = new Int32Array(length);
    this.#older = new Int32Array(length);
    this.#entryBuckets = new Int32Array(buckets);
  }

  /** Entries held by living endpoints. */
  get size(): number {
    return this.#live;
  }

  /** Entries given up for lack of room since the start. */
  get evictions(): number {
    return this.#evictions;
  }

  /**
   * Writes into depths[i] how many blocks of the chain candidates[i] holds, and 0 for those after the first `topK`.
   * The depth at which `topK` is reached is finished, so equal holders are treated equally. Returns the greatest depth.
   */
  match(
    chain: BlockChain,
    candidates: readonly { readonly slot: number }[],
    topK: number,
    depths: Float64Array,
  ): number {
    depths.fill(0, 0, candidates.length);
    const deepest = this.#deepestKnown(chain);
    if (deepest === 0) return 0;
    this.#place(candidates);

    const positions = this.#positionBySlot;
    const wanted = Math.min(topK, candidates.length);
    let matched = 0;
    let greatest = 0;
    let holdersBelow = 0;
    for (let depth = deepest; depth > 0 && matched < wanted; depth--) {
      const node = this.#findNode(chain.high[depth - 1]!, chain.low[depth - 1]!);
      const holders = this.#nodeHolders[node]!;
      if (holders === holdersBelow) continue;
      holdersBelow = holders;
      for (let entry = this.#nodeFirst[node]!; entry !== 0; entry = this.#holderAfter[entry]!) {
        const { slot } = this.#owners[this.#entryOwner[entry]!]!;
        const position = slot < 0 || slot >= positions.length ? 0 : positions[slot]!;
        if (position === 0 || depths[position - 1] !== 0) continue;
        depths[position - 1] = depth;
        matched++;
        if (greatest === 0) greatest = depth;
      }
    }

    for (const { slot } of candidates) positions[slot] = 0;
    return greatest;
  }

  /** Enters the chain for an endpoint, as its most recent. */
  insert(slot: number, chain: BlockChain): void {
    for (let i = 0; i < reclaimedPerInsert && this.#reclaim(); i++);
    const id = this.#ownerOf(slot);
    const owner = this.#owners[id]!;
    for (let i = Math.min(chain.count, this.#maxPerOwner) - 1; i >= 0; i--) {
      const high = chain.high[i]!;
      const low = chain.low[i]!;
      let node = this.#findNode(high, low);
      const known = node === 0 ? 0 : this.#findEntry(node, id);
      if (known !== 0) {
        this.#touch(known, owner);
        continue;
      }
      // Making room may give up the last hold on this very node.
      if (this.#makeRoom(owner)) node = this.#findNode(high, low);
      this.#addEntry(node === 0 ? this.#addNode(high, low) : node, id, owner);
    }
  }

  /** Forgets everything about an endpoint, at once; its room is given back with the next insertions. */
  forget(slot: number): void {
    const id = slot < this.#ownerBySlot.length ? this.#ownerBySlot[slot]! : 0;
    if (id === 0) return;
    this.#ownerBySlot[slot] = 0;
    const owner = this.#owners[id]!;
    owner.slot = -1;
    this.#live -= owner.held;
    this.#livingOwners--;
    this.#forgotten.push(id);
  }

  #deepestKnown(chain: BlockChain): number {
    let known = 0;
    let unknown = chain.count + 1;
    while (unknown - known > 1) {
      const depth = (known + unknown) >>> 1;
      if (this.#findNode(chain.high[depth - 1]!, chain.low[depth - 1]!) === 0) unknown = depth;
      else known = depth;
    }
    return known;
  }

  #place(candidates: readonly { readonly slot: number }[]): void {
    let position = 1;
    for (const { slot } of candidates) {
      if (slot >= this.#positionBySlot.length) this.#positionBySlot = grown(this.#positionBySlot, slot);
      this.#positionBySlot[slot] = position++;
    }
  }

  #findNode(high: number, low: number): number {
    let node = this.#nodeBuckets[low & this.#mask]!;
    while (node !== 0 && (this.#nodeLow[node] !== low || this.#nodeHigh[node] !== high))
      node = this.#nodeNext[node]!;
    return node;
  }

  #addNode(high: number, low: number): number {
    let node = this.#freeNode;
    if (node === 0) node = ++this.#nodesUsed;
    else this.#freeNode = this.#nodeNext[node]!;
    const bucket = low & this.#mask;
    this.#nodeHigh[node] = high;
    this.#nodeLow[node] = low;
    this.#nodeNext[node] = this.#nodeBuckets[bucket]!;
    this.#nodeFirst[node] = 0;
    this.#nodeHolders[node] = 0;
    this.#nodeBuckets[bucket] = node;
    return node;
  }

  #removeNode(node: number): void {
    const next = this.#nodeNext;
    const bucket = this.#nodeLow[node]! & this.#mask;
    unlink(this.#nodeBuckets, bucket, next, node);
    next[node] = this.#freeNode;
    this.#freeNode = node;
  }

  #findEntry(node: number, owner: number): number {
    let entry = this.#entryBuckets[this.#entryBucket(node, owner)]!;
    while (entry !== 0 && (this.#entryNode[entry] !== node || this.#entryOwner[entry] !== owner))
      entry = this.#entryNext[entry]!;
    return entry;
  }

  #entryBucket(node: number, owner: number): number {
    const mixed = Math.imul(node, 0x9e3779b1) ^ Math.imul(owner, 0x85ebca77);
    return (mixed ^ (mixed >>> 15)) & this.#mask;
  }

  #addEntry(node: number, id: number, owner: Owner): void {
    let entry = this.#freeEntry;
    if (entry === 0) entry = ++this.#entriesUsed;
    else this.#freeEntry = this.#entryNext[entry]!;
    const bucket = this.#entryBucket(node, id);
    this.#entryNode[entry] = node;
    this.#entryOwner[entry] = id;
    this.#entryNext[entry] = this.#entryBuckets[bucket]!;
    this.#entryBuckets[bucket] = entry;

    const first = this.#nodeFirst[node]!;
    this.#holderBefore[entry] = 0;
    this.#holderAfter[entry] = first;
    if (first !== 0) this.#holderBefore[first] = entry;
    this.#nodeFirst[node] = entry;
    this.#nodeHolders[node]!++;

    this.#pushNewest(entry, owner);
    owner.held++;
    this.#total++;
    this.#live++;
  }

  #removeOldest(owner: Owner): void {
    const entry = owner.oldest;
    const node = this.#entryNode[entry]!;
    const next = this.#entryNext;
    unlink(this.#entryBuckets, this.#entryBucket(node, this.#entryOwner[entry]!), next, entry);
    next[entry] = this.#freeEntry;
    this.#freeEntry = entry;

    const before = this.#holderBefore[entry]!;
    const after = this.#holderAfter[entry]!;
    if (before === 0) this.#nodeFirst[node] = after;
    else this.#holderAfter[before] = after;
    if (after !== 0) this.#holderBefore[after] = before;
    if (--this.#nodeHolders[node]! === 0) this.#removeNode(node);

    owner.oldest = this.#newer[entry]!;
    if (owner.oldest === 0) owner.newest = 0;
    else this.#older[owner.oldest] = 0;
    owner.held--;
    this.#total--;
    if (owner.slot >= 0) this.#live--;
  }

  #pushNewest(entry: number, owner: Owner): void {
    const newest = owner.newest;
    this.#newer[entry] = 0;
    this.#older[entry] = newest;
    if (newest === 0) owner.oldest = entry;
    else this.#newer[newest] = entry;
    owner.newest = entry;
  }

  #touch(entry: number, owner: Owner): void {
    const newer = this.#newer[entry]!;
    if (newer === 0) return;
    const older = this.#older[entry]!;
    this.#older[newer] = older;
    if (older === 0) owner.oldest = newer;
    else this.#newer[older] = newer;
    this.#pushNewest(entry, owner);
  }

  /** Makes sure that one more entry of `owner` is within both bounds; whether that cost anybody an entry. */
  #makeRoom(owner: Owner): boolean {
    if (owner.held >= this.#maxPerOwner) {
      this.#evict(owner);
      return true;
    }
    if (this.#total < this.#maxEntries) return false;
    if (this.#reclaim()) return true;
    this.#evict(this.#aboveShare(owner));
    return true;
  }

  #evict(owner: Owner): void {
    this.#removeOldest(owner);
    this.#evictions++;
  }

  /** Who gives up an entry when all room is taken: `owner` itself, or somebody who has its equal share or more. */
  #aboveShare(owner: Owner): Owner {
    const share = Math.max(1, Math.floor(this.#maxEntries / this.#livingOwners));
    if (owner.held >= share) return owner;
    // Somebody has: the whole is taken, and this owner has less. The search goes on where the last one ended.
    for (;;) {
      const candidate = this.#owners[this.#victim];
      if (candidate !== undefined && candidate.held >= share) return candidate;
      this.#victim = this.#victim + 1 < this.#owners.length ? this.#victim + 1 : 1;
    }
  }

  /** Takes apart one entry of a forgotten endpoint; false when there is none. */
  #reclaim(): boolean {
    for (;;) {
      const id = this.#forgotten.at(-1);
      if (id === undefined) return false;
      const owner = this.#owners[id]!;
      if (owner.held > 0) {
        this.#removeOldest(owner);
        return true;
      }
      this.#forgotten.pop();
      this.#freeOwners.push(id);
    }
  }

  #ownerOf(slot: number): number {
    if (slot >= this.#ownerBySlot.length) this.#ownerBySlot = grown(this.#ownerBySlot, slot);
    const known = this.#ownerBySlot[slot]!;
    if (known !== 0) return known;
    const id = this.#freeOwners.pop() ?? this.#owners.length;
    this.#owners[id] = { slot, newest: 0, oldest: 0, held: 0 };
    this.#ownerBySlot[slot] = id;
    this.#livingOwners++;
    return id;
  }
}

/** Takes `item` out of the singly linked list that starts at heads[bucket]. */
function unlink(heads: Int32Array, bucket: number, next: Int32Array, item: number): void {
  let at = heads[bucket]!;
  if (at === item) {
    heads[bucket] = next[item]!;
    return;
  }
  while (next[at] !== item) at = next[at]!;
  next[at] = next[item]!;
}

function grown(table: Int32Array, index: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(index + 1, table.length * 2));
  larger.set(table);
  return larger;
}
