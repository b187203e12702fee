import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { anonymous, anonymousOf, userOf, type PrincipalClaims } from '../../src/auth/principal.ts';
import { Headers } from '../../src/lib/headers.ts';

const paths: PrincipalClaims = { subject: 'sub', groups: 'groups', groupPrefix: '', tier: undefined };

describe('userOf()', () => {
  it('reads subject, groups and tier from the claims that it is told', () => {
    const claims = { sub: 'x', email: 'ann@example.com', realm: { roles: ['a', 'b'] }, plan: 'gold' };
    expect(
      userOf(claims, 'https://i', {
        subject: 'email',
        groups: 'realm.roles',
        groupPrefix: 'i:',
        tier: 'plan',
      }),
    ).toEqual({
      kind: 'user',
      id: 'user:["https://i","ann@example.com"]',
      issuer: 'https://i',
      subject: 'ann@example.com',
      groups: ['i:a', 'i:b'],
      tier: 'gold',
      claims,
    });
  });

  it('has no groups and no tier where the claims have none', () => {
    expect(userOf({ sub: 'ann' }, 'i', { ...paths, tier: 'plan' })).toMatchObject({
      groups: [],
      tier: undefined,
    });
  });

  it.each([{}, { sub: '' }, { sub: null }, { sub: ['ann'] }, { sub: 1.5 }])(
    'gives nobody for %j',
    (claims) => {
      expect(userOf(claims, 'i', paths)).toBeUndefined();
    },
  );

  it('gives each pair of issuer and subject an id of its own', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.string({ minLength: 1 }),
        fc.string(),
        fc.string({ minLength: 1 }),
        (i, s, j, t) => {
          const same = userOf({ sub: s }, i, paths)?.id === userOf({ sub: t }, j, paths)?.id;
          expect(same).toBe(i === j && s === t);
        },
      ),
    );
  });
});

describe('anonymousOf()', () => {
  const headers = new Headers([
    'x-user',
    ' ann ',
    'x-two',
    'a',
    'x-two',
    'b',
    'x-long',
    'x'.repeat(257),
    'x-empty',
    '',
  ]);

  it('is one principal for all where nothing tells callers apart', () => {
    expect(anonymousOf({ by: 'shared' }, headers, '10.0.0.1')).toBe(anonymous);
  });

  it('is one for each address', () => {
    expect(anonymousOf({ by: 'address' }, headers, '10.0.0.1')).toEqual({
      kind: 'anonymous',
      id: 'anonymous:address:10.0.0.1',
      groups: [],
      tier: undefined,
    });
    expect(anonymousOf({ by: 'address' }, headers, undefined)).toBe(anonymous);
  });

  it('is one for each value of a header', () => {
    expect(anonymousOf({ by: 'header', header: 'x-user' }, headers, '10.0.0.1').id).toBe(
      'anonymous:header:ann',
    );
  });

  it.each(['x-absent', 'x-two', 'x-long', 'x-empty'])('is the common one for %s', (header) => {
    expect(anonymousOf({ by: 'header', header }, headers, undefined)).toBe(anonymous);
  });

  it('can never be a user', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string({ minLength: 1 }), (value, issuer, subject) => {
        const somebody = anonymousOf({ by: 'header', header: 'h' }, new Headers(['h', value]), undefined);
        expect(somebody.id).not.toBe(userOf({ sub: subject }, issuer, paths)?.id);
        expect(somebody.id.startsWith('user:')).toBe(false);
      }),
    );
  });
});
