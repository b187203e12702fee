import { describe, expect, it } from '@jest/globals';
import { createDebugRoutes, type DecisionRecord } from '../../src/admin/debug.ts';
import type { Endpoint } from '../../src/endpoints/endpoint.ts';
import { anEndpoint, someMetrics } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';

interface World {
  readonly endpoints?: readonly Endpoint[];
  readonly decisions?: readonly DecisionRecord[];
}

async function get(
  path: string,
  query = '',
  { endpoints = [], decisions = [] }: World = {},
): Promise<unknown> {
  const clock = new FakeClock();
  clock.advance(10_000);
  const routes = createDebugRoutes({
    clock,
    snapshot: () => ({ generation: 3, endpoints, readyByModel: new Map(), models: new Set() }),
    problems: () => ({ modelsProblem: 'GET /v1/models answered 500' }),
    decisions: () => decisions,
    config: () => ({ profile: 'default' }),
  });
  const reply = await routes.find((route) => route.path === path)?.answer(new URLSearchParams(query));
  // As it is seen on the wire.
  return JSON.parse(JSON.stringify(reply));
}

describe('createDebugRoutes()', () => {
  it('/debug/endpoints tells everything about an endpoint, with ages', async () => {
    const healthy = anEndpoint(0, {
      configuredModels: ['m'],
      inFlight: 2,
      listedModels: new Map([['m', { id: 'm', parent: undefined, maxModelLen: 4096 }]]),
      metrics: someMetrics({ takenAtMs: 8750, waiting: 1, running: 4, inFlightAtScrape: 3 }),
    });
    const gone = anEndpoint(1, {
      health: { kind: 'unhealthy', reason: 'connection refused', sinceMs: 4000 },
    });
    expect(await get('/debug/endpoints', '', { endpoints: [healthy, gone] })).toEqual({
      status: 200,
      body: {
        generation: 3,
        endpoints: [
          {
            id: '10.0.0.0:8000',
            url: 'http://10.0.0.0:8000',
            slot: 0,
            health: { kind: 'healthy' },
            inFlight: 2,
            configuredModels: ['m'],
            listedModels: [{ id: 'm', maxModelLen: 4096 }],
            metrics: { ageSeconds: 1.25, waiting: 1, running: 4, inFlightAtScrape: 3 },
            modelsProblem: 'GET /v1/models answered 500',
          },
          {
            id: '10.0.0.1:8000',
            url: 'http://10.0.0.1:8000',
            slot: 1,
            health: { kind: 'unhealthy', reason: 'connection refused', forSeconds: 6 },
            inFlight: 0,
            configuredModels: [],
            modelsProblem: 'GET /v1/models answered 500',
          },
        ],
      },
    });
  });

  const decisions = Array.from({ length: 30 }, (_, n) => ({
    id: `r${n}`,
    model: n % 2 === 0 ? 'even' : 'odd',
    n,
  }));
  const queries: readonly [string, number, readonly number[]][] = [
    ['limit=3', 30, [0, 1, 2]],
    ['model=odd&limit=2', 15, [1, 3]],
    ['request=r7', 1, [7]],
    ['request=r7&model=even', 0, []],
    ['model=none', 0, []],
  ];
  it.each(queries)('/debug/decisions?%s', async (query, total, expected) => {
    expect(await get('/debug/decisions', query, { decisions })).toEqual({
      status: 200,
      body: { total, decisions: expected.map((n) => decisions[n]) },
    });
  });

  it('/debug/decisions shows twenty by default', async () => {
    expect(await get('/debug/decisions', '', { decisions })).toMatchObject({
      body: { total: 30, decisions: decisions.slice(0, 20) },
    });
  });

  it.each(['0', '-1', 'all', '1001', '', '1e3'])('/debug/decisions refuses limit=%s', async (limit) => {
    expect(await get('/debug/decisions', `limit=${limit}`)).toEqual({
      status: 400,
      body: { error: `Cannot use limit "${limit}": it must be 1 to 1000` },
    });
  });

  it('/debug/config shows what it is given', async () => {
    expect(await get('/debug/config')).toEqual({ status: 200, body: { profile: 'default' } });
  });
});
