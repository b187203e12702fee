/** The accounts of a ledger: found by principal and model, forgotten when nothing is left in them or room is needed. */
import { Account } from './account.ts';
import { RecencyList } from './recency-list.ts';
import type { WindowPosition } from './slot-clock.ts';
import type { TokenCount } from './token-count.ts';

/** Accounts with nothing left in the window that go with each use of another. */
const sweptPerUse = 2;

/** One account for each pair of a principal and a model that is in use. `onForget` is called with each that goes. */
export class Accounts implements Iterable<Account> {
  readonly #onForget: (account: Account) => void;
  readonly #models = new Map<string, Map<string, Account>>();
  readonly #idle = new RecencyList<Account>();
  /** With reservations, apart from the others so that a long request does not keep them from being swept. */
  readonly #busy = new RecencyList<Account>();
  #size = 0;
  #evictions = 0;

  constructor(onForget: (account: Account) => void) {
    this.#onForget = onForget;
  }

  get size(): number {
    return this.#size;
  }

  /** Accounts forgotten for lack of room. */
  get evictions(): number {
    return this.#evictions;
  }

  *[Symbol.iterator](): Generator<Account> {
    for (const accounts of this.#models.values()) yield* accounts.values();
  }

  find(principal: string, model: string): Account | undefined {
    return this.#models.get(model)?.get(principal);
  }

  /** The account, made where there is none, as the one in use most recently. There are `max` of them afterwards at most. */
  use(principal: string, model: string, at: WindowPosition, max: number): Account {
    let account = this.find(principal, model);
    if (account === undefined) {
      this.sweep(at, sweptPerUse);
      this.evict(max - 1);
      account = new Account(principal, model, at.slotMs);
      this.#add(account);
    } else {
      this.#listOf(account).remove(account);
      this.sweep(at, sweptPerUse);
    }
    account.slideTo(at);
    this.#listOf(account).append(account);
    return account;
  }

  /** Changes what is reserved; the account is then the one in use most recently. */
  reserve(account: Account, expected: TokenCount, sign: 1 | -1): void {
    this.#listOf(account).remove(account);
    account.reserve(expected, sign);
    this.#listOf(account).append(account);
  }

  /** Forgets at most `max` accounts that have nothing left to count. */
  sweep(at: WindowPosition, max: number): void {
    for (let i = 0; i < max; i++) {
      const account = this.#idle.oldest;
      if (account === undefined) return;
      account.slideTo(at);
      if (!account.idle) return;
      this.#forget(account);
    }
  }

  /** Forgets whoever is idle longest, and only then who is under way, until `max` are left. */
  evict(max: number): void {
    while (this.#size > max) {
      const account = this.#idle.oldest ?? this.#busy.oldest;
      if (account === undefined) return;
      this.#forget(account);
      this.#evictions++;
    }
  }

  #listOf(account: Account): RecencyList<Account> {
    return account.reserved.requests > 0 ? this.#busy : this.#idle;
  }

  #add(account: Account): void {
    let accounts = this.#models.get(account.model);
    if (accounts === undefined) this.#models.set(account.model, (accounts = new Map<string, Account>()));
    accounts.set(account.principal, account);
    this.#size++;
  }

  #forget(account: Account): void {
    this.#listOf(account).remove(account);
    const accounts = this.#models.get(account.model);
    accounts?.delete(account.principal);
    if (accounts?.size === 0) this.#models.delete(account.model);
    this.#size--;
    this.#onForget(account);
  }
}
