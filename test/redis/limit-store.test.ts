import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Caller } from '../../src/fairness/caller.ts';
import type { LimitRule } from '../../src/fairness/limit-rule.ts';
import { createLocalLimitStore } from '../../src/fairness/limit-store.ts';
import {
  createTokenLimits,
  type ExpectedTokens,
  type LimitHold,
  type LimitResult,
  type TokenLimits,
} from '../../src/fairness/token-limits.ts';
import { createRedisConnection, type RedisChange, type RedisConnection } from '../../src/redis/connection.ts';
import { createRedisLimitStore, type RedisLimitStore } from '../../src/redis/limit-store.ts';
import { eventually } from '../support/eventually.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';

const ann: Caller = { id: 'ann', subject: 'ann', groups: ['staff'], tier: undefined };
const day = 86_400_000;
/** Long beside what a real Redis needs while a test lets it pass in steps. */
const commandTimeoutMs = 1000;

interface Replica {
  /** Time of this process; that of Redis is real. */
  readonly clock: FakeClock;
  readonly connection: RedisConnection;
  readonly store: RedisLimitStore;
  readonly limits: TokenLimits;
  readonly changes: readonly RedisChange['kind'][];
  readonly take: (cost?: Partial<ExpectedTokens>, model?: string) => Promise<LimitResult>;
  /** Takes what there must be. */
  hold(cost?: Partial<ExpectedTokens>): Promise<LimitHold>;
  /** Resolves when Redis has done what it was told before. */
  told(): Promise<void>;
}

let server: RedisServer;
let replicas: Replica[] = [];

beforeAll(async () => {
  server = await startRedis();
});

beforeEach(async () => {
  await server.stop();
  await server.start();
});

afterEach(async () => {
  server.resume();
  for (const { store, connection } of replicas) {
    store.stop();
    await connection.stop();
  }
  expect(replicas.map(({ clock }) => clock.pending).filter(Boolean)).toEqual([]);
  replicas = [];
});

afterAll(() => server.stop());

function rule(fields: Partial<LimitRule>): LimitRule {
  return { name: 'shared', scope: 'model', perMs: day, ...fields };
}

async function startReplica(
  rules: readonly Partial<LimitRule>[],
  options: { readonly leaseMs?: number } = {},
): Promise<Replica> {
  const clock = new FakeClock();
  const connection = createRedisConnection({ clock, random: () => 0 }, { url: server.url, commandTimeoutMs });
  const changes: RedisChange['kind'][] = [];
  connection.onChange(({ kind }) => changes.push(kind));
  const store = createRedisLimitStore(
    { clock, connection },
    { replica: `replica ${replicas.length}`, ...options },
  );
  const limits = createTokenLimits({ store }, rules.map(rule));
  await connection.start();
  async function take(cost: Partial<ExpectedTokens> = {}, model = 'llama'): Promise<LimitResult> {
    const result = await limits.take(ann, model, { inputTokens: 0, outputTokens: 0, ...cost });
    if (result === undefined) throw new Error('no rule is about this request');
    return result;
  }
  const replica: Replica = {
    clock,
    connection,
    store,
    limits,
    changes,
    take,
    async hold(cost) {
      const result = await take(cost);
      if (result.kind === 'refused') throw new Error(`unexpected: ${JSON.stringify(result)}`);
      return result.hold;
    },
    async told() {
      if ((await connection.run((redis) => redis.ping())) === undefined) throw new Error('Redis is away');
    },
  };
  replicas.push(replica);
  return replica;
}

/** Takes one request after the other until one is refused; how many were let in. */
async function takeAll({ take }: Replica): Promise<number> {
  let taken = 0;
  while ((await take()).kind === 'taken') taken++;
  return taken;
}

async function comesBack(...those: readonly Replica[]): Promise<void> {
  for (const replica of those) {
    await eventually(() => {
      // Less than the timeout, so that a check can be answered.
      replica.clock.advance(50);
      return replica.connection.up;
    });
    await replica.told();
  }
}

/** What Redis has of a bucket. */
async function levelsOf({ connection }: Replica, key: string): Promise<Record<string, number> | undefined> {
  const stored = await connection.run((redis) => redis.hgetall(`sluice:limits:level:${key}`));
  return stored && Object.fromEntries(Object.entries(stored).map(([name, text]) => [name, Number(text)]));
}

const spent = (outputTokens: number) => ({ inputTokens: 0, cachedInputTokens: 0, outputTokens });

describe('createRedisLimitStore()', () => {
  it('lets replicas share a limit exactly, however many ask at once', async () => {
    const rules = [
      { name: 'requests', requests: 50 },
      { name: 'tokens', scope: 'group' as const, totalTokens: 1000 },
    ];
    const both = [await startReplica(rules), await startReplica(rules)];
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, i) => both[i % 2]!.take({ inputTokens: 7, outputTokens: 20 })),
    );
    // 27 tokens each: the 38th would not fit.
    expect(results.filter(({ kind }) => kind === 'taken')).toHaveLength(37);
    expect(await levelsOf(both[0]!, 'requests:model:llama')).toMatchObject({
      requests: expect.closeTo(13, 1),
    });
    expect(await levelsOf(both[0]!, 'tokens:group:staff')).toMatchObject({
      totalTokens: expect.closeTo(1, 0),
    });
  });

  it('refuses like the store of one process: which limit, what of it, when to come back, what is left', async () => {
    const replica = await startReplica([{ outputTokens: 100, requests: 1000 }]);
    await replica.hold({ outputTokens: 80 });
    const refusal = await replica.take({ outputTokens: 45 });
    expect(refusal).toMatchObject({
      kind: 'refused',
      limit: 'shared',
      what: 'output tokens',
      amount: 100,
      per: 'day',
      headers: {
        'x-ratelimit-limit-requests': '1000',
        'x-ratelimit-remaining-requests': '999',
        'x-ratelimit-limit-tokens': '100',
        'x-ratelimit-remaining-tokens': '20',
        'x-ratelimit-reset-tokens': expect.stringMatching(/^19h1[12]m/),
      },
    });
    const hours = refusal.kind === 'refused' ? refusal.retryAfterMs / 3_600_000 : 0;
    expect(hours).toBeCloseTo(6, 1);
  });

  it('agrees with the store of one process, whatever happens', async () => {
    // So slow that nothing is refilled while the test runs.
    const perMs = 1e15;
    const count = fc.integer({ min: 0, max: 120 });
    const step = fc.oneof(
      fc.record({ act: fc.constant('take' as const), input: count, output: count }),
      fc.record({
        act: fc.constantFrom('settle' as const, 'cancel' as const, 'release' as const),
        which: fc.nat({ max: 10 }),
        output: count,
      }),
    );
    const replica = await startReplica([]);
    const local = createTokenLimits({ store: createLocalLimitStore({ clock: new FakeClock() }) }, []);
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        run++;
        const rules = [
          rule({ name: `a ${run}`, perMs, inputTokens: 200, totalTokens: 300, requests: 8 }),
          rule({ name: `b ${run}`, perMs, scope: 'group', outputTokens: 150, concurrentRequests: 3 }),
        ];
        replica.limits.update(rules);
        local.update(rules);
        const holds: (readonly [LimitHold, LimitHold])[] = [];
        for (const now of steps) {
          if (now.act === 'take') {
            const cost = { inputTokens: now.input, outputTokens: now.output };
            const shared = await replica.take(cost);
            const alone = await local.take(ann, 'llama', cost);
            expect(shared.kind).toBe(alone?.kind);
            if (shared.kind === 'taken' && alone?.kind === 'taken') {
              expect(left(shared.hold.headers)).toEqual(left(alone.hold.headers));
              holds.push([shared.hold, alone.hold]);
            }
            if (shared.kind === 'refused' && alone?.kind === 'refused')
              expect([shared.limit, shared.what, left(shared.headers)]).toEqual([
                alone.limit,
                alone.what,
                left(alone.headers),
              ]);
          } else {
            for (const hold of holds[now.which] ?? []) {
              if (now.act === 'settle') hold.settle(spent(now.output));
              else hold[now.act]();
            }
          }
        }
      }),
      { numRuns: 60 },
    );
    function left(headers: Readonly<Record<string, string>>): unknown {
      return [headers['x-ratelimit-remaining-requests'], headers['x-ratelimit-remaining-tokens']];
    }
  });

  it('makes right in Redis what a request really used', async () => {
    const [a, b] = [await startReplica([{ outputTokens: 100 }]), await startReplica([{ outputTokens: 100 }])];
    const hold = await a.hold({ outputTokens: 80 });
    expect((await b.take({ outputTokens: 80 })).kind).toBe('refused');
    hold.settle(spent(10));
    await a.told();
    const second = await b.hold({ outputTokens: 80 });
    second.settle(spent(390));
    await b.told();
    expect(await levelsOf(a, 'shared:model:llama')).toMatchObject({ outputTokens: expect.closeTo(-300, 0) });
    expect(await a.take({ outputTokens: 1 })).toMatchObject({ kind: 'refused' });
    (await startReplica([{ name: 'other', requests: 1 }])).store.stop();
  });

  it('keeps what is overdrawn for as long as that lasts, and everything else for two periods', async () => {
    const replica = await startReplica([{ outputTokens: 100, concurrentRequests: 5 }], { leaseMs: 60_000 });
    const days = async (): Promise<number> => {
      const ms = await replica.connection.run((redis) =>
        redis.pttl('sluice:limits:level:shared:model:llama'),
      );
      return (ms ?? 0) / day;
    };
    const hold = await replica.hold({ outputTokens: 10 });
    expect(await days()).toBeCloseTo(2, 2);
    hold.settle(spent(250));
    await replica.told();
    expect(await days()).toBeCloseTo(2.5, 2);
    (await replica.hold()).settle(spent(10_000));
    await replica.told();
    expect(await days()).toBeCloseTo(3, 2);
  });

  it('keeps nothing but leases of rules that limit nothing over time, and those for as long as they last', async () => {
    const replica = await startReplica([{ concurrentRequests: 2 }], { leaseMs: 60_000 });
    await replica.hold();
    const key = 'sluice:limits:running:shared:model:llama';
    expect(await replica.connection.run((redis) => redis.keys('*'))).toEqual([key]);
    const keptMs = await replica.connection.run((redis) => redis.pttl(key));
    expect((keptMs ?? 0) / 60_000).toBeCloseTo(1, 0);
  });

  it('update() keeps levels, up to the new amounts', async () => {
    const replica = await startReplica([{ requests: 10 }]);
    await replica.hold();
    replica.limits.update([rule({ requests: 100 })]);
    await replica.hold();
    expect(await levelsOf(replica, 'shared:model:llama')).toMatchObject({ requests: expect.closeTo(8, 1) });
    replica.limits.update([rule({ requests: 3, outputTokens: 50 })]);
    expect(await takeAll(replica)).toBe(3);
  });

  it('settles under the new amounts what began under others', async () => {
    const replica = await startReplica([{ outputTokens: 100 }]);
    const before = await replica.hold({ outputTokens: 10 });
    replica.limits.update([rule({ outputTokens: 1000 })]);
    await replica.connection.run((redis) => redis.flushall());
    await replica.hold({ outputTokens: 500 });
    before.settle(spent(60));
    await replica.told();
    expect(await levelsOf(replica, 'shared:model:llama')).toMatchObject({
      outputTokens: expect.closeTo(450, 0),
    });
  });
});

describe('requests in flight', () => {
  const rules = [{ concurrentRequests: 2 }];

  it('are counted over all replicas', async () => {
    const [a, b] = [await startReplica(rules), await startReplica(rules)];
    const [first] = [await a.hold(), await b.hold()];
    for (const replica of [a, b])
      expect(await replica.take()).toMatchObject({
        kind: 'refused',
        what: 'concurrent requests',
        per: undefined,
        retryAfterMs: 1000,
      });
    first.release();
    await a.told();
    await b.hold();
    expect((await a.take()).kind).toBe('refused');
  });

  it('of a replica that died end with their leases', async () => {
    const [a, b] = [await startReplica(rules, { leaseMs: 300 }), await startReplica(rules)];
    await b.hold();
    await a.hold();
    expect((await b.take()).kind).toBe('refused');
    // Time stands still in the other process: it renews nothing.
    await eventually(async () => (await b.take()).kind === 'taken');
    expect((await b.take()).kind).toBe('refused');
  });

  it('are renewed while they last, and no longer', async () => {
    const replica = await startReplica(rules, { leaseMs: 30_000 });
    const key = 'sluice:limits:running:shared:model:llama';
    const leases = async (): Promise<string[]> =>
      (await replica.connection.run((redis) => redis.zrange(key, 0, '-1', 'WITHSCORES'))) ?? [];
    const [first, second] = [await replica.hold(), await replica.hold()];
    const before = await leases();
    replica.clock.advance(9_999);
    await replica.told();
    expect(await leases()).toEqual(before);
    replica.clock.advance(1);
    first.release();
    await replica.told();
    const after = await leases();
    expect(after[0]).toBe(before[2]);
    expect(Number(after[1])).toBeGreaterThan(Number(before[3]));
    second.release();
    await replica.told();
    expect(await leases()).toEqual([]);
    replica.clock.advance(10_000);
    expect(replica.clock.pending).toBe(0);
  });

  it('do not come back when they end while others are renewed', async () => {
    const replica = await startReplica([{ concurrentRequests: 500 }], { leaseMs: 30_000 });
    // More than are renewed at once.
    const holds = await Promise.all(Array.from({ length: 150 }, () => replica.hold()));
    replica.clock.advance(10_000);
    for (const hold of holds) hold.release();
    await replica.told();
    await replica.told();
    expect(await replica.connection.run((redis) => redis.keys('*'))).toEqual([]);
  });

  it('are told to a Redis that was started again', async () => {
    const [a, b] = [await startReplica(rules), await startReplica(rules)];
    const hold = await a.hold();
    await server.stop();
    await eventually(() => !a.connection.up && !b.connection.up);
    const meanwhile = await a.hold();
    expect((await a.take()).kind).toBe('refused');
    await server.start();
    await comesBack(a, b);
    expect((await b.take()).kind).toBe('refused');
    hold.settle(spent(0));
    meanwhile.settle(spent(0));
    await a.told();
    expect(await takeAll(b)).toBe(2);
  });
});

describe('while Redis is away', () => {
  it('each goes on by itself from what it knew, at once and visibly, and tells Redis when it is back', async () => {
    const rules = [{ requests: 100 }];
    const [a, b] = [await startReplica(rules), await startReplica(rules)];
    for (let i = 0; i < 10; i++) await a.hold();
    for (let i = 0; i < 20; i++) await b.hold();
    for (let i = 0; i < 10; i++) await a.hold();

    server.pause();
    const load = Array.from({ length: 15 }, () => a.take());
    await server.stop();
    expect((await Promise.all(load)).filter(({ kind }) => kind === 'taken')).toHaveLength(15);
    await eventually(() => !b.connection.up);
    expect(a.connection.up).toBe(false);
    for (let i = 0; i < 5; i++) await b.hold();
    expect(a.limits.take(ann, 'llama', { inputTokens: 0, outputTokens: 0 })).not.toBeInstanceOf(Promise);
    // Of a hundred a knew forty to be taken, and has taken sixteen since.
    for (let i = 0; i < 14; i++) await a.hold();
    expect(a.limits.list(1)[0]?.levels.requests).toBeCloseTo(30, 1);

    await server.start();
    await comesBack(b, a);
    expect([a.changes, b.changes]).toEqual([
      ['up', 'down', 'up'],
      ['up', 'down', 'up'],
    ]);
    // Redis had forgotten all: b told it the thirty it had known and its own five, then a its thirty since.
    expect(await levelsOf(a, 'shared:model:llama')).toMatchObject({ requests: expect.closeTo(35, 1) });
    expect((await takeAll(a)) + (await takeAll(b))).toBe(35);
  });

  it('decides by itself within the timeout where Redis does not answer', async () => {
    const replica = await startReplica([{ requests: 3 }]);
    await replica.hold();
    server.pause();
    const waiting = [replica.take(), replica.take(), replica.take()];
    replica.clock.advance(commandTimeoutMs);
    expect((await Promise.all(waiting)).map(({ kind }) => kind)).toEqual(['taken', 'taken', 'refused']);
    expect([replica.connection.up, replica.changes]).toEqual([false, ['up', 'down']]);
  });

  it('counts once what Redis did after all, however late', async () => {
    const replica = await startReplica([{ requests: 10, concurrentRequests: 10 }]);
    await replica.hold();
    server.pause();
    const waiting = [replica.hold(), replica.hold()];
    replica.clock.advance(commandTimeoutMs);
    const [first] = await Promise.all(waiting);
    first!.cancel();
    server.resume();
    await comesBack(replica);
    expect(await levelsOf(replica, 'shared:model:llama')).toMatchObject({ requests: expect.closeTo(8, 1) });
    expect(
      await replica.connection.run((redis) => redis.zcard('sluice:limits:running:shared:model:llama')),
    ).toBe(2);
  });

  it('gives back what Redis let in late for a request that was refused by then', async () => {
    const [a, b] = [await startReplica([{ requests: 5 }]), await startReplica([{ requests: 5 }])];
    const hold = await a.hold();
    expect(await takeAll(b)).toBe(4);
    hold.cancel();
    await a.told();
    server.pause();
    // By what this replica knows there is none left.
    const refused = b.take();
    b.clock.advance(commandTimeoutMs);
    expect((await refused).kind).toBe('refused');
    server.resume();
    await comesBack(b);
    expect(await levelsOf(a, 'shared:model:llama')).toMatchObject({ requests: expect.closeTo(1, 1) });
  });

  it('settles what was taken before, and debits the difference later', async () => {
    const replica = await startReplica([{ outputTokens: 100 }]);
    const [more, less] = [await replica.hold({ outputTokens: 20 }), await replica.hold({ outputTokens: 50 })];
    server.pause();
    const probe = replica.take();
    replica.clock.advance(commandTimeoutMs);
    await probe;
    more.settle(spent(45));
    less.settle(spent(10));
    server.resume();
    await comesBack(replica);
    expect(await levelsOf(replica, 'shared:model:llama')).toMatchObject({
      outputTokens: expect.closeTo(45, 0),
    });
  });

  it.each<[string, () => Promise<void> | void]>([
    ['answered late', () => server.resume()],
    [
      'lost with the server',
      async () => {
        await server.stop();
        await server.start();
      },
    ],
  ])('charges once what it told in a command that was %s', async (_name, goOn) => {
    const replica = await startReplica([{ outputTokens: 100 }]);
    const hold = await replica.hold({ outputTokens: 20 });
    server.pause();
    hold.settle(spent(45));
    replica.clock.advance(commandTimeoutMs);
    await eventually(() => !replica.connection.up);
    await goOn();
    await comesBack(replica);
    expect(await levelsOf(replica, 'shared:model:llama')).toMatchObject({
      outputTokens: expect.closeTo(55, 0),
    });
  });

  it('goes on by itself where Redis refuses to write, and tells it when it does not', async () => {
    const rules = [{ requests: 10, concurrentRequests: 10 }];
    const [replica, other] = [await startReplica(rules), await startReplica(rules)];
    const needReplicas = (count: number): Promise<unknown> =>
      other.connection.run((redis) => redis.config('SET', 'min-replicas-to-write', count));
    const hold = await replica.hold();
    await other.hold();
    await needReplicas(1);
    hold.release();
    await eventually(() => !replica.connection.up);
    expect(replica.connection.why).toContain('NOREPLICAS');
    await replica.hold();
    await needReplicas(0);
    await comesBack(replica);
    expect(await levelsOf(other, 'shared:model:llama')).toMatchObject({ requests: expect.closeTo(7, 1) });
    expect(
      await other.connection.run((redis) => redis.zcard('sluice:limits:running:shared:model:llama')),
    ).toBe(2);
  });

  it('owes no more than would not have been refilled meanwhile', async () => {
    const replica = await startReplica([{ requests: 10 }]);
    await replica.hold();
    server.pause();
    const probe = replica.take();
    replica.clock.advance(commandTimeoutMs);
    await probe;
    for (let i = 0; i < 5; i++) await replica.hold();
    replica.clock.advance(day / 2);
    server.resume();
    await comesBack(replica);
    // Seven were taken here, and five refilled since: two are still missing, whatever Redis knows of time.
    expect(replica.limits.list(1)[0]?.levels.requests).toBeCloseTo(8, 1);
    expect(await levelsOf(replica, 'shared:model:llama')).toMatchObject({ requests: expect.closeTo(6, 1) });
  });

  it('starts without Redis, and shares once it is there', async () => {
    await server.stop();
    const replica = await startReplica([{ requests: 10 }]);
    for (let i = 0; i < 4; i++) await replica.hold();
    await server.start();
    await comesBack(replica);
    expect(await takeAll(await startReplica([{ requests: 10 }]))).toBe(6);
  });

  it('pays what it owes a bucket before it takes from it again', async () => {
    await server.stop();
    const replica = await startReplica([{ requests: 10 }]);
    // More buckets than are paid at once.
    for (let i = 0; i < 300; i++) await replica.take({}, `model ${i}`);
    for (let i = 0; i < 8; i++) await replica.hold();
    await server.start();
    const left: number[] = [];
    replica.connection.onChange(() => {
      void replica.take().then((result) => {
        if (result.kind === 'taken') left.push(Number(result.hold.headers['x-ratelimit-remaining-requests']));
      });
    });
    await comesBack(replica);
    await eventually(() => left.length > 0);
    expect(left).toEqual([1]);
    await eventually(async () => {
      const keys = await replica.connection.run((redis) => redis.keys('sluice:limits:level:*'));
      return keys?.length === 301;
    });
  });
});
