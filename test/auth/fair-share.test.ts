import { describe, expect, it } from '@jest/globals';
import { createFairShare, type ShareWeights } from '../../src/auth/fair-share.ts';
import { anonymous, type Principal, type User } from '../../src/auth/principal.ts';

const nobody: ShareWeights = { subjects: {}, claim: undefined, tiers: {}, groups: {}, default: 1 };

function aUser(fields: Partial<Omit<User, 'kind'>>): User {
  const user = { issuer: 'https://issuer.example', subject: 'eve', groups: [], tier: undefined, claims: {} };
  return { kind: 'user', id: 'user:eve', ...user, ...fields };
}

describe('createFairShare()', () => {
  const all: ShareWeights = {
    subjects: { alice: 3 },
    claim: 'limits.share',
    tiers: { gold: 4 },
    groups: { research: 2, ops: 5, small: 0.5 },
    default: 1.5,
  };
  const share = createFairShare(all);
  const [alice, claims, gold, research] = ['alice', { limits: { share: 7 } }, 'gold', ['research']] as const;

  it.each<[string, Principal, number]>([
    ['a subject', aUser({ subject: alice, claims, tier: gold, groups: research }), 3],
    ['a claim', aUser({ claims, tier: gold, groups: research }), 7],
    ['a tier', aUser({ tier: gold, groups: research }), 4],
    ['a group', aUser({ tier: 'silver', groups: research }), 2],
    ['the greatest of several groups', aUser({ groups: ['small', 'ops', 'unknown', 'research'] }), 5],
    ['a group below the default', aUser({ groups: ['small'] }), 0.5],
    ['the default', aUser({ groups: ['unknown'] }), 1.5],
    ['the default, for somebody anonymous', anonymous, 1.5],
  ])('goes by %s', (_, principal, expected) => {
    expect(share(principal)).toBe(expected);
  });

  it.each<[string, unknown, number]>([
    ['a fraction', 0.25, 0.25],
    ['too much', 1e9, 1000],
    ['too little', 1e-300, 0.001],
    ['nothing', 0, 4],
    ['less than nothing', -1, 4],
    ['more than a number', Infinity, 4],
    ['no number', Number.NaN, 4],
    ['a text', '7', 4],
    ['a list', [7], 4],
    ['null', null, 4],
  ])('makes of a claim that is %s the share that it can be', (_, claimed, expected) => {
    expect(share(aUser({ claims: { limits: { share: claimed } }, tier: 'gold' }))).toBe(expected);
  });

  it('finds a claim by its whole name, dots and all', () => {
    const byUrl = createFairShare({ ...nobody, claim: 'https://example.com/share' });
    expect(byUrl(aUser({ claims: { 'https://example.com/share': 2 } }))).toBe(2);
  });

  it('looks at no claim where none is named', () => {
    expect(createFairShare(nobody)(aUser({ claims: { '': 5, share: 5, undefined: 5 } }))).toBe(1);
  });

  it('takes what every object of JavaScript has for nobody', () => {
    const principal = aUser({ subject: 'constructor', tier: 'toString', groups: ['valueOf'] });
    expect(createFairShare({ ...all, claim: 'hasOwnProperty' })(principal)).toBe(1.5);
  });
});
