import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  createStaticDiscovery,
  parseBackends,
  resolveBySystem,
  type NameStatus,
  type ResolvedAddress,
  type StaticDiscovery,
} from '../../src/discovery/static.ts';
import type { EndpointTarget } from '../../src/endpoints/endpoint.ts';
import { createEndpointStore } from '../../src/endpoints/endpoint-store.ts';
import { FakeClock } from '../support/fake-clock.ts';

let clock: FakeClock;
let published: string[][];
let targets: readonly EndpointTarget[];
let changes: NameStatus[];
let asked: string[];
let answers: Map<string, readonly string[] | Error | 'hang' | Promise<readonly string[]>>;
let discovery: StaticDiscovery;

beforeEach(() => {
  clock = new FakeClock();
  published = [];
  changes = [];
  asked = [];
  answers = new Map();
});

afterEach(() => {
  discovery.stop();
  expect(clock.pending).toBe(0);
});

function resolve(name: string): Promise<readonly ResolvedAddress[]> {
  asked.push(name);
  const answer = answers.get(name) ?? noSuchName();
  if (answer === 'hang') return new Promise(() => undefined);
  if (answer instanceof Error) return Promise.reject(answer);
  return Promise.resolve(answer).then((addresses) =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
  );
}

/** Lets the resolver wait with its answer for a name until the result is called. */
function answerLater(name: string): (addresses: readonly string[]) => void {
  const { promise, resolve: answer } = Promise.withResolvers<readonly string[]>();
  answers.set(name, promise);
  return answer;
}

function noSuchName(): Error {
  return Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' });
}

async function start(urls: string, models?: string): Promise<void> {
  discovery = createStaticDiscovery({
    backends: parseBackends(urls, models),
    resolve,
    clock,
    random: () => 0,
    onTargets: (next) => {
      targets = next;
      published.push(next.map(({ id }) => id));
    },
    onNameChange: (status) => changes.push(status),
    dnsIntervalMs: 5000,
  });
  discovery.start();
  await pass(0);
}

async function pass(ms: number): Promise<void> {
  await clock.advanceAsync(Math.max(1, ms), Math.max(1, ms));
}

describe('createStaticDiscovery()', () => {
  it('publishes addresses at once, without a resolver', async () => {
    await start('http://10.0.0.1:8000,https://[fd00::1]', 'm,n');
    expect(asked).toEqual([]);
    expect(targets).toEqual([
      {
        id: '10.0.0.1:8000',
        address: '10.0.0.1',
        port: 8000,
        tls: false,
        hostname: undefined,
        configuredModels: ['m'],
      },
      {
        id: '[fd00::1]:443',
        address: 'fd00::1',
        port: 443,
        tls: true,
        hostname: undefined,
        configuredModels: ['n'],
      },
    ]);
  });

  it('makes an endpoint of every address of a name', async () => {
    answers.set('engines', ['10.0.0.2', '10.0.0.1']);
    await start('http://engines:8000', 'm');
    expect(published).toEqual([[], ['10.0.0.1:8000', '10.0.0.2:8000']]);
    expect(targets[0]).toMatchObject({ hostname: 'engines', configuredModels: ['m'] });
  });

  it('follows a name that changes, and is quiet about one that only rotates', async () => {
    answers.set('engines', ['10.0.0.1', '10.0.0.2']);
    await start('http://engines:8000');
    answers.set('engines', ['10.0.0.2', '10.0.0.1']);
    await pass(5000);
    answers.set('engines', ['10.0.0.2', '10.0.0.3']);
    await pass(5000);
    expect(asked).toHaveLength(3);
    expect(published.slice(1)).toEqual([
      ['10.0.0.1:8000', '10.0.0.2:8000'],
      ['10.0.0.2:8000', '10.0.0.3:8000'],
    ]);
    expect(changes).toEqual([]);
  });

  it('asks once for a name with several ports', async () => {
    answers.set('box', ['10.0.0.1']);
    await start('http://box:8000,http://box:8001', 'm,n');
    expect(asked).toEqual(['box']);
    expect(targets.map(({ id, configuredModels }) => [id, configuredModels[0]])).toEqual([
      ['10.0.0.1:8000', 'm'],
      ['10.0.0.1:8001', 'n'],
    ]);
  });

  it('keeps the last known addresses when resolving fails, and says so once', async () => {
    answers.set('engines', ['10.0.0.1']);
    await start('http://engines:8000');
    answers.set('engines', noSuchName());
    await pass(5000);
    await pass(250);
    await pass(500);
    expect(asked).toHaveLength(4);
    expect(published.at(-1)).toEqual(['10.0.0.1:8000']);
    const failing = {
      name: 'engines',
      addresses: ['10.0.0.1'],
      problem: 'Cannot resolve "engines": no such name',
    };
    expect(discovery.status()).toEqual([failing]);
    expect(changes).toEqual([failing]);
    answers.set('engines', ['10.0.0.1']);
    await pass(1000);
    expect(changes.at(-1)).toEqual({ ...failing, problem: undefined });
  });

  it('starts with names that cannot be resolved yet and asks again soon', async () => {
    await start('http://late:8000,http://10.0.0.9:8000');
    expect(published).toEqual([['10.0.0.9:8000']]);
    expect(discovery.status()).toMatchObject([
      { name: 'late', addresses: [], problem: 'Cannot resolve "late": no such name' },
    ]);
    answers.set('late', ['10.0.0.1']);
    await pass(250);
    expect(published.at(-1)).toEqual(['10.0.0.1:8000', '10.0.0.9:8000']);
  });

  it('takes an empty answer for a failure', async () => {
    answers.set('engines', []);
    await start('http://engines:8000');
    expect(discovery.status()).toMatchObject([{ problem: 'Cannot resolve "engines": it has no addresses' }]);
  });

  it('lets a resolver that hangs on one name delay no other, and asks it only once', async () => {
    answers.set('slow', 'hang').set('quick', ['10.0.0.1']);
    await start('http://slow:8000,http://quick:8000');
    await pass(5000);
    expect(published.at(-1)).toEqual(['10.0.0.1:8000']);
    expect(asked).toEqual(['slow', 'quick', 'quick']);
  });

  it('counts IPv4 addresses only where a name has both families', async () => {
    answers.set('both', ['::1', '127.0.0.1']).set('six', ['fd00::1']);
    await start('http://both:8000,http://six:8000');
    expect(published.at(-1)).toEqual(['127.0.0.1:8000', '[fd00::1]:8000']);
  });

  it('publishes nothing after stop(), not even of a question under way', async () => {
    answers.set('engines', ['10.0.0.1']);
    await start('http://engines:8000');
    const before = published.length;
    answers.set('engines', ['10.0.0.2']);
    clock.advance(5000);
    discovery.stop();
    await pass(0);
    expect(published).toHaveLength(before);
  });
});

describe('createStaticDiscovery() update()', () => {
  const failure = (name: string) => `Cannot resolve "${name}": no such name`;

  function update(urls: string, dnsIntervalMs = 5000, models?: string): void {
    discovery.update({ backends: parseBackends(urls, models), dnsIntervalMs });
  }

  it('keeps the addresses of names that stay, in one step with what is new', async () => {
    answers.set('kept', ['10.0.0.1', '10.0.0.2']).set('gone', ['10.0.0.3']).set('new', ['10.0.0.4']);
    await start('http://kept:8000,http://gone:8000,http://10.0.0.8:8000');
    published.length = 0;
    asked.length = 0;
    update('http://kept:8000,http://new:8000,http://10.0.0.9:8000');
    expect(published).toEqual([['10.0.0.1:8000', '10.0.0.2:8000', '10.0.0.9:8000']]);
    expect(asked).toEqual(['new']);
    await pass(0);
    expect(published.slice(1)).toEqual([
      ['10.0.0.1:8000', '10.0.0.2:8000', '10.0.0.4:8000', '10.0.0.9:8000'],
    ]);
    expect(discovery.status().map(({ name }) => name)).toEqual(['kept', 'new']);
    await pass(5000);
    expect(asked.toSorted()).toEqual(['kept', 'new', 'new']);
  });

  it('keeps endpoints that stay in the store', async () => {
    answers.set('kept', ['10.0.0.1']).set('new', ['10.0.0.4']);
    const store = createEndpointStore({ clock });
    const removed: string[] = [];
    store.subscribe((_snapshot, change) => removed.push(...change.removed.map(({ id }) => id)));
    discovery = createStaticDiscovery({
      backends: parseBackends('http://kept:8000,http://10.0.0.8:8000', undefined),
      resolve,
      clock,
      random: () => 0,
      onTargets: (next) => store.setTargets(next),
    });
    discovery.start();
    await pass(0);
    const before = store.snapshot.endpoints;
    update('http://new:8000,http://10.0.0.8:8000,http://kept:8000', 9000, 'm,n,o');
    await pass(0);
    expect(removed).toEqual([]);
    expect(store.snapshot.endpoints.map(({ id }) => id).toSorted()).toEqual([
      '10.0.0.1:8000',
      '10.0.0.4:8000',
      '10.0.0.8:8000',
    ]);
    expect(before.every((endpoint) => store.snapshot.endpoints.includes(endpoint))).toBe(true);
    expect(before.map(({ configuredModels }) => configuredModels)).toEqual([['n'], ['o']]);
  });

  it('keeps a problem, and says nothing of it again', async () => {
    answers.set('engines', ['10.0.0.1']);
    await start('http://engines:8000');
    answers.set('engines', noSuchName());
    await pass(5000);
    changes.length = 0;
    update('http://engines:8000,http://engines:8001');
    const status = { name: 'engines', addresses: ['10.0.0.1'], problem: failure('engines') };
    expect(discovery.status()).toEqual([status]);
    expect(published.at(-1)).toEqual(['10.0.0.1:8000', '10.0.0.1:8001']);
    await pass(250);
    expect(changes).toEqual([]);
    answers.set('engines', ['10.0.0.1']);
    await pass(500);
    expect(changes).toEqual([{ ...status, problem: undefined }]);
  });

  it('forgets names that went, with their timers and questions under way', async () => {
    answers.set('quick', ['10.0.0.1']).set('failing', noSuchName());
    const answerSlow = answerLater('slow');
    await start('http://quick:8000,http://failing:8000,http://slow:8000');
    await pass(5000);
    changes.length = 0;
    update('http://10.0.0.9:8000');
    expect(discovery.status()).toEqual([]);
    expect(clock.pending).toBe(0);
    const before = [asked.length, published.length];
    answerSlow(['10.0.0.5']);
    await pass(60_000);
    expect([asked.length, published.length]).toEqual(before);
    expect(published.at(-1)).toEqual(['10.0.0.9:8000']);
    expect(changes).toEqual([]);
  });

  it('begins anew with a name that comes back, whatever was asked before', async () => {
    const answerFirst = answerLater('engines');
    await start('http://engines:8000');
    update('http://10.0.0.9:8000');
    answers.set('engines', ['10.0.0.2']);
    update('http://engines:8000');
    await pass(0);
    answerFirst(['10.0.0.1']);
    await pass(0);
    expect(published.at(-1)).toEqual(['10.0.0.2:8000']);
    expect(asked).toEqual(['engines', 'engines']);
  });

  it('with the same options does nothing', async () => {
    answers.set('engines', ['10.0.0.1']);
    await start('http://engines:8000,http://10.0.0.9:8000', 'm,n');
    const before = [asked.length, published.length, clock.pending];
    update('http://engines:8000,http://10.0.0.9:8000', 5000, 'm,n');
    await pass(4000);
    expect([asked.length, published.length, clock.pending]).toEqual(before);
    await pass(1000);
    expect(asked).toEqual(['engines', 'engines']);
  });

  const intervals: [string, number, number, number, number][] = [
    ['a shorter interval, from the last answer on', 3_600_000, 10_000, 60_000, 60_000],
    ['a shorter interval that is over already, at once', 3_600_000, 100_000, 60_000, 100_000],
    ['a longer interval, from the last answer on', 60_000, 10_000, 3_600_000, 3_600_000],
  ];
  it.each(intervals)('follows %s', async (_, beforeMs, ageMs, afterMs, askedAtAgeMs) => {
    answers.set('engines', ['10.0.0.1']);
    await start('http://engines:8000');
    update('http://engines:8000', beforeMs);
    await pass(beforeMs);
    expect(asked).toHaveLength(2);
    await pass(ageMs);
    update('http://engines:8000', afterMs);
    // The clock stands at the age, give or take the millisecond that each pass takes at least.
    if (askedAtAgeMs - ageMs > 2) await pass(askedAtAgeMs - ageMs - 2);
    const early = asked.length;
    await pass(2);
    expect([early, asked.length]).toEqual([2, 3]);
    expect(published).toHaveLength(2);
  });

  it('asks for a failing name no later than before, and no later than the new interval', async () => {
    await start('http://late:8000');
    for (const ms of [250, 500, 1000, 2000]) await pass(ms);
    expect(asked).toHaveLength(5);
    update('http://late:8000', 3_600_000);
    await pass(4000);
    expect(asked).toHaveLength(6);
    update('http://late:8000', 100);
    await pass(100);
    expect(asked).toHaveLength(7);
    for (let i = 0; i < 5; i++) await pass(100);
    expect(asked).toHaveLength(12);
  });

  it('uses the new interval after a question under way', async () => {
    const answer = answerLater('engines');
    await start('http://engines:8000');
    update('http://engines:8000', 100);
    answer(['10.0.0.1']);
    await pass(0);
    answers.set('engines', ['10.0.0.2']);
    await pass(100);
    expect(published.at(-1)).toEqual(['10.0.0.2:8000']);
  });

  it('may be called from within what it reports', async () => {
    answers.set('engines', ['10.0.0.1']);
    discovery = createStaticDiscovery({
      backends: parseBackends('http://engines:8000', undefined),
      resolve,
      clock,
      random: () => 0,
      onTargets: (next) => {
        published.push(next.map(({ id }) => id));
        if (next.length > 0) update('http://10.0.0.9:8000');
      },
    });
    discovery.start();
    await pass(0);
    expect(published).toEqual([[], ['10.0.0.1:8000'], ['10.0.0.9:8000']]);
    expect(clock.pending).toBe(0);
  });

  it('before start() is what start() uses, and after stop() asks for nothing', async () => {
    answers.set('engines', ['10.0.0.1']);
    discovery = createStaticDiscovery({
      backends: parseBackends('http://other:8000', undefined),
      resolve,
      clock,
      random: () => 0,
      onTargets: (next) => published.push(next.map(({ id }) => id)),
    });
    update('http://engines:8000', 1000);
    expect([published, asked]).toEqual([[], []]);
    discovery.start();
    await pass(0);
    await pass(1000);
    expect([published, asked]).toEqual([
      [[], ['10.0.0.1:8000']],
      ['engines', 'engines'],
    ]);
    discovery.stop();
    update('http://more:8000', 10);
    await pass(1000);
    expect(asked).toEqual(['engines', 'engines']);
    expect(clock.pending).toBe(0);
  });
});

describe('resolveBySystem()', () => {
  it('knows the hosts file', async () => {
    await start('http://10.0.0.1');
    const addresses = (await resolveBySystem('localhost')).map(({ address }) => address);
    expect(['127.0.0.1', '::1']).toEqual(expect.arrayContaining(addresses));
  });
});
