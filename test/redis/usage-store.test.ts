import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import type { ReplicatedUsage } from '../../src/fairness/untold-usage.ts';
import {
  readChangedSlots,
  readReplicas,
  readUsage,
  writeUsage,
  type UsageKeys,
} from '../../src/redis/usage-store.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';

const windowSizeMs = 300_000;
/** In the middle of slot 1000. */
const epochMs = 5_002_500;

let server: RedisServer;
let redis: Redis;

beforeEach(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});

afterEach(async () => {
  await redis.quit();
  await server.stop();
});

function keysOf(replica: string): UsageKeys {
  return { windowSizeMs, replica };
}

function used(slot: number, inputTokens = 1, principal = 'ann', model = 'llama'): ReplicatedUsage {
  return {
    principal,
    model,
    slot,
    inputTokens,
    cachedInputTokens: 1,
    outputTokens: 2,
    requests: 3,
    estimatedTokens: 4,
  };
}

describe('usage store', () => {
  it('readUsage() reads what writeUsage() wrote, whatever the names', async () => {
    const usages = [
      used(1000),
      used(1000, 2 ** 53 - 1, 'user:["https://idp","ann"]', 'meta-llama/Llama-3.1-8B'),
      used(1000, 7, '"', '\0 \n'),
      used(1000, 8, '', 'über:alles'),
    ];
    await writeUsage(redis, keysOf('a'), 1, epochMs, [...usages, used(1001, 9)]);
    const read = await readUsage(redis, keysOf('a'), 1000, '0');
    expect(read.cursor).toBe('0');
    expect(new Set(read.usages)).toEqual(new Set(usages));
    expect((await readUsage(redis, keysOf('b'), 1000, '0')).usages).toEqual([]);
  });

  it('writeUsage() puts the newest in the place of what was written before', async () => {
    await writeUsage(redis, keysOf('a'), 1, epochMs, [used(1000, 1), used(1000, 5, 'bob')]);
    await writeUsage(redis, keysOf('a'), 2, epochMs, [used(1000, 3)]);
    const { usages } = await readUsage(redis, keysOf('a'), 1000, '0');
    expect(Object.fromEntries(usages.map(({ principal, inputTokens }) => [principal, inputTokens]))).toEqual({
      ann: 3,
      bob: 5,
    });
  });

  it('readChangedSlots() reads the slots written after a version, in the order of writing', async () => {
    await writeUsage(redis, keysOf('a'), 10, epochMs, [used(1000), used(998)]);
    await writeUsage(redis, keysOf('a'), 11, epochMs, [used(1001)]);
    await writeUsage(redis, keysOf('a'), 12, epochMs, [used(998)]);
    const after = async (version: number): Promise<(readonly [number, number])[]> =>
      (await readChangedSlots(redis, keysOf('a'), version)).map((changed) => [changed.slot, changed.version]);
    expect(await after(0)).toEqual([
      [1000, 10],
      [1001, 11],
      [998, 12],
    ]);
    expect(await after(11)).toEqual([[998, 12]]);
    expect(await after(12)).toEqual([]);
  });

  it('readReplicas() reads who wrote last, itself apart', async () => {
    expect(await readReplicas(redis, keysOf('a'), 2)).toEqual({ ownVersion: undefined, others: [] });
    for (const [replica, version] of [
      ['a', 4],
      ['b', 1],
      ['c', 3],
      ['d', 2],
    ] as const)
      await writeUsage(redis, keysOf(replica), version, epochMs, [used(1000)]);
    expect(await readReplicas(redis, keysOf('a'), 2)).toEqual({
      ownVersion: 4,
      others: [
        { replica: 'c', version: 3 },
        { replica: 'd', version: 2 },
      ],
    });
  });

  it('writeUsage() writes nothing where nothing changed', async () => {
    await writeUsage(redis, keysOf('a'), 1, epochMs, []);
    expect(await redis.dbsize()).toBe(0);
  });

  it('writeUsage() leaves nothing that does not expire, slots as soon as they left the window', async () => {
    await writeUsage(redis, keysOf('a'), 1, epochMs, [used(1000), used(945)]);
    const leftMs: Record<string, number> = {};
    for (const key of await redis.keys('*')) leftMs[key] = await redis.pttl(key);
    const most = {
      'sluice:ledger:300000:replicas': 2 * windowSizeMs,
      'sluice:ledger:300000:a': 2 * windowSizeMs,
      'sluice:ledger:300000:a:1000': windowSizeMs + 2 * 5000 - 2500,
      'sluice:ledger:300000:a:945': 5 * 5000 + 2 * 5000 - 2500,
    };
    expect(Object.keys(leftMs).sort()).toEqual(Object.keys(most).sort());
    for (const [key, mostMs] of Object.entries(most)) {
      expect(leftMs[key]).toBeGreaterThan(0);
      expect(leftMs[key]).toBeLessThanOrEqual(mostMs);
    }
  });

  it('writeUsage() keeps the slots and replicas that were written last, however many there were', async () => {
    for (let slot = 0; slot < 300; slot++)
      await writeUsage(redis, keysOf('a'), slot + 1, epochMs, [used(1000 + slot)]);
    expect(await redis.zcard('sluice:ledger:300000:a')).toBe(240);
    expect((await readChangedSlots(redis, keysOf('a'), 0))[0]).toEqual({ slot: 1060, version: 61 });
    for (let i = 0; i < 300; i++) await writeUsage(redis, keysOf(`b${i}`), i + 1000, epochMs, [used(1000)]);
    expect(await redis.zcard('sluice:ledger:300000:replicas')).toBe(256);
    expect(await readReplicas(redis, keysOf('a'), 1)).toEqual({
      ownVersion: undefined,
      others: [{ replica: 'b299', version: 1299 }],
    });
  });

  it('writeUsage() rejects where Redis refuses a part of it', async () => {
    await redis.set('sluice:ledger:300000:a', 'something else');
    await expect(writeUsage(redis, keysOf('a'), 1, epochMs, [used(1000)])).rejects.toThrow('WRONGTYPE');
  });
});
