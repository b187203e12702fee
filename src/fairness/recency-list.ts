/** Things in the order in which something last happened to them. */

/** What a list needs of its members; one that is in no list has neither neighbour. */
export interface Neighbours<T> {
  older: T | undefined;
  newer: T | undefined;
}

/** A doubly linked list from oldest to newest. A member is in one list at a time. */
export class RecencyList<T extends Neighbours<T>> {
  #oldest: T | undefined;
  #newest: T | undefined;

  get oldest(): T | undefined {
    return this.#oldest;
  }

  /** Adds something that is in no list. */
  append(member: T): void {
    member.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = member;
    else this.#newest.newer = member;
    this.#newest = member;
  }

  /** Takes out something that is in this list. */
  remove(member: T): void {
    const { older, newer } = member;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    member.older = undefined;
    member.newer = undefined;
  }
}
