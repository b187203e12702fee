/** What was used here and other replicas have not been told, or not as it is now, whether there are any or not. */
import type { Account } from './account.ts';
import type { Accounts } from './accounts.ts';
import type { WindowPosition } from './slot-clock.ts';
import type { SlotUsage } from './slot-counts.ts';

/** One principal's use of one model in one slot. */
export interface ReplicatedUsage extends SlotUsage {
  readonly principal: string;
  readonly model: string;
}

/** Keeps no more than there are accounts: call `forget` with each that goes. */
export class UntoldUsage {
  readonly #accounts = new Set<Account>();
  /** Accounts whose whole window is untold, as far as they have not come yet. */
  #all: Iterator<Account> = [].values();

  /** What the account has in this slot, and in later ones, is untold. */
  add(account: Account, slot: number): void {
    account.untoldFrom = Math.min(account.untoldFrom, slot);
    this.#accounts.add(account);
  }

  addAll(accounts: Accounts): void {
    this.#accounts.clear();
    this.#all = accounts[Symbol.iterator]();
  }

  forget(account: Account): void {
    this.#accounts.delete(account);
  }

  /** About `limit` slots of accounts, told from now on. */
  take(limit: number, at: WindowPosition): readonly ReplicatedUsage[] {
    const taken: ReplicatedUsage[] = [];
    for (const account of this.#accounts) {
      if (taken.length >= limit) return taken;
      this.#take(account, account.untoldFrom, at, taken);
    }
    for (let looked = 0; looked < limit && taken.length < limit; looked++) {
      const next = this.#all.next();
      if (next.done === true) break;
      this.#take(next.value, -Infinity, at, taken);
    }
    return taken;
  }

  #take(account: Account, fromSlot: number, at: WindowPosition, taken: ReplicatedUsage[]): void {
    this.#accounts.delete(account);
    account.untoldFrom = Infinity;
    account.slideTo(at);
    const { principal, model } = account;
    for (const usage of account.own.since(fromSlot)) taken.push({ principal, model, ...usage });
  }
}
