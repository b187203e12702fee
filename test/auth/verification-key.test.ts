import { beforeAll, describe, expect, it } from '@jest/globals';
import type { JWK } from 'jose';
import { algorithms, asymmetricAlgorithms, type Algorithm } from '../../src/auth/algorithms.ts';
import { readKey, type KeyReading, type VerificationKey } from '../../src/auth/verification-key.ts';
import { signingKey } from './support/tokens.ts';

let rsa: JWK;
let ec: JWK;
let okp: JWK;
beforeAll(async () => {
  [rsa, ec, okp] = (await Promise.all(
    ['RS256', 'ES256', 'EdDSA'].map(async (alg) => (await signingKey('k', alg)).jwk),
  )) as [JWK, JWK, JWK];
});

const read = (jwk: unknown, allowed: readonly Algorithm[] = asymmetricAlgorithms) => readKey(jwk, allowed);

function keyOf(reading: KeyReading): VerificationKey {
  if (reading.kind === 'ignored') throw new Error(reading.why);
  return reading.key;
}

const fitting = (reading: KeyReading) => algorithms.filter((algorithm) => keyOf(reading).fits(algorithm));
const secret = (bytes: number) => ({ kty: 'oct', kid: 'k', k: Buffer.alloc(bytes, 7).toString('base64url') });

describe('readKey()', () => {
  it('knows which algorithms a key is for', () => {
    expect(fitting(read(rsa))).toEqual(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']);
    expect(fitting(read(ec))).toEqual(['ES256']);
    expect(fitting(read(okp))).toEqual(['EdDSA', 'Ed25519']);
  });

  it('heeds the algorithm that a key names, EdDSA by either name', () => {
    expect(fitting(read({ ...rsa, alg: 'PS256' }))).toEqual(['PS256']);
    expect(fitting(read({ ...okp, alg: 'Ed25519' }))).toEqual(['EdDSA', 'Ed25519']);
  });

  it('heeds the list of allowed algorithms', () => {
    expect(fitting(read(rsa, ['RS512', 'ES256']))).toEqual(['RS512']);
  });

  it('takes a secret only where HMAC is named, and only a long one', () => {
    expect(read(secret(64))).toEqual({ kind: 'ignored', why: 'it fits no algorithm that is allowed' });
    expect(fitting(read(secret(64), algorithms))).toEqual(['HS256', 'HS384', 'HS512']);
    expect(fitting(read(secret(48), algorithms))).toEqual(['HS256', 'HS384']);
    expect(fitting(read(secret(32), algorithms))).toEqual(['HS256']);
    expect(read(secret(31), algorithms).kind).toBe('ignored');
  });

  it('never takes a key of another type for HMAC', () => {
    expect(read(rsa, ['HS256']).kind).toBe('ignored');
    expect(read(ec, ['HS256']).kind).toBe('ignored');
  });

  it('takes a key that is for signatures', () => {
    expect(read({ ...rsa, use: 'sig' }).kind).toBe('key');
    expect(read({ ...rsa, key_ops: ['verify'] }).kind).toBe('key');
  });

  it.each<[string, (key: JWK) => unknown]>([
    ['its type is unknown', (key) => ({ ...key, kty: 'AKP' })],
    ['its type is unknown', (key) => ({ ...key, kty: 'constructor' })],
    ['its type is unknown', (key) => ({ ...key, kty: undefined })],
    ['its kid is not a string', (key) => ({ ...key, kid: 7 })],
    ['its use is not "sig"', (key) => ({ ...key, use: 'enc' })],
    ['its key_ops have no "verify"', (key) => ({ ...key, key_ops: ['encrypt'] })],
    ['its key_ops have no "verify"', (key) => ({ ...key, key_ops: 'verify' })],
    ['it is a private key', (key) => ({ ...key, d: 'AQAB' })],
    ['its n is missing', (key) => ({ ...key, n: undefined })],
    ['its n is missing', (key) => ({ ...key, n: 'not base64url!' })],
    ['its e is missing', (key) => ({ ...key, e: 65537 })],
    ['it is shorter than 2048 bits', (key) => ({ ...key, n: Buffer.alloc(128, 255).toString('base64url') })],
    ['it fits no algorithm that is allowed', (key) => ({ ...key, alg: 'RSA-OAEP' })],
    ['it fits no algorithm that is allowed', (key) => ({ ...key, alg: 'none' })],
    ['it is not a mapping', () => null],
    ['it is not a mapping', () => 'key'],
  ])('ignores a key: %s', (why, change) => {
    expect(read(change(rsa))).toEqual({ kind: 'ignored', why });
  });

  it('gives keys the same identity exactly where all that counts is the same', () => {
    const identity = (jwk: JWK) => keyOf(read(jwk)).identity;
    expect(identity({ ...rsa, use: 'sig', x5t: 'x', unheard: 1 } as JWK)).toBe(identity(rsa));
    expect(identity({ ...rsa, kid: 'other' })).not.toBe(identity(rsa));
    expect(identity({ ...rsa, alg: 'RS256' })).not.toBe(identity(rsa));
    expect(identity({ ...rsa, e: 'AAEAAQ' })).not.toBe(identity(rsa));
  });
});

describe('material()', () => {
  it('is made once for each algorithm', async () => {
    const key = keyOf(read(rsa));
    const [first, again, other] = await Promise.all([
      key.material('RS256'),
      key.material('RS256'),
      key.material('PS512'),
    ]);
    expect(first).toBe(again);
    expect(first).toMatchObject({ type: 'public', algorithm: { name: 'RSASSA-PKCS1-v1_5' } });
    expect(other).toMatchObject({ algorithm: { name: 'RSA-PSS', hash: { name: 'SHA-512' } } });
  });

  it.each<[string, () => JWK, Algorithm]>([
    ['is not on its curve', () => ({ ...ec, x: ec.y! }), 'ES256'],
    ['has a modulus of zeros', () => ({ ...rsa, n: `AAAA${'A'.repeat(400)}Aw` }), 'RS256'],
  ])('is undefined for a key that %s', async (_what, jwk, algorithm) => {
    expect(await keyOf(read(jwk())).material(algorithm)).toBeUndefined();
  });
});
