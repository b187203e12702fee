import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { JwksReply } from '../auth/support/jwks-server.ts';
import { sign, signingKey, type SigningKey } from '../auth/support/tokens.ts';
import {
  ask,
  bearer,
  expectKeysUnavailable,
  expectUnauthorized,
  get,
  isRefused,
  statusFor,
  untilReady,
} from '../support/callers.ts';
import { eventually } from '../support/eventually.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { grpcHealth } from '../support/grpc-health.ts';
import type { Reply } from '../support/http-client.ts';
import { fromNow, startIssuer, type Issuer } from '../support/issuer.ts';
import { samples } from '../support/metrics-page.ts';

const running: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of running.splice(0).reverse()) await each.stop();
});

function stopLater<T extends { stop(): Promise<void> }>(started: T): T {
  running.push(started);
  return started;
}

/** A gateway whose `auth` section is this, once it has the keys. */
async function start(auth: object, { untilKeys = true } = {}): Promise<Gateway> {
  const gateway = stopLater(await startGateway({ engines: 2, config: JSON.stringify({ auth }) }));
  if (untilKeys) await untilReady(gateway);
  return gateway;
}

interface ProviderView {
  readonly issuer: string;
  readonly keys: number;
  readonly lastError?: string;
}

/** What `/health` says of each issuer. */
async function providers(gateway: Gateway): Promise<readonly ProviderView[]> {
  const page = (await gateway.admin('/health')) as { readonly auth: { readonly providers: ProviderView[] } };
  return page.auth.providers;
}

/** How many fetches of an issuer's keys failed. */
async function failures(gateway: Gateway, issuer: Issuer): Promise<number> {
  const fetches = await samples(gateway, 'sluice_jwks_fetches_total');
  return fetches.get(`issuer="${issuer.name}",result="failed"`) ?? 0;
}

/** A token of a caller whose other tokens nobody has seen: not one that was verified before. */
let callers = 0;
function fresh(issuer: Issuer, key?: SigningKey): Promise<string> {
  return issuer.signed({ sub: `caller-${++callers}` }, key);
}

describe('a key that is published', () => {
  it('counts at once, for as long as it is published', async () => {
    const issuer = stopLater(await startIssuer());
    const gateway = await start(issuer.section);
    const first = await fresh(issuer);
    expect(await statusFor(gateway, first)).toBe(200);
    expect(issuer.fetches).toBe(1);

    const second = await signingKey('second');
    issuer.publish(issuer.key, second);
    expect(await statusFor(gateway, await fresh(issuer, second))).toBe(200);
    expect(await statusFor(gateway, first)).toBe(200);
    expect(await statusFor(gateway, await fresh(issuer))).toBe(200);
    expect(issuer.fetches).toBe(2);

    const third = await signingKey('third');
    issuer.publish(third);
    expect(await statusFor(gateway, await fresh(issuer, third))).toBe(200);
    // Verified before, by a key that is gone.
    await isRefused(gateway, 'unknown-key', () => ask(gateway, bearer(first)));
    await isRefused(gateway, 'unknown-key', async () => ask(gateway, bearer(await fresh(issuer, second))));
  }, 60_000);

  it('counts at once under the name of the old one', async () => {
    const issuer = stopLater(await startIssuer());
    const gateway = await start(issuer.section);
    const old = await fresh(issuer);
    expect(await statusFor(gateway, old)).toBe(200);
    const renewed = await signingKey(issuer.key.kid);
    issuer.publish(renewed);
    expect(await statusFor(gateway, await fresh(issuer, renewed))).toBe(200);
    await isRefused(gateway, 'bad-signature', () => ask(gateway, bearer(old)));
  }, 60_000);

  it('is asked for once, however many tokens need it', async () => {
    const issuer = stopLater(await startIssuer());
    const gateway = await start(issuer.section);
    const second = await signingKey('second');
    issuer.publish(issuer.key, second);
    const tokens = await Promise.all(Array.from({ length: 50 }, () => fresh(issuer, second)));
    const statuses = await Promise.all(tokens.map((token) => statusFor(gateway, token)));
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(issuer.fetches).toBe(2);
  }, 60_000);

  it('replaces another under load without a single refusal', async () => {
    const issuer = stopLater(await startIssuer());
    const gateway = await start({ ...issuer.section, keys: { refetchCooldown: '1ms' } });
    const served: number[] = Array.from({ length: 16 }, () => 0);
    const refused: number[] = [];
    let key = issuer.key;
    let over = false;
    const client = async (n: number): Promise<void> => {
      while (!over) {
        const status = await statusFor(gateway, await fresh(issuer, key));
        if (status === 200) served[n]!++;
        else refused.push(status);
      }
    };
    const clients = Promise.all(served.map((_, n) => client(n)));
    for (let rotation = 1; rotation <= 10; rotation++) {
      const next = await signingKey(`rotated-${rotation}`);
      issuer.publish(key, next);
      key = next;
      // Whoever signed with the key before the last has had an answer.
      const before = [...served];
      await eventually(() => refused.length > 0 || served.every((count, n) => count > before[n]! + 1));
    }
    over = true;
    await clients;
    expect(refused).toEqual([]);
    expect(issuer.fetches).toBeGreaterThanOrEqual(11);
  }, 60_000);
});

describe('keys', () => {
  it('are fetched again by and by, whether anybody needs others or not', async () => {
    const issuer = stopLater(await startIssuer());
    const gateway = await start({ ...issuer.section, keys: { refreshInterval: '50ms' } });
    const token = await issuer.signed();
    expect(await statusFor(gateway, token)).toBe(200);
    issuer.publish(await signingKey('second'));
    await eventually(async () => (await statusFor(gateway, token)) === 401);
    issuer.publish(issuer.key);
    await eventually(async () => (await statusFor(gateway, token)) === 200);
    issuer.answer({ body: 'garbage' });
    await eventually(async () => (await failures(gateway, issuer)) > 0);
    expect(await statusFor(gateway, token)).toBe(200);
  }, 60_000);

  it('are not trusted for ever while the issuer is down', async () => {
    const issuer = stopLater(await startIssuer());
    const gateway = await start({ ...issuer.section, keys: { refreshInterval: '50ms', maxOutage: '1ms' } });
    const token = await issuer.signed();
    expect(await statusFor(gateway, token)).toBe(200);
    await issuer.goDown();
    await eventually(async () => (await statusFor(gateway, token)) === 503);
    await expectKeysUnavailable(gateway, await ask(gateway, bearer(token)));
    expect((await fetch(`${gateway.adminUrl}/readyz`)).status).toBe(200);
    await issuer.comeUp();
    await eventually(async () => (await statusFor(gateway, token)) === 200);
  }, 60_000);
});

describe('an issuer that is down when Sluice starts', () => {
  it('leaves Sluice not ready, until it comes up', async () => {
    const issuer = stopLater(await startIssuer());
    await issuer.goDown();
    const gateway = await start(issuer.section, { untilKeys: false });
    await eventually(async () => (await failures(gateway, issuer)) > 0);
    const readyz = await fetch(`${gateway.adminUrl}/readyz`);
    expect(readyz.status).toBe(503);
    const reason = /^the keys of "https:..issuer.example" were never fetched: .*ECONNREFUSED 127.0.0.1:\d+$/;
    expect(await readyz.json()).toEqual({
      status: 'not ready',
      reasons: [expect.stringMatching(reason)],
    });
    expect(await (await fetch(`${gateway.adminUrl}/healthz`)).json()).toEqual({ status: 'ok' });
    expect(await grpcHealth(gateway, 'readiness')).toBe('NOT_SERVING');
    expect(await grpcHealth(gateway, 'liveness')).toBe('SERVING');

    const token = await issuer.signed();
    await expectKeysUnavailable(gateway, await ask(gateway, bearer(token)));
    await expectUnauthorized(gateway, await ask(gateway, []), 'missing');
    await expectUnauthorized(gateway, await ask(gateway, bearer('word')), 'malformed');
    expect(await get(gateway, '/health')).toMatchObject({ status: 200 });

    await issuer.comeUp();
    await untilReady(gateway);
    expect(await grpcHealth(gateway, 'readiness')).toBe('SERVING');
    expect(await statusFor(gateway, token)).toBe(200);
  }, 60_000);
});

describe('an issuer that fails later', () => {
  const fetchTimeout = 250;
  let issuer: Issuer;
  let gateway: Gateway;
  let known: string;
  let next: SigningKey;
  beforeAll(async () => {
    issuer = await startIssuer();
    const keys = { refetchCooldown: '1ms', fetchTimeout: `${fetchTimeout}ms` };
    gateway = await startGateway({
      engines: 2,
      config: JSON.stringify({ auth: { ...issuer.section, keys } }),
    });
    await untilReady(gateway);
    known = await issuer.signed();
    next = await signingKey('next');
  }, 60_000);
  afterAll(async () => {
    await gateway.stop();
    await issuer.stop();
  });

  /** Nothing is lost but what only the issuer could tell. */
  async function expectDegraded(error: string): Promise<void> {
    const before = await failures(gateway, issuer);
    await expectKeysUnavailable(gateway, await ask(gateway, bearer(await fresh(issuer, next))));
    expect(await failures(gateway, issuer)).toBeGreaterThan(before);
    expect(await providers(gateway)).toEqual([
      expect.objectContaining({ issuer: issuer.name, keys: 1, lastError: expect.stringContaining(error) }),
    ]);
    expect(await statusFor(gateway, known)).toBe(200);
    expect(await statusFor(gateway, await fresh(issuer))).toBe(200);
    expect((await fetch(`${gateway.adminUrl}/readyz`)).status).toBe(200);
    expect(gateway.lines).toContainEqual(
      expect.objectContaining({
        level: 'warn',
        issuer: issuer.name,
        problem: expect.stringContaining(error),
      }),
    );
  }

  /** The same token that could not be verified is, once the issuer answers. */
  async function expectRecovered(): Promise<void> {
    const token = await fresh(issuer, next);
    await expectKeysUnavailable(gateway, await ask(gateway, bearer(token)));
    issuer.publish(issuer.key, next);
    expect(await statusFor(gateway, token)).toBe(200);
    const [provider] = await providers(gateway);
    expect(provider).toMatchObject({ keys: 2 });
    expect(provider?.lastError).toBeUndefined();
    // For the next case, the key is unknown again.
    issuer.publish(issuer.key);
    await isRefused(gateway, 'unknown-key', async () =>
      ask(gateway, bearer(await fresh(issuer, await signingKey(`case-${++callers}`)))),
    );
    expect(await providers(gateway)).toEqual([expect.objectContaining({ keys: 1 })]);
  }

  const good = { keys: [] as object[] };
  const replies: readonly [name: string, error: string, reply: () => JwksReply][] = [
    ['a page', 'it is not JSON', () => ({ body: '<html>Sign in</html>' })],
    ['nothing', 'it is not JSON', () => ({ body: '' })],
    ['other JSON', 'it has no list of "keys"', () => ({ body: '{"keys":{}}' })],
    ['null', 'it has no list of "keys"', () => ({ body: 'null' })],
    ['no keys', 'it has no key of use', () => ({ body: JSON.stringify(good) })],
    ['keys of no use', 'its use is not "sig"', () => ({ body: jwks({ ...next.jwk, use: 'enc' }) })],
    ['a secret', 'it fits no algorithm', () => ({ body: jwks({ kty: 'oct', kid: 'next', k: 'c2VjcmV0' }) })],
    [
      '2 MiB',
      'it is larger than 1048576 bytes',
      () => ({ body: jwks(next.jwk) + ' '.repeat(2 * 1024 ** 2) }),
    ],
    ['an error', 'it answered 500', () => ({ status: 500, body: jwks(next.jwk) })],
    ['the end of a connection', 'other side closed', () => 'reset'],
    ['silence', `no answer within ${fetchTimeout} ms`, () => 'hang'],
    ['half an answer', `no answer within ${fetchTimeout} ms`, () => 'hang-in-body'],
  ];
  it.each(replies)('with %s keeps the last good keys in use', async (_, error, reply) => {
    issuer.answer(reply());
    await expectDegraded(error);
    await expectRecovered();
  });

  it('with a redirect is not followed', async () => {
    const elsewhere = stopLater(await startIssuer({ key: next }));
    issuer.answer({ status: 302, headers: { location: elsewhere.section.jwksUri }, body: jwks(next.jwk) });
    await expectDegraded('it answered 302, a redirect; name the URL that it leads to');
    expect(elsewhere.fetches).toBe(0);
    await expectRecovered();
  });

  it('by going down keeps the last good keys in use', async () => {
    await issuer.goDown();
    await expectDegraded('ECONNREFUSED');
    await issuer.comeUp();
    issuer.answer('reset');
    await expectRecovered();
  });

  it('with silence delays nobody but those who need another key', async () => {
    issuer.answer('hang');
    const before = issuer.fetches;
    const answered: string[] = [];
    const note = async (who: string, token: string): Promise<Reply> => {
      const reply = await ask(gateway, bearer(token));
      answered.push(`${who} ${reply.status}`);
      return reply;
    };
    const waiting = note('unknown', await fresh(issuer, next));
    await eventually(() => issuer.fetches > before);
    await note('known', known);
    await note('new', await fresh(issuer));
    await expectKeysUnavailable(gateway, await waiting);
    expect(answered).toEqual(['known 200', 'new 200', 'unknown 503']);
    await expectRecovered();
  });

  it('keeps nothing of what was refused', async () => {
    issuer.publish(next);
    expect(await statusFor(gateway, await fresh(issuer, next))).toBe(200);
    await isRefused(gateway, 'unknown-key', () => ask(gateway, bearer(known)));
  });

  function jwks(...keys: readonly object[]): string {
    return JSON.stringify({ keys });
  }
});

describe('several issuers', () => {
  it('do not depend on one another, and cannot sign for one another', async () => {
    const [one, other] = await Promise.all([
      startIssuer({ name: 'https://one.issuer.example' }),
      startIssuer({ name: 'https://other.issuer.example' }),
    ]);
    stopLater(one);
    stopLater(other);
    await other.goDown();
    const gateway = await start({ providers: [one.section, other.section] }, { untilKeys: false });
    await eventually(async () => (await failures(gateway, other)) > 0);
    await untilReady(gateway);
    expect(await statusFor(gateway, await one.signed())).toBe(200);
    await expectKeysUnavailable(gateway, await ask(gateway, bearer(await other.signed())));
    expect(await providers(gateway)).toEqual([
      expect.objectContaining({ issuer: one.name, keys: 1 }),
      expect.objectContaining({
        issuer: other.name,
        keys: 0,
        lastError: expect.stringContaining('ECONNREFUSED'),
      }),
    ]);

    await other.comeUp();
    await eventually(async () => statusFor(gateway, await other.signed()).then((status) => status === 200));
    await one.goDown();
    expect(await statusFor(gateway, await one.signed({ sub: 'bob' }))).toBe(200);
    expect(await statusFor(gateway, await other.signed({ sub: 'bob' }))).toBe(200);
    // Both call their key `first`: it is the issuer's name that chooses whose it is.
    await isRefused(gateway, 'bad-signature', async () =>
      ask(gateway, bearer(await other.signed({}, one.key))),
    );
  }, 60_000);
});

describe("Kthena's auth section with the keys in a file", () => {
  const kid = 'DHFbpoIUqrY8t2zpA2qXfCmr5VO5ZEr4RzHU_-envvQ';
  let folder: string;
  let file: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
    file = path.join(folder, 'jwks.json');
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** As Istio's sample has it: no `alg`, no `use`. */
  async function write(...keys: readonly SigningKey[]): Promise<void> {
    const members = keys.map(({ jwk }) => ({ e: jwk.e, kid: jwk.kid, kty: jwk.kty, n: jwk.n }));
    await writeFile(`${file}.new`, `${JSON.stringify({ keys: members }, undefined, 1)}\n`);
    await rename(`${file}.new`, file);
  }

  function signed(key: SigningKey, more: object = {}): Promise<string> {
    const claims = { iss: 'testing@secure.istio.io', sub: 'testing@secure.istio.io', exp: 4_685_989_700 };
    return sign(key, { ...claims, aud: 'kthena.io', iat: fromNow(0), foo: 'bar', ...more });
  }

  it('verifies tokens as the sample makes them, and follows the file', async () => {
    const first = await signingKey(kid, 'RS256');
    await write(first);
    const configFile = path.join(folder, 'routerConfiguration');
    await writeFile(
      configFile,
      `scheduler:
  pluginConfig:
  - name: least-request
    args:
      maxWaitingRequests: 10
  plugins:
    Filter:
      enabled:
        - least-request
    Score:
      enabled:
        - name: least-request
          weight: 1
auth:
  issuer: "testing@secure.istio.io"
  audiences: ["kthena.io"]
  jwksUri: "${pathToFileURL(file).href}"
`,
    );
    const gateway = stopLater(await startGateway({ engines: 1, configFile }));
    await untilReady(gateway);
    expect(await statusFor(gateway, await signed(first))).toBe(200);
    await isRefused(gateway, 'wrong-audience', async () =>
      ask(gateway, bearer(await signed(first, { aud: 'other.io' }))),
    );

    const second = await signingKey(`${kid}-2`, 'RS256');
    await write(first, second);
    expect(await statusFor(gateway, await signed(second))).toBe(200);
    expect(await statusFor(gateway, await signed(first, { sub: 'bob' }))).toBe(200);

    await rm(file);
    const third = await signingKey(`${kid}-3`, 'RS256');
    await expectKeysUnavailable(gateway, await ask(gateway, bearer(await signed(third))));
    expect(await providers(gateway)).toEqual([
      expect.objectContaining({ keys: 2, lastError: expect.stringContaining('ENOENT') }),
    ]);
    expect(await statusFor(gateway, await signed(second, { sub: 'cy' }))).toBe(200);
  }, 60_000);
});
