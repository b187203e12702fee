import { describe, expect, it } from '@jest/globals';
import { createLimit, type Charge } from '../../src/fairness/limit-rule.ts';
import { createDebts } from '../../src/redis/debts.ts';

const limit = createLimit({ name: 'rule', scope: 'principal', requests: 10, perMs: 1000 });

function charge(owner: string): Charge {
  return { limit, owner, key: owner };
}

function requests(count: number) {
  return { inputTokens: 0, outputTokens: 0, totalTokens: 0, requests: count };
}

describe('createDebts()', () => {
  it('adds up what is owed to each bucket, and hands it out once', () => {
    const debts = createDebts({ maxDebts: 10 });
    debts.add([charge('a'), charge('b')], requests(2));
    debts.add([charge('a')], requests(3));
    expect(debts.takeOut([charge('a'), charge('c')])).toEqual([{ charge: charge('a'), owed: requests(5) }]);
    expect(debts.takeOut([charge('a')])).toEqual([]);
    expect(debts.size).toBe(1);
  });

  it('forgets what was paid back', () => {
    const debts = createDebts({ maxDebts: 10 });
    debts.add([charge('a')], requests(2));
    debts.add([charge('a')], requests(-2));
    expect(debts.size).toBe(0);
  });

  it('hands out what is owed longest first, so many at a time', () => {
    const debts = createDebts({ maxDebts: 10 });
    debts.add(['a', 'b', 'c'].map(charge), requests(1));
    expect(debts.takeSome(2).map(({ charge }) => charge.owner)).toEqual(['a', 'b']);
    expect(debts.takeSome(2).map(({ charge }) => charge.owner)).toEqual(['c']);
    expect(debts.takeSome(2)).toEqual([]);
  });

  it('forgets what is owed longest where there are too many', () => {
    const debts = createDebts({ maxDebts: 2 });
    debts.add(['a', 'b', 'c'].map(charge), requests(1));
    expect(debts.takeSome(10).map(({ charge }) => charge.owner)).toEqual(['b', 'c']);
  });
});
