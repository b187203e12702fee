import { beforeAll, describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { exportJWK, exportSPKI, generateKeyPair } from 'jose';
import { algorithms, asymmetricAlgorithms, type Algorithm } from '../../src/auth/algorithms.ts';
import { readJwks } from '../../src/auth/jwks-document.ts';
import { readUnverified, verifySignature } from '../../src/auth/verify-token.ts';
import {
  assemble,
  goodClaims,
  issuer,
  sign,
  signingKey,
  startSeconds,
  type SigningKey,
} from './support/tokens.ts';

let es: SigningKey;
let other: SigningKey;
let rs: SigningKey;
let unnamed: SigningKey;
beforeAll(async () => {
  [es, other, rs, unnamed] = await Promise.all([
    signingKey('es'),
    signingKey('other'),
    signingKey('rs', 'RS256'),
    signingKey(),
  ]);
});

/** What a token comes to with these keys. */
async function verify(
  text: string,
  jwks: readonly unknown[],
  allowed: readonly Algorithm[] = asymmetricAlgorithms,
) {
  const token = readUnverified(text);
  if (token === undefined) return { kind: 'unreadable' };
  const keys = readJwks({ keys: jwks }, allowed);
  return verifySignature(token, keys, { algorithms: allowed, clockToleranceMs: 60_000 }, startSeconds * 1000);
}

const failed = (reason: string) => ({ kind: 'failed', reason });

describe('readUnverified()', () => {
  it('reads what a token says of itself', async () => {
    const text = await sign(es);
    expect(readUnverified(text)).toEqual({ text, algorithm: 'ES256', kid: 'es', issuer });
    expect(readUnverified(await sign(unnamed))).toMatchObject({ kid: undefined });
    expect(readUnverified(assemble({ alg: 'none' }, goodClaims, ''))).toMatchObject({ algorithm: undefined });
  });

  it.each([
    '',
    'EMPTY',
    'sk-1234',
    'a.b',
    'a.b.c',
    'a.b.c.d.e',
    '..',
    `${assemble({ alg: 'ES256' })}.x`,
    `${assemble({ alg: 'ES256' })}=`,
    ` ${assemble({ alg: 'ES256' })}`,
    assemble({ alg: 'ES256' }).replace('.', '.é'),
    assemble({}),
    assemble({ alg: 7 }),
    assemble({ alg: 'ES256', kid: 7 }),
    assemble({ alg: 'ES256', kid: null }),
    assemble([]),
    assemble(null),
    assemble('text'),
    assemble({ alg: 'ES256' }, []),
    assemble({ alg: 'ES256' }, null),
    assemble({ alg: 'ES256' }, {}),
    assemble({ alg: 'ES256' }, { iss: ['https://issuer.example'] }),
  ])('does not take %j for a token', (text) => {
    expect(readUnverified(text)).toBeUndefined();
  });
});

describe('verifySignature()', () => {
  it.each(asymmetricAlgorithms)('verifies %s', async (alg) => {
    const key = await signingKey('k', alg);
    expect(await verify(await sign(key), [other.jwk, key.jwk])).toMatchObject({
      kind: 'verified',
      claims: goodClaims,
      key: { kid: 'k' },
    });
  });

  it.each<[Algorithm, Algorithm]>([
    ['EdDSA', 'Ed25519'],
    ['Ed25519', 'EdDSA'],
  ])('knows that a token of %s and a key for %s belong together', async (alg, keyAlg) => {
    const key = await signingKey('k', alg);
    expect(await verify(await sign(key), [{ ...key.jwk, alg: keyAlg }])).toMatchObject({ kind: 'verified' });
  });

  it.each(['HS256', 'HS384', 'HS512'] as const)('verifies %s where it is named', async (alg) => {
    const secret = new Uint8Array(64).fill(7);
    const jwk = { kty: 'oct', kid: 'k', k: Buffer.from(secret).toString('base64url') };
    const token = await sign({ kid: 'k', alg, privateKey: secret });
    expect(await verify(token, [jwk], [alg])).toMatchObject({ kind: 'verified' });
    expect(await verify(token, [jwk, es.jwk])).toEqual(failed('algorithm-refused'));
  });

  it('refuses HMAC with a public key as its secret, in whatever form, even where HMAC is named', async () => {
    const { publicKey } = await generateKeyPair('RS256', { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), kid: 'k' };
    const forms = [await exportSPKI(publicKey), JSON.stringify(jwk), jwk.n!];
    for (const form of forms) {
      const token = await sign({ kid: 'k', alg: 'HS256', privateKey: new TextEncoder().encode(form) });
      expect(await verify(token, [jwk])).toEqual(failed('algorithm-refused'));
      expect(await verify(token, [jwk], algorithms)).toEqual(failed('unknown-key'));
      expect(await verify(token, [jwk, { ...jwk, alg: 'RS256' }], algorithms)).toEqual(failed('unknown-key'));
    }
  });

  it.each(['none', 'None', 'NONE', 'nOnE', ''])('refuses the algorithm %j', async (alg) => {
    expect(await verify(assemble({ alg, kid: 'es' }, goodClaims, ''), [es.jwk], algorithms)).toEqual(
      failed('algorithm-refused'),
    );
  });

  it('refuses an algorithm that is not on the list', async () => {
    expect(await verify(await sign(rs), [rs.jwk], ['PS256'])).toEqual(failed('algorithm-refused'));
    expect(await verify(await sign(rs), [rs.jwk], ['RS256'])).toMatchObject({ kind: 'verified' });
  });

  it('refuses an algorithm that the key is not for', async () => {
    expect(await verify(await sign(rs), [{ ...rs.jwk, alg: 'PS256' }])).toEqual(failed('unknown-key'));
    expect(await verify(await sign(rs), [{ ...es.jwk, kid: 'rs' }])).toEqual(failed('unknown-key'));
  });

  it('refuses another key under the right name', async () => {
    expect(await verify(await sign({ ...other, kid: 'es' }), [es.jwk])).toEqual(failed('bad-signature'));
  });

  it('refuses a kid that is not there, though the key is', async () => {
    expect(await verify(await sign({ ...es, kid: 'new' }), [es.jwk])).toEqual(failed('unknown-key'));
    expect(await verify(await sign({ ...unnamed, kid: 'new' }), [unnamed.jwk])).toEqual(
      failed('unknown-key'),
    );
  });

  it('takes a token without a kid where exactly one key fits its algorithm', async () => {
    const token = await sign({ ...es, kid: undefined });
    expect(await verify(token, [es.jwk, rs.jwk])).toMatchObject({ kind: 'verified', key: { kid: 'es' } });
    expect(await verify(token, [es.jwk, other.jwk])).toEqual(failed('unknown-key'));
    expect(await verify(token, [rs.jwk])).toEqual(failed('unknown-key'));
    expect(await verify(token, [other.jwk])).toEqual(failed('bad-signature'));
  });

  it('tries each of several keys with one kid', async () => {
    const twin = { ...other.jwk, kid: 'es' };
    for (const jwks of [
      [es.jwk, twin],
      [twin, es.jwk],
    ])
      expect(await verify(await sign(es), jwks)).toMatchObject({ kind: 'verified' });
    expect(await verify(await sign({ ...unnamed, kid: 'es' }), [es.jwk, twin])).toEqual(
      failed('bad-signature'),
    );
  });

  it('passes over a broken key', async () => {
    const broken = { ...es.jwk, x: es.jwk.y };
    expect(await verify(await sign(es), [broken, es.jwk])).toMatchObject({ kind: 'verified' });
    expect(await verify(await sign(es), [broken])).toEqual(failed('unknown-key'));
  });

  it('refuses other claims, and another header, under a good signature', async () => {
    const [header, , signature] = (await sign(es)).split('.');
    const claims = Buffer.from(JSON.stringify({ ...goodClaims, sub: 'root' })).toString('base64url');
    expect(await verify(`${header!}.${claims}.${signature!}`, [es.jwk])).toEqual(failed('bad-signature'));
    const [, payload] = (await sign(es)).split('.');
    const longer = Buffer.from('{"alg":"ES256","kid":"es","x":1}').toString('base64url');
    expect(await verify(`${longer}.${payload!}.${signature!}`, [es.jwk])).toEqual(failed('bad-signature'));
    expect(await verify(`${header!}.${payload!}.`, [es.jwk])).toEqual(failed('bad-signature'));
  });

  it.each([
    { crit: ['x'], x: 1 },
    { crit: ['b64'], b64: false },
    { crit: ['exp'], exp: 1 },
    { crit: [] },
    { crit: 'x', x: 1 },
  ])('refuses the critical extensions of %j under a good signature', async (extension) => {
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const input = `${part({ alg: 'ES256', kid: 'es', ...extension })}.${part(goodClaims)}`;
    const signature = await crypto.subtle.sign(
      { name: 'ECDSA', hash: 'SHA-256' },
      es.privateKey,
      new TextEncoder().encode(input),
    );
    const text = `${input}.${Buffer.from(signature).toString('base64url')}`;
    expect(await verify(text, [es.jwk])).toEqual(failed('malformed'));
  });

  it('does not take a key from the token', async () => {
    const token = await sign(other, goodClaims, {
      jwk: other.jwk,
      jku: 'https://evil.example',
      kid: undefined,
    });
    expect(await verify(token, [es.jwk])).toEqual(failed('bad-signature'));
  });

  it('looks at the end and the beginning, but only under a good signature', async () => {
    const expired = { ...goodClaims, exp: startSeconds - 60 };
    expect(await verify(await sign(es, expired), [es.jwk])).toEqual(failed('expired'));
    expect(await verify(await sign({ ...other, kid: 'es' }, expired), [es.jwk])).toEqual(
      failed('bad-signature'),
    );
    expect(await verify(await sign(es, { ...expired, exp: startSeconds - 59 }), [es.jwk])).toMatchObject({
      kind: 'verified',
    });
    const early = { ...goodClaims, nbf: startSeconds + 61 };
    expect(await verify(await sign(es, early), [es.jwk])).toEqual(failed('not-yet-valid'));
    const odd = { ...goodClaims, exp: 'tomorrow' };
    expect(await verify(await sign(es, odd), [es.jwk])).toEqual(failed('malformed'));
  });

  it('never verifies, and never throws, for a token with anything changed', async () => {
    const text = await sign(es);
    const keys = [es.jwk, rs.jwk];
    await fc.assert(
      fc.asyncProperty(
        // Of a signature of 64 bytes, the last character has four bits that mean nothing.
        fc.nat(text.length - 2),
        fc.constantFrom('A', 'B', 'a', '0', '1', '-', '_', '.', '=', ' ', 'é'),
        fc.constantFrom('replace', 'insert', 'cut'),
        async (at, character, how) => {
          const changed =
            how === 'cut'
              ? text.slice(0, at)
              : text.slice(0, at) + character + text.slice(how === 'insert' ? at : at + 1);
          fc.pre(changed !== text);
          expect((await verify(changed, keys)).kind).not.toBe('verified');
        },
      ),
    );
  });
});
