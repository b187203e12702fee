import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startEnvoyRig, type EnvoyRig } from '../support/envoy-rig.ts';

let rig: EnvoyRig;

beforeAll(async () => {
  rig = await startEnvoyRig({ maxBodyBytes: 100_000, retries: 0 });
}, 30_000);

afterAll(() => rig.stop());

describe('localReplies()', () => {
  it("says that no engine can answer in OpenAI's shape, and when to come back", async () => {
    rig.sluice.decide({ kind: 'route', to: '127.0.0.1:1' });
    const response = await fetch(rig.url, { method: 'POST', body: '{}' });

    expect(response.status).toBe(503);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).toEqual({
      error: {
        message: 'No engine can answer at the moment.',
        type: 'server_error',
        param: null,
        code: 'service_unavailable',
      },
    });
  });

  it('does not tell clients where engines are', async () => {
    await rig.routeTo(1);
    const response = await fetch(rig.url, { method: 'POST', body: '{}' });
    expect(response.status).toBe(503);
    expect(await response.text()).not.toMatch(/127\.0\.0\.1|refused|reset/);
  });

  it('names the limit to a body that is too large', async () => {
    const response = await fetch(rig.url, { method: 'POST', body: 'x'.repeat(200_000) });
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({
      error: { message: 'The request body is larger than 100000 bytes.', code: 'request_too_large' },
    });
  });

  it("leaves Sluice's own answers as they are", async () => {
    const body = '{"error":{"message":"your turn comes later","code":"rate_limited"}}';
    rig.sluice.decide({ kind: 'reply', status: 503, body });
    const response = await fetch(rig.url, { method: 'POST', body: '{}' });
    expect(response.status).toBe(503);
    expect(await response.text()).toBe(body);
    expect(response.headers.get('retry-after')).toBeNull();
  });
});
