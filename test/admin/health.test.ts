import { describe, expect, it } from '@jest/globals';
import { createHealthRoutes, someEndpointReady } from '../../src/admin/health.ts';

async function get(
  path: string,
  reasons: readonly (string | undefined)[],
  summary: Record<string, unknown> = {},
) {
  const routes = createHealthRoutes({
    checks: reasons.map((reason) => () => reason),
    summary: () => summary,
  });
  const { status, body } =
    (await routes.find((route) => route.path === path)?.answer(new URLSearchParams())) ?? {};
  return { status, body };
}

describe('createHealthRoutes()', () => {
  it('/healthz only tells that the process answers', async () => {
    expect(await get('/healthz', ['draining'])).toEqual({ status: 200, body: { status: 'ok' } });
  });

  it('/readyz gives every reason', async () => {
    expect(await get('/readyz', [undefined, undefined])).toEqual({ status: 200, body: { status: 'ready' } });
    expect(await get('/readyz', ['no endpoint is ready', undefined, 'draining'])).toEqual({
      status: 503,
      body: { status: 'not ready', reasons: ['no endpoint is ready', 'draining'] },
    });
  });

  it('/readyz says what is degraded, and is ready all the same', async () => {
    const pageWith = (reasons: readonly string[]) => {
      const routes = createHealthRoutes({
        checks: reasons.map((reason) => () => reason),
        degraded: () => ['Redis is away'],
        summary: () => ({}),
      });
      return routes.find(({ path }) => path === '/readyz')!.answer(new URLSearchParams());
    };
    expect(await pageWith([])).toEqual({
      status: 200,
      body: { status: 'ready', degraded: ['Redis is away'] },
    });
    expect(await pageWith(['draining'])).toMatchObject({
      status: 503,
      body: { degraded: ['Redis is away'] },
    });
  });

  it('/health adds the summary and is always 200', async () => {
    expect(await get('/health', ['draining'], { version: '1' })).toEqual({
      status: 200,
      body: { status: 'not ready', reasons: ['draining'], version: '1' },
    });
    expect(await get('/health', [])).toEqual({ status: 200, body: { status: 'healthy', reasons: [] } });
  });
});

describe('someEndpointReady()', () => {
  it('asks for at least one model that somebody serves', () => {
    const ready = new Map<string, unknown>();
    const check = someEndpointReady(() => ready);
    expect(check()).toBe('no endpoint is ready');
    ready.set('m', []);
    expect(check()).toBeUndefined();
  });
});
