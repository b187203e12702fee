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
import { FakeClock } from '../support/fake-clock.ts';

let clock: FakeClock;
let published: string[][];
let targets: readonly EndpointTarget[];
let changes: NameStatus[];
let asked: string[];
let answers: Map<string, readonly string[] | Error | 'hang'>;
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
  return Promise.resolve(answer.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })));
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

describe('resolveBySystem()', () => {
  it('knows the hosts file', async () => {
    await start('http://10.0.0.1');
    const addresses = (await resolveBySystem('localhost')).map(({ address }) => address);
    expect(['127.0.0.1', '::1']).toEqual(expect.arrayContaining(addresses));
  });
});
