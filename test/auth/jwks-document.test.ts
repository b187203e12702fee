import { beforeAll, describe, expect, it } from '@jest/globals';
import { asymmetricAlgorithms } from '../../src/auth/algorithms.ts';
import { readJwks, type KeySet } from '../../src/auth/jwks-document.ts';
import { signingKey, type SigningKey } from './support/tokens.ts';

let a: SigningKey;
let b: SigningKey;
let ed: SigningKey;
let unnamed: SigningKey;
beforeAll(async () => {
  [a, b, ed, unnamed] = await Promise.all([
    signingKey('a'),
    signingKey('b'),
    signingKey('ed', 'EdDSA'),
    signingKey(),
  ]);
});

const read = (keys: readonly unknown[], before?: KeySet) => readJwks({ keys }, asymmetricAlgorithms, before);
const kids = (set: KeySet, ...asked: Parameters<KeySet['candidates']>) =>
  set.candidates(...asked).map(({ kid }) => kid);

describe('readJwks()', () => {
  it('finds keys by their kid, those that fit the algorithm', () => {
    const set = read([a.jwk, b.jwk, ed.jwk]);
    expect(set.size).toBe(3);
    expect(kids(set, 'ES256', 'a')).toEqual(['a']);
    expect(kids(set, 'EdDSA', 'a')).toEqual([]);
    expect(kids(set, 'EdDSA', 'ed')).toEqual(['ed']);
    expect(kids(set, 'ES256', 'c')).toEqual([]);
  });

  it('finds all that fit for a token without a kid', () => {
    const set = read([a.jwk, unnamed.jwk, ed.jwk]);
    expect(kids(set, 'ES256', undefined)).toEqual(['a', undefined]);
    expect(kids(set, 'EdDSA', undefined)).toEqual(['ed']);
  });

  it('keeps keys of one kid apart, and knows a repeated one for the same', () => {
    expect(kids(read([a.jwk, { ...b.jwk, kid: 'a' }]), 'ES256', 'a')).toEqual(['a', 'a']);
    expect(read([a.jwk, a.jwk]).size).toBe(1);
  });

  it('leaves out what is of no use, and says why', () => {
    const set = read([{ kty: 'new' }, a.jwk, { ...b.jwk, use: 'enc' }, 7]);
    expect(set.size).toBe(1);
    expect(set.ignored).toEqual([
      'keys[0]: its type is unknown',
      'keys[2]: its use is not "sig"',
      'keys[3]: it is not a mapping',
    ]);
  });

  it('is the set before where nothing changed, whatever the order', () => {
    const before = read([a.jwk, b.jwk]);
    expect(read([b.jwk, { ...a.jwk, use: 'sig' }], before)).toBe(before);
    expect(read([a.jwk], before)).not.toBe(before);
    expect(read([a.jwk, b.jwk, ed.jwk], before)).not.toBe(before);
    expect(read([a.jwk, ed.jwk], before)).not.toBe(before);
  });

  it('shares the keys that stay with the set before, and no longer has the others', () => {
    const before = read([a.jwk, b.jwk]);
    const after = read([b.jwk, ed.jwk], before);
    const [oldA, oldB] = [before.candidates('ES256', 'a')[0]!, before.candidates('ES256', 'b')[0]!];
    expect(after.candidates('ES256', 'b')[0]).toBe(oldB);
    expect(after.has(oldB)).toBe(true);
    expect(after.has(oldA)).toBe(false);
    expect(before.has(oldA)).toBe(true);
  });

  it('does not have a new key under an old name', () => {
    const before = read([a.jwk]);
    const after = read([{ ...b.jwk, kid: 'a' }], before);
    expect(after.has(before.candidates('ES256', 'a')[0]!)).toBe(false);
  });

  it.each([undefined, null, 'text', [], {}, { keys: {} }, { keys: null }])('refuses %j', (document) => {
    expect(() => readJwks(document, asymmetricAlgorithms)).toThrow('it is no JWKS: it has no list of "keys"');
  });

  it('refuses a list without a key of use: it would lock out everybody', () => {
    expect(() => read([])).toThrow('it has no key of use');
    expect(() => read([{ ...a.jwk, use: 'enc' }])).toThrow(
      'it has no key of use; keys[0]: its use is not "sig"',
    );
  });

  it('bounds how many keys are used, and how many reasons are given', () => {
    const many = Array.from({ length: 150 }, (_, i) => ({ ...a.jwk, kid: `${i}` }));
    const set = read(many);
    expect(set.size).toBe(100);
    expect(set.ignored).toHaveLength(10);
    expect(set.ignored[0]).toBe('keys[100]: there are more than 100');
  });
});
