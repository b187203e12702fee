import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { asymmetricAlgorithms } from '../../src/auth/algorithms.ts';
import {
  createAuthenticator,
  type Peer,
  type Authenticator,
  type AuthOptions,
  type ProviderOptions,
} from '../../src/auth/authenticate.ts';
import type { AuthOutcome } from '../../src/auth/auth-result.ts';
import { Headers } from '../../src/lib/headers.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';
import { JwksServer } from './support/jwks-server.ts';
import {
  assemble,
  goodClaims,
  issuer,
  sign,
  signingKey,
  startSeconds,
  type SigningKey,
} from './support/tokens.ts';

const other = 'https://other.example';

let a: SigningKey;
let b: SigningKey;
let rsa: SigningKey;
beforeAll(async () => {
  [a, b, rsa] = await Promise.all([signingKey('a'), signingKey('b'), signingKey('rsa', 'RS256')]);
});

let clock: FakeClock;
let server: JwksServer;
let auth: Authenticator;
let outcomes: AuthOutcome[];
let keyEvents: string[];

beforeEach(async () => {
  clock = new FakeClock();
  server = await JwksServer.start();
  server.serve([a, rsa]);
  outcomes = [];
  keyEvents = [];
  create();
});

afterEach(async () => {
  auth.stop();
  expect(clock.pending).toBe(0);
  await server.stop();
});

function provider(more: Partial<ProviderOptions> = {}): ProviderOptions {
  return {
    issuer,
    audiences: ['sluice'],
    jwks: { kind: 'uri', uri: server.url },
    algorithms: asymmetricAlgorithms,
    principal: { subject: 'sub', groups: 'groups', groupPrefix: '', tier: undefined },
    requiredClaims: [],
    ...more,
  };
}

/** `random` is 0, so that pauses are exact. */
function create(more: Partial<AuthOptions> = {}): void {
  auth = createAuthenticator(
    {
      clock,
      random: () => 0,
      onOutcome: (outcome) => outcomes.push(outcome),
      onKeys: (event, of) => keyEvents.push(`${event.kind} ${of}`),
    },
    {
      providers: [provider()],
      headers: ['authorization', 'x-api-key'],
      maxTokenBytes: 16_384,
      exempt: ['/health'],
      clockToleranceMs: 60_000,
      keys: {
        refreshIntervalMs: 600_000,
        fetchTimeoutMs: 5000,
        refetchCooldownMs: 10_000,
        maxOutageMs: 3_600_000,
      },
      cache: { maxTokens: 100, maxBytes: 1e6 },
      envoyPayload: undefined,
      forwardToken: false,
      anonymous: { by: 'shared' },
      ...more,
    },
  );
}

async function start(more?: Partial<AuthOptions>): Promise<void> {
  if (more !== undefined) {
    auth.stop();
    create(more);
  }
  await auth.start();
}

/** What is said of a request besides its headers; `jwtMetadata` is what Envoy's jwt_authn left. */
interface Context {
  readonly path?: string;
  readonly clientAddress?: string | undefined;
  readonly jwtMetadata?: Readonly<Record<string, unknown>>;
}

const somePath = '/v1/chat/completions';
const somebody: Peer = { clientAddress: '10.0.0.1', metadata: () => undefined };

const call = (headers: Record<string, string>, { path = somePath, jwtMetadata, ...more }: Context = {}) =>
  auth.authenticate(Headers.of(headers), path, {
    ...somebody,
    metadata: (namespace) => (namespace === 'envoy.filters.http.jwt_authn' ? jwtMetadata : undefined),
    ...more,
  });
const bearer = (token: string, more?: Context) => call({ authorization: `Bearer ${token}` }, more);

const accepted = (subject: string) => ({ kind: 'accepted', principal: { kind: 'user', subject } });

/** Fires the refresh that is due, and waits for the event that it brings. */
async function refresh(): Promise<void> {
  const before = keyEvents.length;
  clock.advance(600_000);
  await until(() => keyEvents.length > before);
}

/** A token that is good for this long from now on. */
const token = (key: SigningKey, seconds = 3600, more: Record<string, unknown> = {}) =>
  sign(key, { ...goodClaims, exp: Math.floor(clock.epochMs() / 1000) + seconds, ...more });

describe('authenticate()', () => {
  it('verifies a token once, and knows it from then on at once', async () => {
    await start();
    const text = await token(rsa);
    const first = bearer(text);
    expect(first).toBeInstanceOf(Promise);
    expect(await first).toMatchObject(accepted('ann'));
    expect(bearer(text)).toBe(await first);
    expect(call({ 'x-api-key': text })).toBe(await first);
    expect(outcomes).toEqual(['ok', 'cached', 'cached']);
    expect(server.seen).toHaveLength(1);
    expect(auth.status()).toMatchObject({ cachedTokens: 1 });
  });

  it('verifies a new token once for many requests at the same time', async () => {
    await start();
    const text = await token(a);
    const results = await Promise.all(Array.from({ length: 10 }, async () => bearer(text)));
    expect(new Set(results).size).toBe(1);
    expect(results[0]).toMatchObject(accepted('ann'));
    expect(outcomes).toEqual(Array(10).fill('ok'));
  });

  it.each<[AuthOutcome, Record<string, string>]>([
    ['missing', {}],
    ['missing', { authorization: 'Basic dXNlcjpwYXNz' }],
    ['malformed', { authorization: 'Bearer' }],
    ['malformed', { authorization: 'Bearer EMPTY' }],
    ['malformed', { 'x-api-key': 'sk-ant-1234' }],
    ['conflict', { authorization: 'Bearer a.b.c', 'x-api-key': 'd.e.f' }],
    ['too-large', { authorization: `Bearer ${'a'.repeat(16_385)}` }],
    ['algorithm-refused', { authorization: `Bearer ${assemble({ alg: 'none' }, goodClaims, '')}` }],
    ['unknown-issuer', { 'x-api-key': assemble({ alg: 'ES256', kid: 'x' }, { iss: other }) }],
  ])('refuses as %s, without asking the issuer', async (reason, headers) => {
    await start();
    expect(await call(headers)).toMatchObject({
      kind: 'unauthenticated',
      reason,
      headers: { 'www-authenticate': expect.stringMatching(/^Bearer /) },
    });
    expect(outcomes).toEqual([reason]);
    expect(server.seen).toHaveLength(1);
  });

  it('refuses a good token that is too large, before it looks into it', async () => {
    await start({ maxTokenBytes: 300 });
    expect(await bearer(await token(a, 3600, { more: 'x'.repeat(300) }))).toMatchObject({
      reason: 'too-large',
    });
    expect(await bearer(await token(a))).toMatchObject(accepted('ann'));
  });

  it('tells two headers that are equal from two that are not', async () => {
    await start();
    const [one, two] = [await token(a), await token(a, 100)];
    const twice = (first: string, second: string) =>
      auth.authenticate(
        new Headers(['authorization', `Bearer ${first}`, 'authorization', `Bearer ${second}`]),
        somePath,
        somebody,
      );
    expect(await twice(one, one)).toMatchObject(accepted('ann'));
    expect(await twice(one, two)).toMatchObject({ reason: 'conflict' });
  });

  it('names neither issuer nor audience to those that it refuses', async () => {
    await start();
    for (const claims of [{ iss: other }, { aud: 'x' }, { exp: 1 }]) {
      const result = await bearer(await token(a, 3600, claims));
      expect(result.kind).toBe('unauthenticated');
      expect(JSON.stringify(result)).not.toMatch(/issuer\.example|other\.example|sluice"[^,]*aud|"x"/);
    }
  });

  it('knows a token no longer than to its end, and takes it through the tolerance', async () => {
    await start();
    const text = await token(a, 100);
    await bearer(text);
    clock.advance(99_999);
    expect(bearer(text)).toMatchObject(accepted('ann'));
    clock.advance(1);
    const again = bearer(text);
    expect(again).toBeInstanceOf(Promise);
    expect(await again).toMatchObject(accepted('ann'));
    clock.advance(59_999);
    expect(await bearer(text)).toMatchObject(accepted('ann'));
    clock.advance(1);
    expect(await bearer(text)).toMatchObject({ reason: 'expired' });
    expect(outcomes).toEqual(['ok', 'cached', 'ok', 'ok', 'expired']);
  });

  it('needs no token on exempt paths, and believes none there', async () => {
    await start();
    expect(call({}, { path: '/health' })).toEqual({
      kind: 'accepted',
      principal: expect.objectContaining({ kind: 'anonymous' }),
    });
    expect(bearer('garbage', { path: '/health' })).toMatchObject({ principal: { id: 'anonymous' } });
    expect(await call({}, { path: '/health/../v1/models' })).toMatchObject({ reason: 'missing' });
    expect(await call({}, { path: '/metrics' })).toMatchObject({ reason: 'missing' });
    expect(outcomes).toEqual(['exempt', 'exempt', 'missing', 'missing']);
  });

  it('looks for tokens where it is told, and has them removed there', async () => {
    await start({ headers: ['x-token'] });
    expect(await call({ 'x-token': await token(a) })).toMatchObject(accepted('ann'));
    expect(await bearer(await token(a))).toMatchObject({ reason: 'missing' });
    expect(auth.strippedHeaders).toEqual(['x-token']);
    auth.stop();
    create({ forwardToken: true });
    expect(auth.strippedHeaders).toEqual([]);
  });
});

describe('keys', () => {
  it('are needed for an answer: until they came, all is unavailable, and not ready', async () => {
    const port = await freePort();
    await start({ providers: [provider({ jwks: { kind: 'uri', uri: `http://127.0.0.1:${port}/` } })] });
    expect(auth.ready()).toBe(false);
    expect(await bearer(await token(a))).toMatchObject({
      kind: 'unavailable',
      reason: 'no-keys',
      retryAfterSeconds: 2,
    });
    expect(await call({})).toMatchObject({ reason: 'missing' });
    expect(auth.status().providers[0]).toMatchObject({ everFetched: false, keys: 0 });

    const late = await JwksServer.start(port);
    late.serve([a]);
    clock.advance(500);
    await until(() => keyEvents.length === 2);
    expect(keyEvents).toEqual([`failed ${issuer}`, `fetched ${issuer}`]);
    expect(auth.ready()).toBe(true);
    expect(await bearer(await token(a))).toMatchObject(accepted('ann'));
    await late.stop();
  });

  it('that are new are found with the first token, and nobody is refused', async () => {
    await start();
    server.serve([a, b]);
    const texts = await Promise.all([1, 2, 3].map((n) => token(b, 3600, { sub: `user${n}` })));
    const results = await Promise.all(texts.map(async (text) => bearer(text)));
    expect(results).toMatchObject([accepted('user1'), accepted('user2'), accepted('user3')]);
    expect(server.seen).toHaveLength(2);
  });

  it('that nobody has are asked for once', async () => {
    await start();
    const text = await token(b);
    expect(await bearer(text)).toMatchObject({ kind: 'unauthenticated', reason: 'unknown-key' });
    expect(await bearer(text)).toMatchObject({ kind: 'unauthenticated', reason: 'unknown-key' });
    expect(server.seen).toHaveLength(2);
  });

  it('that were removed take their tokens with them, those that are known already too', async () => {
    await start();
    const [ofA, ofRsa] = [await token(a), await token(rsa)];
    await bearer(ofA);
    await bearer(ofRsa);
    server.serve([rsa, b]);
    await refresh();
    expect(await bearer(ofA)).toMatchObject({ reason: 'unknown-key' });
    expect(bearer(ofRsa)).toMatchObject(accepted('ann'));
    expect(outcomes).toEqual(['ok', 'ok', 'unknown-key', 'cached']);
  });

  it('that took the name of another end the tokens of that one', async () => {
    await start();
    const old = await token(a);
    await bearer(old);
    server.serve([{ jwk: { ...b.jwk, kid: 'a' } }]);
    expect(await bearer(await token({ ...b, kid: 'a' }))).toMatchObject(accepted('ann'));
    expect(await bearer(old)).toMatchObject({ reason: 'bad-signature' });
  });

  it('stay good through an outage, in which a new one is neither accepted nor refused', async () => {
    await start();
    const known = await token(a, 36_000);
    await bearer(known);
    server.reply = { status: 500, body: '' };
    await refresh();
    expect(bearer(known)).toMatchObject(accepted('ann'));
    expect(await bearer(await token(rsa))).toMatchObject(accepted('ann'));
    expect(await bearer(await token(b))).toMatchObject({ kind: 'unavailable', reason: 'no-keys' });
    expect(auth.ready()).toBe(true);
    expect(auth.status().providers).toMatchObject([{ issuer, keys: 2, lastError: 'it answered 500' }]);
  });

  it('are dropped when the outage takes too long, and with them what is known', async () => {
    await start({
      keys: { refreshIntervalMs: 600_000, fetchTimeoutMs: 5000, refetchCooldownMs: 10_000, maxOutageMs: 1 },
    });
    const known = await token(a, 36_000);
    await bearer(known);
    server.reply = { status: 500, body: '' };
    await refresh();
    clock.advance(500);
    await until(() => keyEvents.includes(`dropped ${issuer}`));
    expect(await bearer(known)).toMatchObject({ kind: 'unavailable', reason: 'no-keys' });
    expect(auth.ready()).toBe(true);
  });

  it('can be in a file', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'sluice-auth-'));
    const file = path.join(folder, 'jwks.json');
    writeFileSync(file, JSON.stringify({ keys: [a.jwk] }));
    await start({ providers: [provider({ jwks: { kind: 'uri', uri: pathToFileURL(file).href } })] });
    expect(await bearer(await token(a))).toMatchObject(accepted('ann'));
    writeFileSync(file, JSON.stringify({ keys: [b.jwk] }));
    expect(await bearer(await token(b))).toMatchObject(accepted('ann'));
    expect(await bearer(await token(a))).toMatchObject({ reason: 'unknown-key' });
    rmSync(folder, { recursive: true });
  });

  it('can be in the configuration', async () => {
    await start({ providers: [provider({ jwks: { kind: 'inline', jwks: { keys: [a.jwk] } } })] });
    expect(auth.ready()).toBe(true);
    expect(await bearer(await token(a))).toMatchObject(accepted('ann'));
    expect(await bearer(await token(b))).toMatchObject({ reason: 'unknown-key' });
  });
});

describe('several providers', () => {
  let second: JwksServer;
  beforeEach(async () => {
    second = await JwksServer.start();
    second.serve([b]);
    create({
      providers: [
        provider(),
        provider({
          issuer: other,
          audiences: ['other-sluice'],
          jwks: { kind: 'uri', uri: second.url },
          principal: { subject: 'email', groups: 'roles', groupPrefix: 'other:', tier: undefined },
        }),
      ],
    });
  });
  afterEach(async () => {
    await second.stop();
  });

  const ofOther = { iss: other, aud: 'other-sluice', email: 'bob@other', roles: ['r'] };

  it('are told apart by the issuer that a token names, each with its own keys and rules', async () => {
    await start();
    expect(await bearer(await token(a))).toMatchObject(accepted('ann'));
    const result = await bearer(await token(b, 3600, ofOther));
    expect(result).toMatchObject({
      principal: { id: `user:["${other}","bob@other"]`, subject: 'bob@other', groups: ['other:r'] },
    });
  });

  it.each<[string, () => SigningKey, Record<string, unknown>, string]>([
    ['the issuer of another key', () => a, ofOther, 'unknown-key'],
    ['the issuer and kid of another key', () => ({ ...a, kid: 'b' }), ofOther, 'bad-signature'],
    ['the audience of another issuer', () => b, { ...ofOther, aud: 'sluice' }, 'wrong-audience'],
    ['no known issuer', () => a, { iss: 'https://third.example' }, 'unknown-issuer'],
  ])('do not take tokens with %s', async (_what, key, claims, reason) => {
    await start();
    expect(await bearer(await token(key(), 3600, claims))).toMatchObject({ reason });
  });

  it('do not wait for each other', async () => {
    second.reply = { status: 503, body: '' };
    await start();
    expect(auth.ready()).toBe(true);
    expect(await bearer(await token(a))).toMatchObject(accepted('ann'));
    expect(await bearer(await token(b, 3600, ofOther))).toMatchObject({ kind: 'unavailable' });
    expect(auth.status().providers).toMatchObject([
      { issuer, everFetched: true },
      { issuer: other, everFetched: false },
    ]);
  });
});

describe("Envoy's payload", () => {
  const payload = { ...goodClaims, groups: ['g'] };
  const verified = { jwtMetadata: { payload } };

  it('is believed where that is configured, at once and without a token', async () => {
    await start({ envoyPayload: 'payload' });
    expect(call({}, verified)).toMatchObject({
      kind: 'accepted',
      principal: { subject: 'ann', groups: ['g'] },
    });
    expect(outcomes).toEqual(['envoy']);
  });

  it('is not believed where it is not, nor under another name', async () => {
    await start();
    expect(await call({}, verified)).toMatchObject({ reason: 'missing' });
    await start({ envoyPayload: 'other' });
    expect(await call({}, verified)).toMatchObject({ reason: 'missing' });
  });

  it('does not spare anybody the token where there is none', async () => {
    await start({ envoyPayload: 'payload' });
    expect(await call({}, { jwtMetadata: {} })).toMatchObject({ reason: 'missing' });
    expect(await call({})).toMatchObject({ reason: 'missing' });
    expect(await bearer(await token(a))).toMatchObject(accepted('ann'));
  });

  it.each<[unknown, string]>([
    [{ ...payload, iss: other }, 'unknown-issuer'],
    [{ ...payload, aud: 'x' }, 'wrong-audience'],
    [{ ...payload, exp: startSeconds - 60 }, 'expired'],
    [{ ...payload, exp: undefined }, 'claim-missing'],
    [{ ...payload, sub: undefined }, 'claim-missing'],
    [{}, 'unknown-issuer'],
    ['text', 'malformed'],
    [null, 'malformed'],
    [[], 'malformed'],
  ])('is held to the same rules: %j', async (given, reason) => {
    await start({ envoyPayload: 'payload' });
    expect(call({}, { jwtMetadata: { payload: given } })).toMatchObject({ reason });
  });
});

describe('without providers', () => {
  it('nobody needs a token, and none is looked at or removed', async () => {
    await start({ providers: [] });
    expect(auth.ready()).toBe(true);
    expect(bearer('garbage')).toEqual({
      kind: 'accepted',
      principal: { kind: 'anonymous', id: 'anonymous', groups: [], tier: undefined },
    });
    expect(outcomes).toEqual(['anonymous']);
    expect(auth.strippedHeaders).toEqual([]);
  });

  it('callers are told apart as configured', () => {
    create({ providers: [], anonymous: { by: 'address' } });
    expect(call({})).toMatchObject({ principal: { id: 'anonymous:address:10.0.0.1' } });
    create({ providers: [], anonymous: { by: 'header', header: 'x-user' } });
    expect(call({ 'x-user': 'ann' })).toMatchObject({ principal: { id: 'anonymous:header:ann' } });
  });
});

describe('stop()', () => {
  it('ends what waits for keys', async () => {
    await start();
    server.reply = 'hang';
    const waiting = bearer(await token(b));
    await until(() => server.seen.length === 2);
    auth.stop();
    expect(await waiting).toMatchObject({ kind: 'unavailable' });
    expect(clock.pending).toBe(0);
  });
});
