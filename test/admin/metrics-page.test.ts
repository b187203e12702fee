import { describe, expect, it } from '@jest/globals';
import { createMetricsRoute } from '../../src/admin/metrics-page.ts';

describe('createMetricsRoute()', () => {
  it('sends the page with the type that Prometheus expects', async () => {
    const contentType = 'text/plain; version=0.0.4; charset=utf-8';
    const route = createMetricsRoute({ contentType, render: () => Promise.resolve('up 1\n') });
    expect(route.path).toBe('/metrics');
    expect(await route.answer(new URLSearchParams())).toEqual({ status: 200, body: 'up 1\n', contentType });
  });
});
