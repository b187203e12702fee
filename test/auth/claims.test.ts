import { describe, expect, it } from '@jest/globals';
import { claimAt, claimText, claimWords, hasClaim, type Claims } from '../../src/auth/claims.ts';

const claims: Claims = {
  sub: 'ann',
  empty: '',
  number: 42,
  huge: 2 ** 60,
  flag: true,
  nothing: null,
  realm_access: { roles: ['admin', 7, '', 'user'] },
  'https://example.com/team.name': 'blue',
  groups: 'Domain Users',
  scope: 'read write',
  nested: { scp: 'a b' },
  list: [1, 'two', true],
};

describe('claimAt()', () => {
  it.each([
    ['sub', 'ann'],
    ['realm_access.roles', ['admin', 7, '', 'user']],
    ['https://example.com/team.name', 'blue'],
    ['absent', undefined],
    ['sub.length', undefined],
    ['realm_access.absent', undefined],
    ['nothing.more', undefined],
    ['list.length', 3],
    ['toString', undefined],
    ['__proto__', undefined],
    ['realm_access.constructor', undefined],
    ['', undefined],
  ])('finds %j', (path, value) => {
    expect(claimAt(claims, path)).toEqual(value);
  });

  it('prefers a claim of the whole name to a nested one', () => {
    expect(claimAt({ 'a.b': 1, a: { b: 2 } }, 'a.b')).toBe(1);
  });
});

describe('claimText()', () => {
  it.each([
    ['sub', 'ann'],
    ['number', '42'],
    ['huge', undefined],
    ['empty', undefined],
    ['flag', undefined],
    ['nothing', undefined],
    ['list', undefined],
    ['absent', undefined],
  ])('reads %s', (path, text) => {
    expect(claimText(claims, path)).toBe(text);
  });
});

describe('claimWords()', () => {
  it.each([
    ['realm_access.roles', ['admin', 'user']],
    ['groups', ['Domain Users']],
    ['scope', ['read', 'write']],
    ['nested.scp', ['a', 'b']],
    ['empty', []],
    ['number', []],
    ['absent', []],
  ])('reads %s', (path, words) => {
    expect(claimWords(claims, path)).toEqual(words);
  });
});

describe('hasClaim()', () => {
  it.each<[string, (string | number | boolean)[], boolean]>([
    ['sub', [], true],
    ['flag', [], true],
    ['nothing', [], false],
    ['absent', [], false],
    ['sub', ['ann'], true],
    ['sub', ['bob', 'ann'], true],
    ['sub', ['an'], false],
    ['number', [42], true],
    ['number', ['42'], false],
    ['flag', [true], true],
    ['flag', ['true'], false],
    ['list', [1], true],
    ['list', ['1'], false],
    ['list', [true], true],
    ['scope', ['write'], true],
    ['scope', ['rea'], false],
    ['groups', ['Users'], false],
    ['absent', ['x'], false],
  ])('%s with %j', (claim, values, has) => {
    expect(hasClaim(claims, { claim, values })).toBe(has);
  });
});
