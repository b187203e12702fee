import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Agent } from 'node:http';
import { profileSchema } from '../../src/engine-sim/profile.ts';
import { startSimulatedEngine, type SimulatedEngine } from '../../src/engine-sim/server.ts';
import { eventually } from '../support/eventually.ts';
import {
  ledger,
  leftOver,
  limits,
  nothingLeft,
  untilWaiting,
  type LedgerView,
  type LimitView,
} from '../support/fairness-pages.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import type { Reply } from '../support/http-client.ts';
import { sample } from '../support/pages.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';
import { begin, startClients, turns, userOf, usersByHeader, type Question } from '../support/users.ts';

const password = 'not-to-be-seen';

/** Amounts are by month, so that hardly anything comes back while a test runs. */
const rules = `
    - { name: requests, requests: 10, per: month, models: [counted] }
    - { name: tokens, outputTokens: 1000, per: month, models: [metered] }
    - { name: at-once, concurrentRequests: 1, models: [single] }
    - { name: plenty, requests: 1000000, concurrentRequests: 1000, per: month, models: [m] }`;

/** Answers that may end by themselves have five tokens. */
const profile = profileSchema.parse({ outputTokensMedian: 5, outputTokensSigma: 0 });

const models = ['counted', 'metered', 'single'];

let redis: RedisServer;
let engines: SimulatedEngine[];
let gateways: Gateway[];
let one: Gateway;
let other: Gateway;

beforeAll(async () => {
  redis = await startRedis({ password });
  engines = await Promise.all(
    [0, 1].map((seed) =>
      startSimulatedEngine({
        model: 'm',
        adapters: models,
        seed,
        profile,
        speed: 20,
        requestLogSize: 10_000,
      }),
    ),
  );
  const config = `
${usersByHeader}
fairness: { enabled: true, policy: window, maxConcurrent: 1 }
limits:
  store: ${redis.url}
  rules: ${rules}
`;
  gateways = await Promise.all(
    [0, 1].map(() => startGateway({ backends: engines.map(({ url }) => url), config })),
  );
  [one, other] = gateways as [Gateway, Gateway];
}, 60_000);

afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()));
  await Promise.all(engines.map((engine) => engine.stop()));
  await redis.stop();
});

afterEach(async () => {
  redis.resume();
  for (const engine of engines) engine.setFault({ mode: 'none' });
  for (const gateway of gateways) {
    expect(await leftOver(gateway)).toEqual(nothingLeft);
    expect(gateway.lines.filter(({ level }) => level === 'error')).toEqual([]);
    expect(JSON.stringify(gateway.lines)).not.toContain(password);
  }
});

/** Whether both have Redis, as they say themselves. */
async function untilShared(shared: boolean): Promise<void> {
  for (const gateway of gateways)
    await eventually(async () => (await sample(gateway, 'sluice_redis_up')) === (shared ? 1 : 0));
}

function body(model: string, tokens = 2, more: object = {}): Question {
  const messages = [{ role: 'user', content: 'Hello' }];
  return { body: JSON.stringify({ model, messages, max_tokens: tokens, ignore_eos: true, ...more }) };
}

function ask(gateway: Gateway, user: string, question: Question): Promise<Reply> {
  return begin(gateway, user, question).reply;
}

async function bucket(gateway: Gateway, limit: string, user: string): Promise<LimitView | undefined> {
  return (await limits(gateway)).find((each) => each.limit === limit && each.owner.endsWith(`:${user}`));
}

async function used(gateway: Gateway, user: string): Promise<LedgerView | undefined> {
  return (await ledger(gateway)).find(({ principal }) => principal.endsWith(`:${user}`));
}

describe('two gateways with one Redis', () => {
  it('let through together what a limit says', async () => {
    await untilShared(true);
    const statuses: number[] = [];
    for (let i = 0; i < 14; i++) statuses.push((await ask(gateways[i % 2]!, 'ann', body('counted'))).status);
    expect(statuses).toEqual([...Array<number>(10).fill(200), 429, 429, 429, 429]);
    const refused = await ask(one, 'ann', body('counted'));
    expect(refused.json).toMatchObject({
      error: { message: expect.stringContaining('"requests" of 10 requests') },
    });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(200_000);
    expect((await ask(other, 'bob', body('counted'))).headers['x-ratelimit-remaining-requests']).toBe('9');
  });

  it('let no more through together where requests come at once', async () => {
    const replies = await Promise.all(
      Array.from({ length: 40 }, (_, i) => ask(gateways[i % 2]!, 'crowd', body('counted'))),
    );
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(10);
    expect(replies.filter(({ status }) => status === 429)).toHaveLength(30);
  });

  it('give back together what was set aside and not used', async () => {
    const left = (reply: Reply): unknown => reply.headers['x-ratelimit-remaining-tokens'];
    const brief = body('metered', 600, { ignore_eos: false });
    const first = await ask(one, 'cid', brief);
    expect(first.json['usage']).toMatchObject({ completion_tokens: 5 });
    expect(left(first)).toBe('400');
    await eventually(
      async () => Math.floor((await bucket(one, 'tokens', 'cid'))?.outputTokens?.left ?? 0) === 995,
    );
    expect(left(await ask(other, 'cid', brief))).toBe('395');
  });

  it('count requests at once together, and free places of each other', async () => {
    for (const engine of engines) engine.setFault({ mode: 'hang' });
    const runs = begin(one, 'dot', body('single'));
    await eventually(async () => (await bucket(one, 'at-once', 'dot'))?.running === 1);
    await eventually(() => engines.some((engine) => engine.stats().running + engine.stats().waiting > 0));
    const refused = await ask(other, 'dot', body('single'));
    expect(refused.json).toMatchObject({
      error: { message: expect.stringContaining('of 1 concurrent request') },
    });
    runs.outgoing.destroy();
    for (const engine of engines) engine.setFault({ mode: 'none' });
    await eventually(async () => (await ask(other, 'dot', body('single'))).status === 200);
  });

  it('never refuse who asks one of them one after another', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 100; i++)
      expect((await ask(one, 'eve', { ...body('single', 2, { stream: i % 2 === 0 }), agent })).status).toBe(
        200,
      );
    agent.destroy();
  }, 30_000);

  it('know of each other’s tokens, and give turns by them', async () => {
    for (let i = 0; i < 5; i++) expect((await ask(one, 'greedy', body('m', 100))).status).toBe(200);
    await eventually(async () => (await used(other, 'greedy'))?.outputTokens === 500);
    expect(await used(other, 'greedy')).toMatchObject({ requests: 5, reserved: { requests: 0 } });

    for (const engine of engines) engine.setFault({ mode: 'hang' });
    const first = begin(other, 'first', body('m'));
    await eventually(() => turns({ engines }).includes(first.id));
    const greedy = Array.from({ length: 4 }, () => begin(other, 'greedy', body('m')));
    await untilWaiting(other, 4);
    const modest = Array.from({ length: 4 }, () => begin(other, 'modest', body('m')));
    await untilWaiting(other, 8);
    for (const engine of engines) engine.setFault({ mode: 'none' });
    for (const { reply } of [first, ...greedy, ...modest]) expect((await reply).status).toBe(200);
    const order = turns({ engines }).slice(turns({ engines }).indexOf(first.id) + 1);
    expect(order.map(userOf)).toEqual([
      ...Array<string>(4).fill('modest'),
      ...Array<string>(4).fill('greedy'),
    ]);
  });
});

describe('a Redis that goes away', () => {
  it('under load costs no request, is told of, and is used again when it is back', async () => {
    const load = gateways.flatMap((gateway) =>
      ['fay', 'gus'].map((user) => startClients(() => begin(gateway, user, body('m', 5)), 4)),
    );
    const served = (): number => load.reduce((sum, clients) => sum + clients.served, 0);
    const more = async (count: number): Promise<void> => {
      const before = served();
      await eventually(() => served() >= before + count);
    };
    await untilShared(true);
    await more(40);

    await redis.stop();
    await untilShared(false);
    await more(100);
    for (const gateway of gateways) {
      const address = `redis://127.0.0.1:${redis.port}`;
      expect(await gateway.admin('/health')).toMatchObject({
        status: 'healthy',
        limits: { address, up: false, problem: expect.stringMatching(/./) },
      });
      expect(await gateway.admin('/readyz')).toEqual({
        status: 'ready',
        degraded: [expect.stringContaining(address)],
      });
      await gateway.line(({ msg }) => msg.startsWith(`Cannot reach Redis at ${address}: `));
    }

    await redis.start();
    await untilShared(true);
    await more(40);
    for (const gateway of gateways)
      expect(await gateway.admin('/health')).toMatchObject({ limits: { up: true } });

    // Answers nothing, but takes what it is sent.
    redis.pause();
    await untilShared(false);
    await more(100);
    redis.resume();
    await untilShared(true);
    await more(40);

    await Promise.all(load.map((clients) => clients.finish()));
    expect(load.flatMap(({ refused }) => refused)).toEqual([]);
    // What was used meanwhile has reached both ledgers, once.
    for (const user of ['fay', 'gus']) {
      const here = load.filter((_, i) => (i % 2 === 0) === (user === 'fay'));
      const requests = here.reduce((sum, clients) => sum + clients.served, 0);
      for (const gateway of gateways) {
        await eventually(async () => (await used(gateway, user))?.requests === requests);
        expect(await used(gateway, user)).toMatchObject({ outputTokens: 5 * requests });
      }
    }
  }, 30_000);

  interface Way {
    readonly user: string;
    readonly goAway: () => unknown;
    readonly comeBack: () => unknown;
    /** How many of ten requests may be left for afterwards. */
    readonly mostLeft: number;
  }
  const ways: readonly (readonly [string, Way])[] = [
    [
      'answers again is told all that was used without it',
      {
        user: 'hal',
        goAway: () => redis.pause(),
        comeBack: () => redis.resume(),
        mostLeft: 3,
      },
    ],
    [
      'begins anew is told what they know, and all that was used without it',
      {
        user: 'ian',
        goAway: () => redis.stop(),
        comeBack: () => redis.start(),
        // The first one never heard of the last two requests before the end: where it tells first, they are forgotten.
        mostLeft: 5,
      },
    ],
  ];
  it.each(ways)(
    'leaves each with what it knew last, and when it %s',
    async (_, { user, goAway, comeBack, mostLeft }) => {
      const question = body('counted');
      await untilShared(true);
      for (const gateway of gateways)
        for (let i = 0; i < 2; i++) expect((await ask(gateway, user, question)).status).toBe(200);
      await goAway();
      await untilShared(false);
      expect((await ask(one, user, question)).headers['x-ratelimit-remaining-requests']).toBe('7');
      expect((await ask(one, user, question)).headers['x-ratelimit-remaining-requests']).toBe('6');
      expect((await ask(other, user, question)).headers['x-ratelimit-remaining-requests']).toBe('5');
      await comeBack();
      await untilShared(true);
      const statuses: number[] = [];
      for (let i = 0; i < 8; i++) statuses.push((await ask(gateways[i % 2]!, user, question)).status);
      const served = statuses.indexOf(429);
      expect(served).toBeGreaterThanOrEqual(3);
      expect(served).toBeLessThanOrEqual(mostLeft);
      expect(statuses.slice(served)).toEqual(Array(8 - served).fill(429));
    },
  );
});
