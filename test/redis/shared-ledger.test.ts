import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createLedger, type Ledger, type LedgerOptions } from '../../src/fairness/ledger.ts';
import type { TokenCount } from '../../src/fairness/token-count.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createRedisConnection, type RedisConnection } from '../../src/redis/connection.ts';
import {
  createSharedLedger,
  type SharedLedger,
  type SharedLedgerOptions,
} from '../../src/redis/shared-ledger.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';
import { until } from '../support/until.ts';

const minuteMs = 60_000;
const intervalMs = 500;

const usual: LedgerOptions = {
  windowSizeMs: 5 * minuteMs,
  inputTokenWeight: 1,
  outputTokenWeight: 2,
  cachedTokenWeight: 1,
  maxEntries: 10_000,
};

interface Replica {
  readonly ledger: Ledger;
  readonly shared: SharedLedger;
  readonly connection: RedisConnection;
  /** What it was told of others, all together. */
  readonly heard: { principal: string; model: string; count: TokenCount }[];
  readonly bugs: unknown[];
  stop(): Promise<void>;
}

let server: RedisServer;
/** Of ledgers and exchanges; commands are given real time. */
let clock: FakeClock;
let running: Replica[];
let begun: number;

beforeEach(async () => {
  server = await startRedis();
  clock = new FakeClock();
  running = [];
  begun = 0;
});

afterEach(async () => {
  server.resume();
  for (const replica of running) {
    expect(replica.bugs).toEqual([]);
    await replica.stop();
  }
  expect(clock.pending).toBe(0);
  await server.stop();
});

async function startReplica(
  options: Partial<SharedLedgerOptions & LedgerOptions> = {},
  commandTimeoutMs = 900,
): Promise<Replica> {
  const ledger = createLedger({ clock }, { ...usual, ...options });
  const connection = createRedisConnection(
    { clock: systemClock, random: () => 0 },
    { url: server.url, commandTimeoutMs },
  );
  await connection.start();
  const heard: Replica['heard'] = [];
  const bugs: unknown[] = [];
  const shared = createSharedLedger(
    {
      clock,
      connection,
      ledger,
      random: () => 0.5,
      onRemote: (principal, model, count) => heard.push({ principal, model, count }),
      onBug: (error) => bugs.push(error),
    },
    { id: `replica-${begun++}`, intervalMs, ...options },
  );
  const replica: Replica = {
    ledger,
    shared,
    connection,
    heard,
    bugs,
    async stop() {
      running = running.filter((other) => other !== replica);
      await shared.stop();
      await connection.stop();
    },
  };
  running.push(replica);
  shared.start();
  await quiet();
  return replica;
}

/** Waits until nobody talks to Redis: everybody waits for the next time. */
function quiet(): Promise<void> {
  return until(() => clock.pending === running.length);
}

/** Twice, as those that talk at the same time may miss each other. */
async function talk(times = 2): Promise<void> {
  for (let i = 0; i < times; i++) {
    clock.advance(intervalMs);
    await quiet();
  }
}

async function restartRedis(): Promise<void> {
  await server.stop();
  await server.start();
  await reconnected();
}

function reconnected(): Promise<void> {
  return until(() => running.every(({ connection }) => connection.up));
}

function charge(
  { ledger }: Replica,
  principal: string,
  inputTokens: number,
  outputTokens = 0,
  model = 'llama',
): void {
  const nothing = { inputTokens: 0, cachedInputTokens: 0, outputTokens: 0 };
  const spent = { inputTokens, cachedInputTokens: 0, outputTokens, estimated: false };
  ledger.reserve(principal, model, nothing).settle(spent);
}

function weighted(replicas: readonly Replica[], principal: string, model = 'llama'): number[] {
  return replicas.map(({ ledger }) => ledger.weighted(principal, model));
}

function heardInputTokens({ heard }: Replica): number {
  return heard.reduce((sum, { count }) => sum + count.inputTokens, 0);
}

describe('createSharedLedger()', () => {
  it('makes every ledger the sum over replicas', async () => {
    const replicas = [await startReplica(), await startReplica(), await startReplica()] as const;
    const [a, b, c] = replicas;
    charge(a, 'ann', 10, 5);
    charge(b, 'ann', 100);
    charge(b, 'bob', 7, 0, 'qwen');
    await talk();
    expect(weighted(replicas, 'ann')).toEqual([120, 120, 120]);
    expect(weighted(replicas, 'bob', 'qwen')).toEqual([7, 7, 7]);
    expect(replicas.map(({ ledger }) => ledger.requests('ann', 'llama'))).toEqual([2, 2, 2]);
    expect(c.ledger.list(1)[0]).toMatchObject({ inputTokens: 110, outputTokens: 5, requests: 2 });
    // What was settled elsewhere is in the metrics of that replica.
    expect([...a.ledger.totals().keys()]).toEqual(['llama']);
    expect(c.ledger.totals().size).toBe(0);
    expect(replicas.map(({ shared }) => shared.replicas)).toEqual([1, 1, 2]);
  });

  it('tells onRemote each token once, as slots grow and follow each other', async () => {
    const [a, b] = [await startReplica(), await startReplica()];
    charge(a, 'ann', 10, 5);
    await talk();
    charge(a, 'ann', 1, 2);
    await talk();
    clock.advance(5000);
    charge(a, 'ann', 100);
    await talk();
    await talk();
    expect(b.heard).toEqual([
      { principal: 'ann', model: 'llama', count: { inputTokens: 10, cachedInputTokens: 0, outputTokens: 5 } },
      { principal: 'ann', model: 'llama', count: { inputTokens: 1, cachedInputTokens: 0, outputTokens: 2 } },
      {
        principal: 'ann',
        model: 'llama',
        count: { inputTokens: 100, cachedInputTokens: 0, outputTokens: 0 },
      },
    ]);
    expect(a.heard).toEqual([]);
  });

  it('does not tell reservations', async () => {
    const [a, b] = [await startReplica(), await startReplica()];
    const expected = { inputTokens: 50, cachedInputTokens: 0, outputTokens: 0 };
    const reservation = a.ledger.reserve('ann', 'llama', expected);
    await talk();
    expect(weighted([a, b], 'ann')).toEqual([50, 0]);
    reservation.settle({ ...expected, inputTokens: 40, estimated: true });
    await talk();
    expect(weighted([a, b], 'ann')).toEqual([40, 40]);
  });

  it('lets usage leave the window everywhere at once, and keeps nothing of it', async () => {
    const [a, b] = [await startReplica(), await startReplica()];
    clock.advance(1234);
    charge(a, 'ann', 10);
    await talk();
    const slot = a.ledger.slotAt(clock.nowMs());
    const key = `sluice:ledger:300000:replica-0:${slot}`;
    const expiresInMs = await a.connection.run((redis) => redis.pttl(key));
    expect(expiresInMs).toBeGreaterThan(0);
    expect(expiresInMs).toBeLessThanOrEqual(5 * minuteMs + 2 * 5000);
    clock.advance(5 * minuteMs - 2000);
    expect(weighted([a, b], 'ann')).toEqual([10, 10]);
    clock.advance(2000 + 5000);
    expect(weighted([a, b], 'ann')).toEqual([0, 0]);
    expect([a.ledger.size, b.ledger.size]).toEqual([0, 0]);
    clock.advance(5 * minuteMs);
    await quiet();
    await talk();
    expect([a.shared.replicas, b.shared.replicas]).toEqual([0, 0]);
  });

  it('goes on alone while Redis is down, and tells everything when it is back, knowing nothing', async () => {
    const [a, b] = [await startReplica(), await startReplica()];
    charge(a, 'ann', 1);
    await talk();
    clock.advance(20_000);
    await quiet();
    await server.stop();
    charge(a, 'ann', 10);
    charge(b, 'ann', 100);
    await talk(5);
    expect([a.connection.up, b.connection.up]).toEqual([false, false]);
    expect(weighted([a, b], 'ann')).toEqual([11, 101]);
    clock.advance(20_000);
    charge(a, 'ann', 1000);
    await server.start();
    await reconnected();
    await talk(3);
    expect(weighted([a, b], 'ann')).toEqual([1111, 1111]);
    expect([heardInputTokens(a), heardInputTokens(b)]).toEqual([100, 1011]);
    // Redis has the whole window again, not only what changed.
    const late = await startReplica();
    await talk();
    expect(weighted([late], 'ann')).toEqual([1111]);
  });

  it('tells everything again when Redis was emptied between two exchanges', async () => {
    const a = await startReplica();
    charge(a, 'ann', 10);
    await talk();
    await a.connection.run((redis) => redis.flushall());
    await talk();
    const b = await startReplica();
    await talk();
    expect(weighted([a, b], 'ann')).toEqual([10, 10]);
  });

  it('tells again what Redis was too slow to take', async () => {
    const a = await startReplica({}, 50);
    const b = await startReplica();
    server.pause();
    charge(a, 'ann', 10);
    charge(a, 'bob', 5);
    clock.advance(intervalMs);
    await until(() => !a.connection.up);
    server.resume();
    await quiet();
    await reconnected();
    charge(a, 'ann', 1);
    await talk(3);
    expect([...weighted([a, b], 'ann'), ...weighted([a, b], 'bob'), heardInputTokens(b)]).toEqual([
      11, 11, 5, 5, 16,
    ]);
  });

  it('gives a replica that restarts its own usage back, and counts it once elsewhere', async () => {
    const [a, b] = [await startReplica(), await startReplica()];
    charge(a, 'ann', 10);
    charge(b, 'ann', 1);
    await talk();
    charge(a, 'ann', 5);
    await a.stop();
    const again = await startReplica();
    charge(again, 'ann', 100);
    await talk();
    expect(weighted([again, b], 'ann')).toEqual([116, 116]);
    expect([again.shared.replicas, b.shared.replicas]).toEqual([2, 2]);
    expect(heardInputTokens(b)).toBe(115);
  });

  it('follows another window: what was known stays, and replicas with the same one hear each other', async () => {
    const [a, b] = [await startReplica(), await startReplica()];
    charge(a, 'ann', 10);
    await talk();
    clock.advance(60_000);
    charge(b, 'ann', 1);
    await talk();
    a.ledger.update({ ...usual, windowSizeMs: 60 * minuteMs });
    charge(a, 'ann', 100);
    await talk();
    expect(weighted([a, b], 'ann')).toEqual([111, 11]);
    b.ledger.update({ ...usual, windowSizeMs: 60 * minuteMs });
    charge(b, 'ann', 1000);
    await talk();
    expect(weighted([a, b], 'ann')).toEqual([1111, 1111]);
    expect([heardInputTokens(a), heardInputTokens(b)]).toEqual([1001, 110]);
    const late = await startReplica({ windowSizeMs: 60 * minuteMs });
    await talk();
    expect(weighted([late], 'ann')).toEqual([1111]);
  });

  it('reads about as much as allowed in one exchange, newest slots first', async () => {
    const a = await startReplica();
    for (let i = 0; i < 6; i++) {
      for (let user = 0; user < 10; user++) charge(a, `user-${user}`, 10 ** i);
      clock.advance(5000);
      await quiet();
    }
    await talk();
    const b = await startReplica({ maxEntriesRead: 20 });
    expect([...weighted([b], 'user-3'), b.shared.unreadSlots]).toEqual([110_000, 4]);
    await talk(1);
    expect([...weighted([b], 'user-3'), b.shared.unreadSlots]).toEqual([111_100, 2]);
    await talk(1);
    expect([...weighted([b], 'user-3'), b.shared.unreadSlots]).toEqual([111_111, 0]);
  });

  it('writes about as much as allowed in one exchange', async () => {
    const a = await startReplica({ maxEntriesWritten: 10 });
    for (let user = 0; user < 25; user++) charge(a, `user-${user}`, 1);
    const b = await startReplica();
    const known: number[] = [];
    for (let i = 0; i < 4; i++) {
      await talk(1);
      known.push(b.ledger.size);
    }
    // Both talk at the same time: b may have read what a wrote, or will the next time.
    expect(known[0]).toBeLessThanOrEqual(10);
    expect(known[1]).toBeLessThanOrEqual(20);
    expect(known[3]).toBe(25);
  });

  it('reads slots with more entries than one answer holds', async () => {
    const a = await startReplica();
    for (let user = 0; user < 1500; user++) charge(a, `user-${user}`, user);
    await talk();
    const b = await startReplica();
    expect(b.ledger.size).toBe(1500);
    expect(heardInputTokens(b)).toBe((1499 * 1500) / 2);
  });

  it('hears no more replicas than allowed: those that used something last', async () => {
    const others = [await startReplica(), await startReplica(), await startReplica()];
    for (const [i, other] of others.entries()) {
      charge(other, 'ann', 10 ** i);
      await talk(1);
    }
    const late = await startReplica({ maxReplicas: 2 });
    expect([late.ledger.weighted('ann', 'llama'), late.shared.replicas]).toEqual([110, 2]);
    charge(others[0]!, 'ann', 5);
    await talk();
    expect([late.ledger.weighted('ann', 'llama'), late.shared.replicas]).toEqual([106, 2]);
  });

  it('ignores what it cannot read', async () => {
    const [a, b] = [await startReplica(), await startReplica()];
    charge(a, 'ann', 10);
    await talk();
    const slot = a.ledger.slotAt(clock.nowMs());
    const epochMs = clock.epochMs();
    await a.connection.run(async (redis) => {
      const key = 'sluice:ledger:300000:stranger';
      await redis.hset(`${key}:${slot}`, {
        'no json': '1 0 1 1 0',
        '["only a principal"]': '1 0 1 1 0',
        '["eve",7]': '1 0 1 1 0',
        '["eve","llama"]': '1 0 -1 1 0',
        '["joe","llama"]': '1 0 1 1',
        '["max","llama"]': '1 0 x 1 0',
        '["zoe","llama"]': '3 0 0 1 0',
      });
      await redis.zadd(key, epochMs, slot, epochMs + 1, 'tomorrow');
      await redis.zadd('sluice:ledger:300000:replicas', epochMs, 'stranger');
    });
    await talk();
    expect(b.ledger.list(10).map(({ principal }) => principal)).toEqual(['ann', 'zoe']);
    expect(b.shared.unreadSlots).toBe(0);
  });

  it('stop() tells what is left, and counts nothing of others any more', async () => {
    const [a, b] = [await startReplica(), await startReplica()];
    charge(a, 'ann', 10);
    charge(b, 'ann', 1);
    await talk();
    charge(a, 'ann', 100);
    await a.stop();
    await talk();
    expect(weighted([a, b], 'ann')).toEqual([110, 111]);
  });

  it('agrees in the end, whatever was used where and however often Redis was lost', async () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ act: fc.constant('charge' as const), at: fc.nat(2), user: fc.nat(3) }),
      },
      { weight: 4, arbitrary: fc.record({ act: fc.constant('talk' as const), forMs: fc.nat(8000) }) },
      { weight: 1, arbitrary: fc.record({ act: fc.constantFrom('restart' as const, 'empty' as const) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
        const replicas = [await startReplica(), await startReplica(), await startReplica()];
        const used = new Map<string, number>();
        for (const [i, next] of steps.entries()) {
          switch (next.act) {
            case 'charge': {
              const user = `user-${next.user}`;
              charge(replicas[next.at]!, user, i + 1);
              used.set(user, (used.get(user) ?? 0) + i + 1);
              break;
            }
            case 'talk':
              clock.advance(next.forMs);
              await quiet();
              break;
            case 'restart':
              await restartRedis();
              break;
            case 'empty':
              await replicas[0]!.connection.run((redis) => redis.flushall());
          }
        }
        await talk(4);
        for (const [user, tokens] of used)
          expect(weighted(replicas, user)).toEqual(replicas.map(() => tokens));
        const all = [...used.values()].reduce((sum, tokens) => sum + tokens, 0);
        expect(replicas.reduce((sum, replica) => sum + heardInputTokens(replica), 0)).toBe(2 * all);
        for (const replica of replicas) await replica.stop();
        await server.stop();
        await server.start();
      }),
      { numRuns: 5, seed: 6 },
    );
  }, 60_000);
});
