import { beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { asymmetricAlgorithms } from '../../src/auth/algorithms.ts';
import { readJwks, type KeySet } from '../../src/auth/jwks-document.ts';
import type { Jwks, SearchResult } from '../../src/auth/jwks.ts';
import { createProvider, type Provider, type ProviderRules } from '../../src/auth/provider.ts';
import { readUnverified } from '../../src/auth/verify-token.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { goodClaims, issuer, sign, signingKey, startSeconds, type SigningKey } from './support/tokens.ts';

const rules: ProviderRules = {
  issuer,
  audiences: ['sluice', 'gateway'],
  algorithms: asymmetricAlgorithms,
  principal: { subject: 'sub', groups: 'groups', groupPrefix: '', tier: 'tier' },
  requiredClaims: [],
  clockToleranceMs: 60_000,
};

/** Keys that are found as the test says. */
class FakeJwks implements Jwks {
  keys: KeySet | undefined;
  readonly searches: { readonly seen: KeySet; readonly missed: string }[] = [];
  /** What the next searches come to, in this order. */
  readonly results: SearchResult[] = [];

  search(seen: KeySet, missed: string): Promise<SearchResult> {
    this.searches.push({ seen, missed });
    return Promise.resolve(this.results.shift() ?? { kind: 'absent' });
  }

  status(): never {
    throw new Error('not asked for');
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): void {
    this.keys = undefined;
  }
}

let a: SigningKey;
let b: SigningKey;
beforeAll(async () => {
  [a, b] = await Promise.all([signingKey('a'), signingKey('b')]);
});

let clock: FakeClock;
let jwks: FakeJwks;
let provider: Provider;
beforeEach(() => {
  clock = new FakeClock();
  jwks = new FakeJwks();
  jwks.keys = setOf(a);
  provider = createProvider(rules, { jwks, clock });
});

function setOf(...keys: readonly Pick<SigningKey, 'jwk'>[]): KeySet {
  return readJwks({ keys: keys.map(({ jwk }) => jwk) }, asymmetricAlgorithms, jwks.keys);
}

async function verify(key: SigningKey, claims: Readonly<Record<string, unknown>> = goodClaims) {
  const token = readUnverified(await sign(key, claims));
  if (token === undefined) throw new Error('the test made no token');
  return provider.verify(token);
}

describe('verify()', () => {
  it('proves who calls, until when and by which key', async () => {
    const claims = { ...goodClaims, groups: ['g'], tier: 'gold' };
    expect(await verify(a, claims)).toEqual({
      kind: 'proven',
      accepted: {
        kind: 'accepted',
        principal: {
          kind: 'user',
          id: `user:["${issuer}","ann"]`,
          issuer,
          subject: 'ann',
          groups: ['g'],
          tier: 'gold',
          claims,
        },
      },
      key: jwks.keys!.candidates('ES256', 'a')[0],
      expiresEpochMs: goodClaims.exp * 1000,
    });
    expect(jwks.searches).toEqual([]);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['another issuer', { iss: 'https://other.example' }, 'unknown-issuer'],
    ['another audience', { aud: ['x'] }, 'wrong-audience'],
    ['no audience', { aud: undefined }, 'wrong-audience'],
    ['no end', { exp: undefined }, 'claim-missing'],
    ['an end too long ago', { exp: startSeconds - 60 }, 'expired'],
    ['a beginning too far ahead', { nbf: startSeconds + 61 }, 'not-yet-valid'],
    ['a birth too far ahead', { iat: startSeconds + 61 }, 'not-yet-valid'],
    ['no subject', { sub: undefined }, 'claim-missing'],
    ['an empty subject', { sub: '' }, 'claim-missing'],
  ])('refuses a token with %s', async (_what, claims, reason) => {
    expect(await verify(a, { ...goodClaims, ...claims })).toMatchObject({ kind: 'unauthenticated', reason });
    expect(jwks.searches).toEqual([]);
  });

  it.each<[string, Record<string, unknown>]>([
    ['an end within the tolerance', { exp: startSeconds - 59 }],
    ['a beginning within the tolerance', { nbf: startSeconds + 60, iat: startSeconds + 60 }],
    ['one audience of several', { aud: ['x', 'gateway'] }],
  ])('accepts a token with %s', async (_what, claims) => {
    expect(await verify(a, { ...goodClaims, ...claims })).toMatchObject({ kind: 'proven' });
  });

  it('forbids what lacks a required claim', async () => {
    provider = createProvider(
      {
        ...rules,
        requiredClaims: [
          { claim: 'scope', values: ['llm'] },
          { claim: 'org', values: [] },
        ],
      },
      { jwks, clock },
    );
    expect(await verify(a, { ...goodClaims, scope: 'a llm', org: 1 })).toMatchObject({ kind: 'proven' });
    expect(await verify(a, { ...goodClaims, scope: 'a llm' })).toMatchObject({
      kind: 'forbidden',
      reason: 'claim-refused',
    });
    expect(await verify(a, { ...goodClaims, scope: 'a', org: 1 })).toMatchObject({ kind: 'forbidden' });
  });

  it('is unavailable without keys', async () => {
    jwks.keys = undefined;
    expect(await verify(a)).toMatchObject({ kind: 'unavailable', reason: 'no-keys', retryAfterSeconds: 2 });
    expect(jwks.searches).toEqual([]);
  });

  it('looks for a key that it does not know, and goes on with the newer set', async () => {
    const seen = jwks.keys;
    jwks.results.push({ kind: 'newer', keys: setOf(a, b) });
    expect(await verify(b)).toMatchObject({ kind: 'proven', key: { kid: 'b' } });
    expect(jwks.searches).toEqual([{ seen, missed: '["unknown-key","ES256","b"]' }]);
  });

  it('refuses a key that the issuer does not have', async () => {
    expect(await verify(b)).toMatchObject({ kind: 'unauthenticated', reason: 'unknown-key' });
  });

  it('is unavailable where the issuer cannot be asked for a key', async () => {
    jwks.results.push({ kind: 'unknown' });
    expect(await verify(b)).toMatchObject({ kind: 'unavailable', reason: 'no-keys' });
  });

  it('finds a key that took the name of another', async () => {
    jwks.results.push({ kind: 'newer', keys: setOf({ jwk: { ...b.jwk, kid: 'a' } }) });
    expect(await verify({ ...b, kid: 'a' })).toMatchObject({ kind: 'proven' });
  });

  it('finds the successor of the only key, where keys have no names', async () => {
    const [old, fresh] = [await signingKey(), await signingKey()];
    jwks.keys = setOf(old);
    jwks.results.push({ kind: 'newer', keys: setOf(fresh) });
    expect(await verify(fresh)).toMatchObject({ kind: 'proven' });
  });

  it.each<SearchResult>([{ kind: 'absent' }, { kind: 'unknown' }])(
    'refuses a bad signature where the search is %j',
    async (result) => {
      jwks.results.push(result);
      expect(await verify({ ...b, kid: 'a' })).toMatchObject({
        kind: 'unauthenticated',
        reason: 'bad-signature',
      });
    },
  );

  it('does not search for ever', async () => {
    for (let i = 0; i < 10; i++) jwks.results.push({ kind: 'newer', keys: setOf(a) });
    expect(await verify(b)).toMatchObject({ reason: 'unknown-key' });
    expect(jwks.searches.length).toBeLessThan(5);
  });
});

describe('accept()', () => {
  it('takes claims that somebody else verified by the same rules', () => {
    expect(provider.accept(goodClaims)).toMatchObject({ kind: 'accepted', principal: { subject: 'ann' } });
    expect(provider.accept({ ...goodClaims, aud: 'x' })).toMatchObject({ reason: 'wrong-audience' });
    clock.advance((3600 + 60) * 1000);
    expect(provider.accept(goodClaims)).toMatchObject({ reason: 'expired' });
  });
});

describe('holds()', () => {
  it('is true for keys in use only', () => {
    const key = jwks.keys!.candidates('ES256', 'a')[0]!;
    expect(provider.holds(key)).toBe(true);
    jwks.keys = setOf(a, b);
    expect(provider.holds(key)).toBe(true);
    jwks.keys = setOf(b);
    expect(provider.holds(key)).toBe(false);
    jwks.keys = undefined;
    expect(provider.holds(key)).toBe(false);
  });
});
