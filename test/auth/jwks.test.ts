import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { asymmetricAlgorithms } from '../../src/auth/algorithms.ts';
import { httpGet } from '../../src/auth/http-get.ts';
import { createJwksSource, type JwksSource } from '../../src/auth/jwks-source.ts';
import { createJwks, type Jwks, type JwksEvent, type JwksOptions } from '../../src/auth/jwks.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';
import { FakeJwksSource } from './support/fake-jwks-source.ts';
import { JwksServer } from './support/jwks-server.ts';
import { signingKey, type SigningKey } from './support/tokens.ts';

let a: SigningKey;
let b: SigningKey;
beforeAll(async () => {
  [a, b] = await Promise.all([signingKey('a'), signingKey('b')]);
});

let clock: FakeClock;
let source: FakeJwksSource;
let jwks: Jwks;
let events: JwksEvent[];

const options: JwksOptions = {
  algorithms: asymmetricAlgorithms,
  refreshIntervalMs: 600_000,
  fetchTimeoutMs: 5000,
  refetchCooldownMs: 10_000,
  maxOutageMs: 3_600_000,
};

/** `random` is 0, so that pauses are exact. */
function create(from: JwksSource, more: Partial<JwksOptions> = {}): Jwks {
  jwks = createJwks(
    { source: from, clock, random: () => 0, onEvent: (event) => events.push(event) },
    { ...options, ...more },
  );
  return jwks;
}

beforeEach(() => {
  clock = new FakeClock();
  source = new FakeJwksSource();
  events = [];
  create(source);
});

afterEach(() => {
  jwks.stop();
  expect(clock.pending).toBe(0);
});

const kids = () => ['a', 'b'].filter((kid) => jwks.keys?.candidates('ES256', kid).length === 1);

/** Starts, and answers the first fetch with key a. */
async function started(more?: Partial<JwksOptions>): Promise<void> {
  if (more !== undefined) create(source, more);
  const first = jwks.start();
  await source.last.keys([a]);
  await first;
}

describe('start()', () => {
  it('fetches at once, and has no keys before', async () => {
    const first = jwks.start();
    expect(source.fetches).toHaveLength(1);
    expect(jwks.keys).toBeUndefined();
    expect(jwks.status()).toEqual({
      source: 'fake',
      everFetched: false,
      keys: 0,
      ignored: [],
      lastSuccessEpochMs: undefined,
      lastError: undefined,
    });
    clock.advance(100);
    await source.last.keys([a]);
    await first;
    expect(kids()).toEqual(['a']);
    expect(jwks.status()).toMatchObject({
      everFetched: true,
      keys: 1,
      lastSuccessEpochMs: 1_700_000_000_100,
      lastError: undefined,
    });
    expect(events).toEqual([{ kind: 'fetched', changed: true, keys: 1 }]);
  });

  it('resolves when the first attempt failed too, and tries again with growing pauses', async () => {
    const first = jwks.start();
    await source.last.fail('no route');
    await first;
    expect(jwks.status()).toMatchObject({ everFetched: false, lastError: 'no route' });
    expect(events).toEqual([{ kind: 'failed', error: 'no route' }]);
    for (const pauseMs of [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
      const before = source.fetches.length;
      clock.advance(pauseMs - 1);
      expect(source.fetches).toHaveLength(before);
      clock.advance(1);
      expect(source.fetches).toHaveLength(before + 1);
      await source.last.fail('no route');
    }
    clock.advance(30_000);
    await source.last.keys([a]);
    expect(kids()).toEqual(['a']);
    expect(jwks.status().lastError).toBeUndefined();
  });

  it('gives up a fetch that takes too long; its answer changes nothing any more', async () => {
    const first = jwks.start();
    const slow = source.last;
    clock.advance(5000);
    await first;
    expect(slow.options.signal.aborted).toBe(true);
    expect(jwks.status().lastError).toBe('no answer within 5000 ms');
    clock.advance(500);
    await source.last.keys([b]);
    await slow.keys([a]);
    expect(kids()).toEqual(['b']);
  });

  it('does nothing when it runs already', async () => {
    await started();
    await jwks.start();
    expect(source.fetches).toHaveLength(1);
  });
});

describe('stop()', () => {
  it('ends a fetch, whose answer changes nothing any more', async () => {
    const first = jwks.start();
    jwks.stop();
    await first;
    expect(source.last.options.signal.aborted).toBe(true);
    await source.last.keys([a]);
    expect(jwks.keys).toBeUndefined();
    expect(events).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it('ends a search', async () => {
    await started();
    const search = jwks.search(jwks.keys!, 'b');
    jwks.stop();
    expect(await search).toEqual({ kind: 'unknown' });
    expect(await jwks.search(jwks.keys!, 'c')).toEqual({ kind: 'unknown' });
  });
});

describe('refresh', () => {
  it.each<[string, number | undefined, number]>([
    ['the configured interval where the answer says nothing', undefined, 600_000],
    ['the same where the answer is stale at once', 0, 600_000],
    ['what the answer says', 120_000, 120_000],
    ['no sooner than ten seconds', 1000, 10_000],
    ['no later than a day', 1e10, 86_400_000],
  ])('comes after %s', async (_what, maxAgeMs, pauseMs) => {
    void jwks.start();
    await source.last.keys([a], maxAgeMs);
    clock.advance(pauseMs - 1);
    expect(source.fetches).toHaveLength(1);
    clock.advance(1);
    expect(source.fetches).toHaveLength(2);
    expect(source.last.options.uncached).toBe(false);
  });

  it('comes up to a tenth sooner, so that replicas fall out of step', async () => {
    jwks = createJwks({ source, clock, random: () => 0.5 }, options);
    await started();
    clock.advance(569_999);
    expect(source.fetches).toHaveLength(1);
    clock.advance(1);
    expect(source.fetches).toHaveLength(2);
  });

  it('replaces the keys, and keeps the set where nothing changed', async () => {
    await started();
    const before = jwks.keys;
    clock.advance(600_000);
    await source.last.keys([a]);
    expect(jwks.keys).toBe(before);
    clock.advance(600_000);
    await source.last.keys([b]);
    expect(kids()).toEqual(['b']);
    expect(events.slice(1)).toEqual([
      { kind: 'fetched', changed: false, keys: 1 },
      { kind: 'fetched', changed: true, keys: 1 },
    ]);
  });

  it.each<[string, unknown, string]>([
    ['is no JWKS', { error: 'down for maintenance' }, 'it is no JWKS: it has no list of "keys"'],
    ['has no key', { keys: [] }, 'it has no key of use'],
  ])('keeps the keys where the answer %s', async (_what, document, error) => {
    await started();
    clock.advance(600_000);
    await source.last.document(document);
    expect(kids()).toEqual(['a']);
    expect(jwks.status()).toMatchObject({ keys: 1, lastError: error });
    clock.advance(500);
    expect(source.fetches).toHaveLength(3);
  });
});

describe('outage', () => {
  /** Fails every fetch for this long. */
  async function outage(forMs: number): Promise<void> {
    for (let passedMs = 0; passedMs < forMs; passedMs += 500) {
      clock.advance(500);
      await source.last.fail('down');
    }
  }

  /** Answers the next fetch. */
  async function recovery(...keys: SigningKey[]): Promise<void> {
    const before = source.fetches.length;
    while (source.fetches.length === before) clock.advance(500);
    await source.last.keys(keys);
  }

  it('keeps the last good keys, and begins when the first fetch fails', async () => {
    await started({ maxOutageMs: 60_000 });
    clock.advance(600_000);
    await source.last.fail('down');
    await outage(59_000);
    expect(kids()).toEqual(['a']);
    await outage(31_000);
    expect(jwks.keys).toBeUndefined();
    expect(jwks.status()).toMatchObject({ everFetched: true, keys: 0, lastError: 'down' });
    expect(events.filter(({ kind }) => kind === 'dropped')).toHaveLength(1);
  });

  it('is over with the first success', async () => {
    await started({ maxOutageMs: 60_000 });
    clock.advance(600_000);
    await source.last.fail('down');
    await outage(50_000);
    await recovery(a);
    clock.advance(600_000);
    await source.last.fail('down');
    await outage(50_000);
    expect(kids()).toEqual(['a']);
  });

  it('ends in new keys, when these come after the old ones were dropped', async () => {
    await started({ maxOutageMs: 1000 });
    clock.advance(600_000);
    await source.last.fail('down');
    await outage(10_000);
    expect(jwks.keys).toBeUndefined();
    await recovery(b);
    expect(kids()).toEqual(['b']);
  });
});

describe('search()', () => {
  it('asks the issuer past caches, and gives the newer set', async () => {
    await started();
    const search = jwks.search(jwks.keys!, 'b');
    expect(source.fetches).toHaveLength(2);
    expect(source.last.options.uncached).toBe(true);
    await source.last.keys([a, b]);
    expect(await search).toEqual({ kind: 'newer', keys: jwks.keys });
    expect(kids()).toEqual(['a', 'b']);
  });

  it('does not ask where there is a newer set already', async () => {
    await started();
    const seen = jwks.keys!;
    clock.advance(600_000);
    await source.last.keys([b]);
    expect(await jwks.search(seen, 'b')).toEqual({ kind: 'newer', keys: jwks.keys });
    expect(source.fetches).toHaveLength(2);
  });

  it('is absent where the issuer does not have it, and at once within the cooldown', async () => {
    await started();
    const seen = jwks.keys!;
    const search = jwks.search(seen, 'b');
    await source.last.keys([a]);
    expect(await search).toEqual({ kind: 'absent' });
    clock.advance(9999);
    expect(await jwks.search(seen, 'b')).toEqual({ kind: 'absent' });
    expect(source.fetches).toHaveLength(2);
    clock.advance(1);
    void jwks.search(seen, 'b');
    expect(source.fetches).toHaveLength(3);
  });

  it('shares one fetch among all that wait for a key, and runs one fetch at a time', async () => {
    await started();
    const seen = jwks.keys!;
    const searches = ['b', 'b', 'c', 'c'].map((missed) => jwks.search(seen, missed));
    expect(source.fetches).toHaveLength(2);
    await source.last.keys([a]);
    expect(await Promise.all(searches.slice(0, 2))).toEqual([{ kind: 'absent' }, { kind: 'absent' }]);
    // For c only a fetch counts that began after it was missed.
    expect(source.fetches).toHaveLength(3);
    await source.last.keys([a]);
    expect(await Promise.all(searches)).toEqual(Array(4).fill({ kind: 'absent' }));
    expect(source.fetches).toHaveLength(3);
  });

  it('finds a key that was made in the moment after a refresh', async () => {
    await started();
    clock.advance(600_000);
    await source.last.keys([a]);
    const search = jwks.search(jwks.keys!, 'b');
    expect(source.fetches).toHaveLength(3);
    await source.last.keys([a, b]);
    expect(await search).toMatchObject({ kind: 'newer' });
  });

  it('finds a key that was made in the moment after the search for another', async () => {
    await started();
    const made = jwks.search(jwks.keys!, 'made up');
    await source.last.keys([a]);
    await made;
    const search = jwks.search(jwks.keys!, 'b');
    await source.last.keys([a, b]);
    expect(await search).toMatchObject({ kind: 'newer' });
  });

  it('asks again after a fetch that had begun before, since that may be older than the key', async () => {
    await started();
    clock.advance(600_000);
    const searches = [jwks.search(jwks.keys!, 'b'), jwks.search(jwks.keys!, 'b')];
    expect(source.fetches).toHaveLength(2);
    await source.last.keys([a]);
    expect(source.fetches).toHaveLength(3);
    await source.last.keys([a, b]);
    expect(await Promise.all(searches)).toEqual(Array(2).fill({ kind: 'newer', keys: jwks.keys }));
    expect(source.fetches).toHaveLength(3);
  });

  it('is content with a fetch that had begun before and brings another set', async () => {
    await started();
    clock.advance(600_000);
    const search = jwks.search(jwks.keys!, 'b');
    await source.last.keys([a, b]);
    expect(await search).toMatchObject({ kind: 'newer' });
    expect(source.fetches).toHaveLength(2);
  });

  it('is unknown where the issuer cannot be asked, within the cooldown too', async () => {
    await started();
    const seen = jwks.keys!;
    const search = jwks.search(seen, 'b');
    await source.last.fail('down');
    expect(await search).toEqual({ kind: 'unknown' });
    expect(await jwks.search(seen, 'b')).toEqual({ kind: 'unknown' });
    expect(source.fetches).toHaveLength(2);
    // The retry, which comes by itself, brings certainty.
    clock.advance(500);
    await source.last.keys([a]);
    expect(await jwks.search(seen, 'b')).toEqual({ kind: 'absent' });
    expect(source.fetches).toHaveLength(3);
  });

  it('does not wait for an issuer longer than a fetch may take', async () => {
    await started();
    const search = jwks.search(jwks.keys!, 'b');
    clock.advance(5000);
    expect(await search).toEqual({ kind: 'unknown' });
  });

  it('is unknown, never absent, where too many names were made up for all to be asked for', async () => {
    await started();
    const seen = jwks.keys!;
    for (const name of ['x', 'y', 'z']) {
      const search = jwks.search(seen, name);
      await source.last.keys([a]);
      expect(await search).toEqual({ kind: 'absent' });
    }
    expect(await jwks.search(seen, 'b')).toEqual({ kind: 'unknown' });
    expect(source.fetches).toHaveLength(4);
    clock.advance(10_000);
    const search = jwks.search(seen, 'b');
    await source.last.keys([a, b]);
    expect(await search).toMatchObject({ kind: 'newer' });
  });

  it('puts the next refresh off', async () => {
    await started();
    clock.advance(599_000);
    const search = jwks.search(jwks.keys!, 'b');
    await source.last.keys([a]);
    await search;
    clock.advance(599_999);
    expect(source.fetches).toHaveLength(2);
    clock.advance(1);
    expect(source.fetches).toHaveLength(3);
  });
});

describe('keys at hand', () => {
  it('are never fetched again, and what they lack is absent', async () => {
    create(createJwksSource({ kind: 'inline', jwks: { keys: [a.jwk] } }, httpGet));
    await jwks.start();
    expect(kids()).toEqual(['a']);
    expect(clock.pending).toBe(0);
    expect(await jwks.search(jwks.keys!, 'b')).toEqual({ kind: 'absent' });
    expect(events).toHaveLength(1);
  });
});

describe('a real server', () => {
  let server: JwksServer | undefined;
  afterEach(async () => {
    await server?.stop();
    server = undefined;
  });

  it('that comes up later is found, and one that goes down is missed by nobody', async () => {
    const port = await freePort();
    create(createJwksSource({ kind: 'uri', uri: `http://127.0.0.1:${port}/jwks.json` }, httpGet));
    await jwks.start();
    expect(jwks.status().lastError).toContain('ECONNREFUSED');
    server = await JwksServer.start(port);
    server.serve([a]);
    clock.advance(500);
    await until(() => events.length === 2);
    expect(kids()).toEqual(['a']);
    await server.stop();
    server = undefined;
    clock.advance(600_000);
    await until(() => events.length === 3);
    expect(kids()).toEqual(['a']);
    expect(jwks.status().lastError).toContain('ECONNREFUSED');
  });

  it.each(['hang', 'hang-in-body'] as const)('that does not answer is given up: %s', async (reply) => {
    server = await JwksServer.start();
    server.reply = reply;
    create(createJwksSource({ kind: 'uri', uri: server.url }, httpGet));
    const first = jwks.start();
    await until(() => server?.seen.length === 1);
    clock.advance(5000);
    await first;
    expect(jwks.status().lastError).toBe('no answer within 5000 ms');
    await until(() => server?.connections === 0);
  });

  it.each([
    ['garbage', { body: 'garbage' }, 'it is not JSON'],
    ['a redirect', { status: 301, headers: { location: '/jwks.json' }, body: '' }, 'a redirect'],
    ['two megabytes', { body: Buffer.alloc(2 * 1024 * 1024, '1') }, 'larger than 1048576 bytes'],
  ])('that answers with %s leaves the keys as they are', async (_what, reply, message) => {
    server = await JwksServer.start();
    server.serve([a]);
    create(createJwksSource({ kind: 'uri', uri: server.url }, httpGet));
    await jwks.start();
    server.reply = reply;
    clock.advance(600_000);
    await until(() => events.length === 2);
    expect(events[1]).toEqual({ kind: 'failed', error: expect.stringContaining(message) });
    expect(kids()).toEqual(['a']);
  });

  it('is asked again when its answer says so', async () => {
    server = await JwksServer.start();
    server.serve([a], { 'cache-control': 'max-age=60' });
    create(createJwksSource({ kind: 'uri', uri: server.url }, httpGet));
    await jwks.start();
    server.serve([b]);
    clock.advance(60_000);
    await until(() => events.length === 2);
    expect(kids()).toEqual(['b']);
  });
});
