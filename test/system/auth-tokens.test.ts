import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { exportSPKI, importJWK, type CryptoKey } from 'jose';
import { assemble, sign, signingKey, type SigningKey } from '../auth/support/tokens.ts';
import {
  ask,
  bearer,
  isRefused,
  outcomesDuring,
  statusFor,
  untilReady,
  type UnauthorizedReason,
} from '../support/callers.ts';
import { chatBody } from '../support/chat.ts';
import { eventually } from '../support/eventually.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { send } from '../support/http-client.ts';
import { audience, fromNow, goodClaims, startIssuer, type Issuer } from '../support/issuer.ts';

let issuer: Issuer;
let keys: Readonly<Record<'rsa' | 'ec' | 'ed', SigningKey>>;
let attacker: Issuer;
let gateway: Gateway;
let token: string;
let otherToken: string;
beforeAll(async () => {
  const [rsa, ec, ed] = await Promise.all([
    signingKey('rsa', 'RS256'),
    signingKey('ec', 'ES256'),
    signingKey('ed', 'EdDSA'),
  ]);
  keys = { rsa, ec, ed };
  [issuer, attacker] = await Promise.all([startIssuer({ key: ec }), startIssuer({ name: 'attacker' })]);
  issuer.publish(rsa, ec, ed);
  // A forged token makes Sluice ask for newer keys; without a pause, one case is no different from the next.
  const auth = { ...issuer.section, clockTolerance: '30s', keys: { refetchCooldown: '1ms' } };
  gateway = await startGateway({ engines: [{ requestLogSize: 1000 }], config: JSON.stringify({ auth }) });
  await untilReady(gateway);
  token = await issuer.signed();
  otherToken = await issuer.signed({ sub: 'bob' });
}, 60_000);
afterAll(async () => {
  await gateway.stop();
  await Promise.all([issuer.stop(), attacker.stop()]);
});
afterEach(() => eventually(async () => (await gateway.inFlight()) === 0));

describe('a signature', () => {
  const byKey = { RS256: 'rsa', PS256: 'rsa', ES256: 'ec', EdDSA: 'ed' } as const;
  it.each(['RS256', 'PS256', 'ES256', 'EdDSA'] as const)('by %s is accepted', async (alg) => {
    const { privateKey, kid } = keys[byKey[alg]];
    const key = alg === 'PS256' ? await asPs256(keys.rsa) : privateKey;
    expect(await statusFor(gateway, await sign({ alg, kid, privateKey: key }, goodClaims(issuer.name)))).toBe(
      200,
    );
  });

  it('without a kid is accepted where one key fits', async () => {
    expect(await statusFor(gateway, await issuer.signed({}, { ...keys.ec, kid: undefined }))).toBe(200);
  });

  it('without a kid is refused where two keys fit', async () => {
    const second = await signingKey('second', 'ES256');
    issuer.publish(...Object.values(keys), second);
    // Makes Sluice see it.
    expect(await statusFor(gateway, await issuer.signed({}, second))).toBe(200);
    const nameless = await issuer.signed({ sub: 'cy' }, { ...keys.ec, kid: undefined });
    await isRefused(gateway, 'unknown-key', () => ask(gateway, bearer(nameless)));
    issuer.publish(...Object.values(keys));
  });

  type Forgery = readonly [name: string, reason: UnauthorizedReason, forge: () => Promise<string> | string];
  const forged: readonly Forgery[] = [
    ['by HMAC with the public key as PEM', 'algorithm-refused', async () => hmac(await publicPem())],
    ['by HMAC with the public key as a JWK', 'algorithm-refused', () => hmac(JSON.stringify(keys.rsa.jwk))],
    ['by HMAC with the modulus', 'algorithm-refused', () => hmac(keys.rsa.jwk.n!)],
    ['by an attacker, under the name of a key', 'bad-signature', () => byAttacker('ec')],
    ['by an attacker, under no name', 'bad-signature', () => byAttacker(undefined)],
    ['by an attacker, under their own name', 'unknown-key', () => byAttacker('first')],
    [
      'by an attacker, with the key in it',
      'bad-signature',
      () => byAttacker('ec', { jwk: attacker.key.jwk }),
    ],
    [
      'by an attacker, with an address of the key',
      'bad-signature',
      () => byAttacker('ec', { jku: attacker.section.jwksUri }),
    ],
    ['by an attacker who is an issuer', 'unknown-issuer', () => attacker.signed()],
    ['under the name of a key of another type', 'unknown-key', () => underName('rsa')],
    ['under a path', 'unknown-key', () => underName('../../etc/passwd')],
    ['under a number', 'malformed', () => issuer.signed({}, keys.ec, { kid: 7 })],
    ['that is empty', 'bad-signature', () => withPart(2, '')],
    ['that is another’s', 'bad-signature', () => withPart(2, otherToken.split('.')[2]!)],
    ['of another payload', 'bad-signature', () => withPart(1, { ...goodClaims(issuer.name), sub: 'root' })],
    ['of another header', 'bad-signature', () => withPart(0, { alg: 'ES256', kid: 'ec', typ: 'JWT' })],
    ...['none', 'None', 'NONE', 'nOnE', '', 'es256', 'ES256K', 'RS1', '__proto__'].flatMap(
      (alg): readonly Forgery[] => [
        [`of algorithm "${alg}"`, 'algorithm-refused', () => unsigned(alg, 'signature')],
        [`of algorithm "${alg}", and empty`, 'algorithm-refused', () => unsigned(alg, '')],
      ],
    ),
  ];
  it.each(forged)('%s is refused: %s', async (_, reason, forge) => {
    const forgery = await forge();
    await isRefused(gateway, reason, () => ask(gateway, bearer(forgery)));
  });

  it('never makes Sluice ask whom it names for keys', () => {
    expect(attacker.fetches).toBe(0);
  });

  function byAttacker(kid: string | undefined, header: object = {}): Promise<string> {
    return issuer.signed({}, { ...attacker.key, kid }, { ...header });
  }

  function underName(kid: string): Promise<string> {
    return issuer.signed({}, { ...keys.ec, kid });
  }

  function hmac(secret: string): Promise<string> {
    const privateKey = new TextEncoder().encode(secret);
    return sign({ alg: 'HS256', kid: 'rsa', privateKey }, goodClaims(issuer.name));
  }

  async function publicPem(): Promise<string> {
    const key = await importJWK(keys.rsa.jwk, 'RS256', { extractable: true });
    if (key instanceof Uint8Array) throw new Error('Not a public key');
    return exportSPKI(key);
  }

  /** One RSA key serves several algorithms, but WebCrypto makes it a key of one. */
  async function asPs256({ privateKey }: SigningKey): Promise<CryptoKey> {
    const pkcs8 = await crypto.subtle.exportKey('pkcs8', privateKey);
    return crypto.subtle.importKey('pkcs8', pkcs8, { name: 'RSA-PSS', hash: 'SHA-256' }, false, ['sign']);
  }

  function unsigned(alg: string, signature: string): string {
    return assemble({ alg, kid: 'ec' }, goodClaims(issuer.name), signature);
  }

  function withPart(index: number, part: string | object): string {
    const text = typeof part === 'string' ? part : Buffer.from(JSON.stringify(part)).toString('base64url');
    return token.split('.').with(index, text).join('.');
  }
});

describe('claims', () => {
  const accepted: readonly [name: string, claims: () => object][] = [
    ['that expired within the tolerance', () => ({ exp: fromNow(-20) })],
    ['that begin within the tolerance', () => ({ nbf: fromNow(20) })],
    ['that were made within the tolerance', () => ({ iat: fromNow(20) })],
    ['with fractions of a second', () => ({ exp: fromNow(60) + 0.5, iat: fromNow(0) + 0.5 })],
    ['for a list of audiences', () => ({ aud: ['other', audience] })],
    ['of a subject that is a number', () => ({ sub: 7 })],
  ];
  it.each(accepted)('%s are accepted', async (_, claims) => {
    expect(await statusFor(gateway, await issuer.signed({ ...claims() }))).toBe(200);
  });

  const refused: readonly [name: string, reason: UnauthorizedReason, claims: () => object][] = [
    ['that expired', 'expired', () => ({ exp: fromNow(-40) })],
    ['that expired long ago', 'expired', () => ({ exp: 1 })],
    ['that expired before the epoch', 'expired', () => ({ exp: -1e300 })],
    ['that begin later', 'not-yet-valid', () => ({ nbf: fromNow(40) })],
    ['that are made later', 'not-yet-valid', () => ({ iat: fromNow(40) })],
    ['that never expire', 'claim-missing', () => ({ exp: undefined })],
    ['with an exp in words', 'malformed', () => ({ exp: `${fromNow(60)}` })],
    ['with an nbf that is null', 'malformed', () => ({ nbf: null })],
    ['with an iat in words', 'malformed', () => ({ iat: 'now' })],
    ['for somebody else', 'wrong-audience', () => ({ aud: 'other' })],
    ['for others', 'wrong-audience', () => ({ aud: ['other', `${audience}s`] })],
    ['for an audience in other case', 'wrong-audience', () => ({ aud: audience.toUpperCase() })],
    ['for a list in a list', 'wrong-audience', () => ({ aud: [[audience]] })],
    ['for nobody', 'wrong-audience', () => ({ aud: undefined })],
    ['for an empty list', 'wrong-audience', () => ({ aud: [] })],
    ['of another issuer', 'unknown-issuer', () => ({ iss: 'https://elsewhere.example' })],
    ['of an issuer with a slash more', 'unknown-issuer', () => ({ iss: `${issuer.name}/` })],
    ['of an issuer in other case', 'unknown-issuer', () => ({ iss: issuer.name.toUpperCase() })],
    ['of no issuer', 'malformed', () => ({ iss: undefined })],
    ['of a list of issuers', 'malformed', () => ({ iss: [issuer.name] })],
    ['of no subject', 'claim-missing', () => ({ sub: undefined })],
    ['of an empty subject', 'claim-missing', () => ({ sub: '' })],
    ['of a subject that is a list', 'claim-missing', () => ({ sub: ['ann'] })],
  ];
  it.each(refused)('%s are refused: %s', async (_, reason, claims) => {
    const poor = await issuer.signed({ ...claims() });
    await isRefused(gateway, reason, () => ask(gateway, bearer(poor)));
  });
});

describe('a token that was verified', () => {
  it('is not verified again, for whatever request', async () => {
    const fresh = await issuer.signed({ sub: 'dee' });
    const outcomes = await outcomesDuring(gateway, async () => {
      for (const path of ['/v1/chat/completions', '/v1/completions', '/v1/messages'])
        expect(await send(gateway.port, { path, headers: bearer(fresh), body: chatBody() })).toMatchObject({
          status: path === '/v1/completions' ? 400 : 200,
        });
    });
    expect(outcomes).toEqual({ ok: 1, cached: 2 });
  });

  it('is good for many requests at once', async () => {
    const fresh = await issuer.signed({ sub: 'eve' });
    const outcomes = await outcomesDuring(gateway, async () => {
      const statuses = await Promise.all(Array.from({ length: 30 }, () => statusFor(gateway, fresh)));
      expect(new Set(statuses)).toEqual(new Set([200]));
    });
    expect((outcomes['ok'] ?? 0) + (outcomes['cached'] ?? 0)).toBe(30);
  });
});
