import { describe, expect, it } from '@jest/globals';
import type { Caller } from '../../src/fairness/caller.ts';
import { createLimit, createLimitMatcher, type LimitRule } from '../../src/fairness/limit-rule.ts';

const ann: Caller = {
  id: 'idp|ann',
  subject: 'ann',
  groups: ['research', 'staff', 'staff'],
  tier: undefined,
};
const bob: Caller = { id: 'idp|bob', subject: 'bob', groups: [], tier: undefined };
const anonymous: Caller = { id: 'anonymous', groups: [], tier: undefined };

/** Keys of what a request of the caller counts against. */
function keys(rules: readonly Partial<LimitRule>[], caller: Caller, model = 'llama'): string[] | undefined {
  const limits = rules.map((rule) =>
    createLimit({ name: 'rule', scope: 'principal', perMs: 1000, requests: 1, ...rule }),
  );
  return createLimitMatcher(limits)(caller, model)?.map(({ key }) => key);
}

describe('createLimitMatcher()', () => {
  it.each<[string, Partial<LimitRule>, Caller, string[] | undefined]>([
    ['a caller', {}, ann, ['rule:principal:idp|ann']],
    ['whoever is anonymous', {}, anonymous, ['rule:principal:anonymous']],
    ['a caller by subject', { subjects: ['ann'] }, ann, ['rule:principal:idp|ann']],
    ['no other subject', { subjects: ['ann'] }, bob, undefined],
    ['nobody anonymous by subject', { subjects: ['anonymous'] }, anonymous, undefined],
    ['a caller in a group', { groups: ['guests', 'staff'] }, ann, ['rule:principal:idp|ann']],
    ['nobody in other groups', { groups: ['guests'] }, ann, undefined],
    ['a model that is named', { models: ['qwen', 'llama'] }, ann, ['rule:principal:idp|ann']],
    ['no other model', { models: ['qwen'] }, ann, undefined],
    ['only exact names', { models: ['llam'], subjects: ['an'] }, ann, undefined],
    ['nobody who meets only one condition', { subjects: ['bob'], groups: ['staff'] }, bob, undefined],
    ['each group once', { scope: 'group' }, ann, ['rule:group:research', 'rule:group:staff']],
    ['the groups that are named', { scope: 'group', groups: ['staff', 'x'] }, ann, ['rule:group:staff']],
    ['nobody without a group', { scope: 'group' }, bob, undefined],
    ['the model', { scope: 'model' }, bob, ['rule:model:llama']],
    ['the model, for some callers', { scope: 'model', groups: ['staff'] }, bob, undefined],
  ])('counts %s', (_name, rule, caller, expected) => {
    expect(keys([rule], caller)).toEqual(expected);
  });

  it('counts against all rules, in their order', () => {
    expect(keys([{ name: 'b' }, { name: 'a', scope: 'model' }], bob)).toEqual([
      'b:principal:idp|bob',
      'a:model:llama',
    ]);
  });

  it('finds nothing where there are no rules', () => {
    expect(keys([], ann)).toBeUndefined();
  });

  it('keeps buckets apart whatever names hold', () => {
    const tricky = { ...bob, id: 'c' };
    const other = { ...bob, id: 'principal:c' };
    expect(keys([{ name: 'a:principal' }], tricky)).not.toEqual(keys([{ name: 'a' }], other));
  });
});
