import { describe, expect, it } from '@jest/globals';
import {
  createFairnessDebugRoutes,
  type LedgerRecord,
  type LimitRecord,
  type QueueRecord,
} from '../../src/admin/debug-fairness.ts';

interface World {
  readonly queues?: readonly QueueRecord[];
  readonly ledger?: readonly LedgerRecord[];
  readonly limits?: readonly LimitRecord[];
  readonly nameOf?: (id: string) => string | undefined;
}

async function get(
  path: string,
  { queues = [], ledger = [], limits = [], nameOf = (id) => `<${id}>` }: World,
  query = '',
): Promise<unknown> {
  const routes = createFairnessDebugRoutes({
    queues: (maxFlows) => queues.map(({ flows, ...rest }) => ({ ...rest, flows: flows.slice(0, maxFlows) })),
    ledger: { list: (limit) => ledger.slice(0, limit), size: 70, evictions: 3 },
    limits: { list: (limit) => limits.slice(0, limit), size: 50, evictions: 4 },
    nameOf,
  });
  const reply = await routes.find((route) => route.path === path)?.answer(new URLSearchParams(query));
  // As it is seen on the wire.
  return JSON.parse(JSON.stringify(reply));
}

function queue(model: string, waiting: number, flows: QueueRecord['flows'] = []): QueueRecord {
  return { model, waiting, running: 4, freeSlots: 0, flows };
}

const busy = queue('m', 3, [
  { flow: 'alice', waiting: 1, longestWaitMs: 250, priority: 10.5 },
  { flow: 'bob', waiting: 2, longestWaitMs: 12_345.6, priority: 4000 },
]);

const used: LedgerRecord = {
  principal: 'alice',
  model: 'm',
  requests: 3,
  inputTokens: 100,
  cachedInputTokens: 40,
  outputTokens: 50,
  estimatedTokens: 30,
  reserved: { requests: 1, inputTokens: 20, cachedInputTokens: 0, outputTokens: 256 },
  weightedTokens: 732.123456,
};

function bucket(scope: LimitRecord['limit']['rule']['scope'], owner: string): LimitRecord {
  return {
    limit: {
      rule: { name: 'free', scope, perMs: 60_000, concurrentRequests: 2 },
      limited: ['totalTokens', 'requests'],
      amounts: { inputTokens: 0, outputTokens: 0, totalTokens: 1000, requests: 5 },
    },
    owner,
    levels: { inputTokens: 0, outputTokens: 0, totalTokens: -120.00001, requests: 3.25, running: 1 },
  };
}

describe('createFairnessDebugRoutes()', () => {
  it('/debug/queue tells who waits, for how long and in which order, the fullest queue first', async () => {
    expect(await get('/debug/queue', { queues: [queue('n', 0), busy] })).toEqual({
      status: 200,
      body: {
        queues: [
          {
            model: 'm',
            waiting: 3,
            running: 4,
            freeSlots: 0,
            flows: [
              { flow: '<alice>', waiting: 1, priority: 10.5, longestWaitSeconds: 0.25 },
              { flow: '<bob>', waiting: 2, priority: 4000, longestWaitSeconds: 12.346 },
            ],
          },
          { model: 'n', waiting: 0, running: 4, freeSlots: 0, flows: [] },
        ],
      },
    });
  });

  it('/debug/queue shows as many flows of each queue as asked for', async () => {
    expect(await get('/debug/queue', { queues: [busy] }, 'limit=1')).toMatchObject({
      body: { queues: [{ flows: [{ flow: '<alice>' }] }] },
    });
  });

  it('/debug/ledger tells who used what in the window, and how much of it is estimated', async () => {
    expect(await get('/debug/ledger', { ledger: [used] })).toEqual({
      status: 200,
      body: {
        total: 70,
        evictions: 3,
        entries: [
          {
            principal: '<alice>',
            model: 'm',
            weightedTokens: 732.123,
            requests: 3,
            inputTokens: 100,
            cachedInputTokens: 40,
            outputTokens: 50,
            estimatedShare: 0.2,
            reserved: { requests: 1, inputTokens: 20, outputTokens: 256 },
          },
        ],
      },
    });
  });

  it('/debug/ledger estimates no share of nothing', async () => {
    const reserving = { ...used, requests: 0, inputTokens: 0, outputTokens: 0, estimatedTokens: 0 };
    expect(await get('/debug/ledger', { ledger: [reserving] })).toMatchObject({
      body: { entries: [{ estimatedShare: 0 }] },
    });
  });

  it('/debug/limits tells what is left of whose limit', async () => {
    expect(await get('/debug/limits', { limits: [bucket('principal', 'alice')] })).toEqual({
      status: 200,
      body: {
        total: 50,
        evictions: 4,
        buckets: [
          {
            limit: 'free',
            scope: 'principal',
            owner: '<alice>',
            perSeconds: 60,
            totalTokens: { left: -120, of: 1000 },
            requests: { left: 3.25, of: 5 },
            running: 1,
            concurrentRequests: 2,
          },
        ],
      },
    });
  });

  it('/debug/limits calls groups and models what they are called', async () => {
    const limits = [bucket('group', 'staff'), bucket('model', 'm')];
    expect(await get('/debug/limits', { limits })).toMatchObject({
      body: { buckets: [{ owner: 'staff' }, { owner: 'm' }] },
    });
  });

  it.each(['/debug/queue', '/debug/ledger', '/debug/limits'])(
    '%s names nobody who shall not be named',
    async (path) => {
      const world = {
        queues: [busy],
        ledger: [used],
        limits: [bucket('principal', 'alice')],
        nameOf: () => undefined,
      };
      expect(JSON.stringify(await get(path, world))).not.toMatch(/alice|bob/);
    },
  );

  it.each(['/debug/ledger', '/debug/limits'])(
    '%s shows twenty by default, and no wrong limit',
    async (path) => {
      const world = {
        ledger: Array.from({ length: 30 }, () => used),
        limits: Array.from({ length: 30 }, () => bucket('model', 'm')),
      };
      const { body } = (await get(path, world)) as { body: Record<string, unknown[]> };
      expect((body['entries'] ?? body['buckets'])?.length).toBe(20);
      expect(await get(path, world, 'limit=0')).toMatchObject({ status: 400 });
    },
  );
});
