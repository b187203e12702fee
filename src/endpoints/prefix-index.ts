/**
 * Which endpoint was sent which prompt prefix: a table, and beside it the one that it replaces after a resize.
 *
 * Moving two million entries takes half a second, so it is done a few at a time, by the insertions that come anyway. The
 * old table takes nothing in any more and is asked too until it was read to the end, so nobody notices but the memory:
 * for that long both tables are there. It is read from the newest entries to the oldest, in turns among endpoints, so
 * that what finds no room in a smaller table is the oldest of each, and both tables stay nested (see prefix-table.ts) all
 * the while: the depth that an endpoint holds is the greater of the two.
 */
import type { BlockChain } from '../lib/block-hash.ts';
import { PrefixTable, type PrefixBounds, type TableCursor } from './prefix-table.ts';

/** How many entries one insertion moves after a resize: some 20 µs where nothing is in the cache. */
const movedPerInsert = 64;
/** How many of one endpoint's before it is another's turn. */
const movedPerTurn = 16;

interface OldTable {
  readonly table: PrefixTable;
  /** Of endpoints that have something left to move. */
  readonly cursors: TableCursor[];
  /** Whose turn it is. */
  next: number;
}

/** The bounded map from prompt prefixes to endpoint slots. */
export class PrefixIndex {
  #bounds: PrefixBounds;
  #table: PrefixTable;
  #old: OldTable | undefined;
  /** Evictions that the present table does not count. */
  #evictedBefore = 0;
  /** What the old table says of each candidate, during a lookup only. */
  #oldDepths = new Float64Array(0);

  constructor(bounds: PrefixBounds) {
    this.#bounds = bounds;
    this.#table = new PrefixTable(bounds);
  }

  /** Entries held by living endpoints. After a resize, those that are still to be moved count as well. */
  get size(): number {
    return this.#old === undefined ? this.#table.size : this.#table.size + leftToMove(this.#old);
  }

  /** Entries given up for lack of room since the start; one that was entered again while it waited to be moved may count. */
  get evictions(): number {
    return this.#evictedBefore + this.#table.evictions;
  }

  /**
   * Changes the bounds and keeps what has room in them: of each endpoint the newest. All of it stays known at first; what
   * is above a lowered bound goes with the next insertions. Another `maxEntries` makes a new table; where one is still
   * being filled, that comes first.
   */
  resize(bounds: PrefixBounds): void {
    this.#bounds = bounds;
    this.#table.limitEndpoints(bounds.maxEntriesPerEndpoint);
    if (this.#old === undefined) this.#replaceTable();
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
    const greatest = this.#table.match(chain, candidates, topK, depths);
    return this.#old === undefined
      ? greatest
      : this.#matchOld(this.#old.table, chain, candidates, topK, depths, greatest);
  }

  /** Enters the chain for an endpoint, as its most recent. */
  insert(slot: number, chain: BlockChain): void {
    this.#table.insert(slot, chain);
    if (this.#old !== undefined) this.#moveSome(this.#old);
  }

  /** Forgets everything about an endpoint, at once; its room is given back with the next insertions. */
  forget(slot: number): void {
    this.#table.forget(slot);
    this.#old?.table.forget(slot);
  }

  /** Whoever is among the first `topK` of both tables together is among the first `topK` of one of them. */
  #matchOld(
    old: PrefixTable,
    chain: BlockChain,
    candidates: readonly { readonly slot: number }[],
    topK: number,
    depths: Float64Array,
    greatestOfNew: number,
  ): number {
    const { length } = candidates;
    if (this.#oldDepths.length < length) this.#oldDepths = new Float64Array(length);
    const oldDepths = this.#oldDepths;
    const greatest = Math.max(greatestOfNew, old.match(chain, candidates, topK, oldDepths));
    const holdersAt = new Uint32Array(greatest + 1);
    for (let i = 0; i < length; i++) {
      if (oldDepths[i]! > depths[i]!) depths[i] = oldDepths[i]!;
      holdersAt[depths[i]!]!++;
    }
    let least = greatest + 1;
    for (let holders = 0; least > 1 && holders < topK;) holders += holdersAt[--least]!;
    for (let i = 0; i < length; i++) if (depths[i]! < least) depths[i] = 0;
    return greatest;
  }

  #replaceTable(): void {
    const table = this.#table;
    if (table.maxEntries === this.#bounds.maxEntries) return;
    this.#table = new PrefixTable(this.#bounds);
    this.#evictedBefore += table.evictions;
    this.#old = { table, cursors: table.cursors(), next: 0 };
    this.#endMove(this.#old);
  }

  #moveSome(old: OldTable): void {
    const { cursors } = old;
    // In a small table an equal share is less than a turn.
    const turn = Math.min(movedPerTurn, Math.ceil(this.#table.maxEntries / cursors.length));
    for (let left = movedPerInsert; left > 0 && cursors.length > 0;) {
      if (old.next >= cursors.length) old.next = 0;
      const cursor = cursors[old.next]!;
      const { read } = cursor;
      switch (this.#table.copyOlder(old.table, cursor, Math.min(left, turn))) {
        case 'more':
          old.next++;
          break;
        case 'end':
          this.#evictedBefore += unread(cursor);
          cursors.splice(old.next, 1);
          break;
        case 'full':
          this.#evictedBefore += leftToMove(old);
          cursors.length = 0;
          break;
      }
      left -= Math.max(1, cursor.read - read);
    }
    this.#endMove(old);
  }

  #endMove({ cursors }: OldTable): void {
    if (cursors.length > 0) return;
    this.#old = undefined;
    // Other bounds may have been asked for meanwhile.
    this.#replaceTable();
  }
}

function leftToMove({ cursors }: OldTable): number {
  return cursors.reduce((sum, cursor) => sum + unread(cursor), 0);
}

/** Nothing that was forgotten is moved. */
function unread({ owner, read }: TableCursor): number {
  return owner.slot < 0 ? 0 : owner.held - read;
}
