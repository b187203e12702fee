import { describe, expect, it } from '@jest/globals';
import { checkClaims } from '../../src/auth/check-claims.ts';

const rules = { issuer: 'https://i', audiences: ['a', 'b'], clockToleranceMs: 60_000 };
const good = { iss: 'https://i', aud: 'a', exp: 1000 };
/** At a second, or at a fraction of one. */
const at = (seconds: number, claims: Record<string, unknown> = {}) =>
  checkClaims({ ...good, ...claims }, rules, seconds * 1000);

describe('checkClaims()', () => {
  it('accepts what is from the issuer, for us and in time', () => {
    expect(at(500)).toBeUndefined();
    expect(at(500, { nbf: 400, iat: 400 })).toBeUndefined();
  });

  it.each([undefined, 'https://i/', 'https://I', ['https://i'], ''])('refuses the issuer %j', (iss) => {
    expect(at(500, { iss })).toBe('unknown-issuer');
  });

  it.each([['a'], ['b'], [['x', 'b']], [['a', 1]]])('accepts the audience %j', (aud) => {
    expect(at(500, { aud })).toBeUndefined();
  });

  it.each([undefined, 'A', 'ab', '', [], ['x'], [['a']], 1, { a: 'a' }].map((aud) => ({ aud })))(
    'refuses the audience of %j',
    ({ aud }) => {
      expect(at(500, { aud })).toBe('wrong-audience');
    },
  );

  it('looks at no audience where none is configured', () => {
    expect(checkClaims({ ...good, aud: undefined }, { ...rules, audiences: [] }, 500_000)).toBeUndefined();
  });

  it('needs an end', () => {
    expect(at(500, { exp: undefined })).toBe('claim-missing');
  });

  it.each([
    [1059.999, undefined],
    [1060, 'expired'],
    [2000, 'expired'],
  ])('at %d s, with an end at 1000 s and a tolerance of 60 s, says %p', (seconds, fault) => {
    expect(at(seconds)).toBe(fault);
  });

  it.each(['nbf', 'iat'])('does not accept a token before its %s, give or take the tolerance', (claim) => {
    expect(at(500, { [claim]: 560 })).toBeUndefined();
    expect(at(500, { [claim]: 560.001 })).toBe('not-yet-valid');
    expect(at(500, { [claim]: 561 })).toBe('not-yet-valid');
  });

  it.each([{ exp: '1000' }, { exp: null }, { exp: Infinity }, { nbf: '1' }, { iat: {} }, { nbf: null }])(
    'calls dates malformed that are no numbers: %p',
    (claims) => {
      expect(at(500, claims)).toBe('malformed');
    },
  );
});
