/** What Redis does not know yet of what was taken. */
import { quantities, type Charge, type Quantities, type Quantity } from '../fairness/limit-rule.ts';

/** What is to be taken from one bucket; what is negative is to be given back. */
export interface Debt {
  readonly charge: Charge;
  readonly owed: Quantities;
}

export interface Debts {
  /** Adds to what is owed to these buckets. */
  add(charges: readonly Charge[], more: Quantities): void;
  /** Takes out what is owed to these buckets: whoever gets it pays it, or adds it again. */
  takeOut(charges: readonly Charge[]): readonly Debt[];
  /** Takes out what is owed longest, to so many buckets at most. */
  takeSome(limit: number): readonly Debt[];
  readonly size: number;
}

interface Entry {
  readonly charge: Charge;
  readonly owed: Record<Quantity, number>;
}

/** Creates an empty list. Where it is full what is owed longest is forgotten: most of that would have been refilled. */
export function createDebts({ maxDebts }: { readonly maxDebts: number }): Debts {
  const entries = new Map<string, Entry>();

  function addOne(charge: Charge, more: Quantities): void {
    const entry = entries.get(charge.key);
    if (entry === undefined) {
      entries.set(charge.key, { charge, owed: { ...more } });
      if (entries.size > maxDebts) entries.delete(entries.keys().next().value!);
      return;
    }
    for (const quantity of quantities) entry.owed[quantity] += more[quantity];
    if (quantities.every((quantity) => entry.owed[quantity] === 0)) entries.delete(charge.key);
  }

  return {
    add(charges, more) {
      for (const charge of charges) addOne(charge, more);
    },

    takeOut(charges) {
      if (entries.size === 0) return none;
      return charges.flatMap(({ key }) => {
        const entry = entries.get(key);
        entries.delete(key);
        return entry ?? [];
      });
    },

    takeSome(limit) {
      const some: Entry[] = [];
      for (const [key, entry] of entries) {
        if (some.length === limit) break;
        some.push(entry);
        entries.delete(key);
      }
      return some;
    },

    get size() {
      return entries.size;
    },
  };
}

const none: readonly Debt[] = [];
