/**
 * The table of a prefix index: a bounded map from block hash to the endpoints that hold the block.
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

/** The bounds of a table, in (block, endpoint) pairs. */
export interface PrefixBounds {
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
  /** An entry was given up for lack of room: nothing older may be added, or holders would no longer be nested. */
  cut: boolean;
}

/** A place in the entries of one endpoint, on its way from the newest to the oldest. */
export interface TableCursor {
  readonly owner: Readonly<Owner>;
  /** The entry to be read next, 0 at the end. */
  entry: number;
  /** How many were read. */
  read: number;
}

/* Fields of a node's record. `nodeNext` is the next node of the bucket, or of the free list. */
const nodeHigh = 0;
const nodeLow = 1;
const nodeNext = 2;
const nodeFirst = 3;
const nodeHolders = 4;

/* Fields of an entry's record. `entryNext` is as above; then the neighbours in the lists of the node and of the owner. */
const entryNode = 0;
const entryOwner = 1;
const entryNext = 2;
const holderBefore = 3;
const holderAfter = 4;
const newer = 5;
const older = 6;

/** A record fills half a cache line, so that whatever is done to a node or an entry costs one miss. */
const recordLength = 8;

/**
 * How many entries of forgotten endpoints, and of those above a lowered bound, one insertion takes apart: some 20 µs
 * where nothing is in the cache.
 */
const reclaimedPerInsert = 32;

/** The map from prompt prefixes to endpoint slots. Its total bound is for life; that of an endpoint may change. */
export class PrefixTable {
  readonly maxEntries: number;
  #maxPerOwner: number;

  /** Records of nodeFields: a node is one block hash that somebody holds. */
  readonly #nodes: Int32Array;
  readonly #nodeBuckets: Int32Array;
  #nodesUsed = 0;
  #freeNode = 0;

  /** Records of entryFields: an entry is one owner's hold on one node. */
  readonly #entries: Int32Array;
  readonly #entryBuckets: Int32Array;
  readonly #mask: number;
  #entriesUsed = 0;
  #freeEntry = 0;
  #total = 0;
  #live = 0;
  #evictions = 0;
  /** First nodes of buckets, read ahead. */
  #heads = new Int32Array(128);

  /** Owner 0 is never used. */
  readonly #owners: Owner[] = [{ slot: -1, newest: 0, oldest: 0, held: 0, cut: true }];
  readonly #freeOwners: number[] = [];
  readonly #forgotten: number[] = [];
  /** Owners that held more than a lowered bound allows. */
  #oversized: Owner[] = [];
  #ownerBySlot = new Int32Array(16);
  #livingOwners = 0;
  #victim = 1;

  /** Position + 1 of each candidate by slot, during a lookup only. */
  #positionBySlot = new Int32Array(16);

  constructor({ maxEntries, maxEntriesPerEndpoint }: PrefixBounds) {
    this.maxEntries = maxEntries;
    this.#maxPerOwner = Math.min(maxEntriesPerEndpoint, maxEntries);
    const length = maxEntries + 1;
    const buckets = 2 ** Math.ceil(Math.log2(length));
    this.#mask = buckets - 1;
    this.#nodes = new Int32Array(length * recordLength);
    this.#nodeBuckets = new Int32Array(buckets);
    this.#entries = new Int32Array(length * recordLength);
    this.#entryBuckets = new Int32Array(buckets);
  }

  /** Entries held by living endpoints. */
  get size(): number {
    return this.#live;
  }

  /** Entries given up for lack of room. */
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
    this.#readHeads(chain);
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
      const holders = this.#nodes[node * recordLength + nodeHolders]!;
      if (holders === holdersBelow) continue;
      holdersBelow = holders;
      for (
        let entry = this.#nodes[node * recordLength + nodeFirst]!;
        entry !== 0;
        entry = this.#entries[entry * recordLength + holderAfter]!
      ) {
        const { slot } = this.#owners[this.#entries[entry * recordLength + entryOwner]!]!;
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
    for (let i = 0; i < reclaimedPerInsert && (this.#reclaim() || this.#trim()); i++);
    const id = this.#ownerOf(slot);
    const owner = this.#owners[id]!;
    if (owner.held + chain.count > this.#maxPerOwner) this.#readHeadsOfOldest(owner, chain.count);
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
      this.#pushNewest(this.#addEntry(node === 0 ? this.#addNode(high, low) : node, id, owner), owner);
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

  /** Changes what one endpoint may hold. Who holds more gives up the oldest with the next insertions, whosever they are. */
  limitEndpoints(maxEntriesPerEndpoint: number): void {
    this.#maxPerOwner = Math.min(maxEntriesPerEndpoint, this.maxEntries);
    this.#oversized = this.#owners.filter(({ slot, held }) => slot >= 0 && held > this.#maxPerOwner);
  }

  /** One cursor for each endpoint that holds something, at its newest entry. They are good until the next insertion. */
  cursors(): TableCursor[] {
    return this.#owners
      .filter(({ slot, held }) => slot >= 0 && held > 0)
      .map((owner) => ({ owner, entry: owner.newest, read: 0 }));
  }

  /**
   * Reads at most `count` entries of `source` and adds each as the oldest of its endpoint here; what is here already
   * stays in its place. The answer is `full` where no endpoint may add anything any more, `end` where this one has
   * nothing left to read or may not add it, otherwise `more`.
   */
  copyOlder(source: PrefixTable, cursor: TableCursor, count: number): 'more' | 'end' | 'full' {
    const { slot } = cursor.owner;
    if (slot < 0) return 'end';
    const id = this.#ownerOf(slot);
    const owner = this.#owners[id]!;
    for (let i = 0; i < count && cursor.entry !== 0; i++) {
      if (this.#total >= this.maxEntries && !this.#reclaim()) return 'full';
      if (owner.cut || owner.held >= this.#maxPerOwner) return 'end';
      const at = source.#entries[cursor.entry * recordLength + entryNode]! * recordLength;
      const high = source.#nodes[at + nodeHigh]!;
      const low = source.#nodes[at + nodeLow]!;
      const node = this.#findNode(high, low);
      if (node === 0 || this.#findEntry(node, id) === 0)
        this.#pushOldest(this.#addEntry(node === 0 ? this.#addNode(high, low) : node, id, owner), owner);
      cursor.entry = source.#entries[cursor.entry * recordLength + older]!;
      cursor.read++;
    }
    return cursor.entry === 0 ? 'end' : 'more';
  }

  /**
   * Reads the bucket of every block into #heads. Each is a miss of the cache and of the TLB, some 150 ns when waited for
   * one after the other; asked for together they overlap, and the lookups and insertions that follow find them there.
   */
  #readHeads({ low, count }: BlockChain): void {
    if (count > this.#heads.length) this.#heads = grown(this.#heads, count);
    const buckets = this.#nodeBuckets;
    for (let i = 0; i < count; i++) this.#heads[i] = buckets[low[i]! & this.#mask]!;
  }

  /** The same for the buckets of the `count` oldest entries, which will have to make room. */
  #readHeadsOfOldest(owner: Owner, count: number): void {
    if (count > this.#heads.length) this.#heads = grown(this.#heads, count);
    const nodes = this.#nodes;
    const entries = this.#entries;
    let entry = owner.oldest;
    for (let i = 0; i < count && entry !== 0; i++) {
      const node = entries[entry * recordLength + entryNode]!;
      this.#heads[i] = this.#nodeBuckets[nodes[node * recordLength + nodeLow]! & this.#mask]!;
      entry = entries[entry * recordLength + newer]!;
    }
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
    while (
      node !== 0 &&
      (this.#nodes[node * recordLength + nodeLow] !== low ||
        this.#nodes[node * recordLength + nodeHigh] !== high)
    )
      node = this.#nodes[node * recordLength + nodeNext]!;
    return node;
  }

  #addNode(high: number, low: number): number {
    let node = this.#freeNode;
    if (node === 0) node = ++this.#nodesUsed;
    else this.#freeNode = this.#nodes[node * recordLength + nodeNext]!;
    const bucket = low & this.#mask;
    this.#nodes[node * recordLength + nodeHigh] = high;
    this.#nodes[node * recordLength + nodeLow] = low;
    this.#nodes[node * recordLength + nodeNext] = this.#nodeBuckets[bucket]!;
    this.#nodes[node * recordLength + nodeFirst] = 0;
    this.#nodes[node * recordLength + nodeHolders] = 0;
    this.#nodeBuckets[bucket] = node;
    return node;
  }

  #removeNode(node: number): void {
    const bucket = this.#nodes[node * recordLength + nodeLow]! & this.#mask;
    unlink(this.#nodeBuckets, bucket, this.#nodes, nodeNext, node);
    this.#nodes[node * recordLength + nodeNext] = this.#freeNode;
    this.#freeNode = node;
  }

  #findEntry(node: number, owner: number): number {
    let entry = this.#entryBuckets[this.#entryBucket(node, owner)]!;
    while (
      entry !== 0 &&
      (this.#entries[entry * recordLength + entryNode] !== node ||
        this.#entries[entry * recordLength + entryOwner] !== owner)
    )
      entry = this.#entries[entry * recordLength + entryNext]!;
    return entry;
  }

  /** Nodes of one prompt are numbered in a row, so their entries are in buckets in a row: no mixing, on purpose. */
  #entryBucket(node: number, owner: number): number {
    return (node + Math.imul(owner, 0x9e3779b1)) & this.#mask;
  }

  /** The new entry is in no list by age yet. */
  #addEntry(node: number, id: number, owner: Owner): number {
    let entry = this.#freeEntry;
    if (entry === 0) entry = ++this.#entriesUsed;
    else this.#freeEntry = this.#entries[entry * recordLength + entryNext]!;
    const bucket = this.#entryBucket(node, id);
    this.#entries[entry * recordLength + entryNode] = node;
    this.#entries[entry * recordLength + entryOwner] = id;
    this.#entries[entry * recordLength + entryNext] = this.#entryBuckets[bucket]!;
    this.#entryBuckets[bucket] = entry;

    const first = this.#nodes[node * recordLength + nodeFirst]!;
    this.#entries[entry * recordLength + holderBefore] = 0;
    this.#entries[entry * recordLength + holderAfter] = first;
    if (first !== 0) this.#entries[first * recordLength + holderBefore] = entry;
    this.#nodes[node * recordLength + nodeFirst] = entry;
    this.#nodes[node * recordLength + nodeHolders]!++;

    owner.held++;
    this.#total++;
    this.#live++;
    return entry;
  }

  #removeOldest(owner: Owner): void {
    const entry = owner.oldest;
    const node = this.#entries[entry * recordLength + entryNode]!;
    const bucket = this.#entryBucket(node, this.#entries[entry * recordLength + entryOwner]!);
    unlink(this.#entryBuckets, bucket, this.#entries, entryNext, entry);
    this.#entries[entry * recordLength + entryNext] = this.#freeEntry;
    this.#freeEntry = entry;

    const before = this.#entries[entry * recordLength + holderBefore]!;
    const after = this.#entries[entry * recordLength + holderAfter]!;
    if (before === 0) this.#nodes[node * recordLength + nodeFirst] = after;
    else this.#entries[before * recordLength + holderAfter] = after;
    if (after !== 0) this.#entries[after * recordLength + holderBefore] = before;
    if (--this.#nodes[node * recordLength + nodeHolders]! === 0) this.#removeNode(node);

    owner.oldest = this.#entries[entry * recordLength + newer]!;
    if (owner.oldest === 0) owner.newest = 0;
    else this.#entries[owner.oldest * recordLength + older] = 0;
    owner.held--;
    this.#total--;
    if (owner.slot >= 0) this.#live--;
  }

  #pushNewest(entry: number, owner: Owner): void {
    const newest = owner.newest;
    this.#entries[entry * recordLength + newer] = 0;
    this.#entries[entry * recordLength + older] = newest;
    if (newest === 0) owner.oldest = entry;
    else this.#entries[newest * recordLength + newer] = entry;
    owner.newest = entry;
  }

  #pushOldest(entry: number, owner: Owner): void {
    const oldest = owner.oldest;
    this.#entries[entry * recordLength + newer] = oldest;
    this.#entries[entry * recordLength + older] = 0;
    if (oldest === 0) owner.newest = entry;
    else this.#entries[oldest * recordLength + older] = entry;
    owner.oldest = entry;
  }

  #touch(entry: number, owner: Owner): void {
    const after = this.#entries[entry * recordLength + newer]!;
    if (after === 0) return;
    const before = this.#entries[entry * recordLength + older]!;
    this.#entries[after * recordLength + older] = before;
    if (before === 0) owner.oldest = after;
    else this.#entries[before * recordLength + newer] = after;
    this.#pushNewest(entry, owner);
  }

  /** Makes sure that one more entry of `owner` is within both bounds; whether that cost anybody an entry. */
  #makeRoom(owner: Owner): boolean {
    if (owner.held >= this.#maxPerOwner) {
      this.#evict(owner);
      return true;
    }
    if (this.#total < this.maxEntries) return false;
    if (this.#reclaim()) return true;
    this.#evict(this.#aboveShare(owner));
    return true;
  }

  #evict(owner: Owner): void {
    this.#removeOldest(owner);
    owner.cut = true;
    this.#evictions++;
  }

  /** Who gives up an entry when all room is taken: `owner` itself, or somebody who has its equal share or more. */
  #aboveShare(owner: Owner): Owner {
    const share = Math.max(1, Math.floor(this.maxEntries / this.#livingOwners));
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

  /** Gives up one entry of an endpoint above its bound; false when there is none. */
  #trim(): boolean {
    for (;;) {
      const owner = this.#oversized.at(-1);
      if (owner === undefined) return false;
      if (owner.slot >= 0 && owner.held > this.#maxPerOwner) {
        this.#evict(owner);
        return true;
      }
      this.#oversized.pop();
    }
  }

  #ownerOf(slot: number): number {
    if (slot >= this.#ownerBySlot.length) this.#ownerBySlot = grown(this.#ownerBySlot, slot);
    const known = this.#ownerBySlot[slot]!;
    if (known !== 0) return known;
    const id = this.#freeOwners.pop() ?? this.#owners.length;
    this.#owners[id] = { slot, newest: 0, oldest: 0, held: 0, cut: false };
    this.#ownerBySlot[slot] = id;
    this.#livingOwners++;
    return id;
  }
}

/** Takes `item` out of the singly linked list that starts at heads[bucket] and goes on in a field of the records. */
function unlink(heads: Int32Array, bucket: number, records: Int32Array, next: number, item: number): void {
  const after = records[item * recordLength + next]!;
  let at = heads[bucket]!;
  if (at === item) {
    heads[bucket] = after;
    return;
  }
  while (records[at * recordLength + next] !== item) at = records[at * recordLength + next]!;
  records[at * recordLength + next] = after;
}

function grown(table: Int32Array, index: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(index + 1, table.length * 2));
  larger.set(table);
  return larger;
}
