import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { responseOf, send, startRequest } from '../support/http-client.ts';
import { exchangeOf, expectRefusal } from '../support/refusals.ts';
import { until } from '../support/until.ts';

const mib = 1024 * 1024;
const messages = [{ role: 'user', content: 'A prompt that is long enough to be remembered. '.repeat(50) }];
const streamed = { stream: true, stream_options: { include_usage: true } };

function chat(more: object = {}): string {
  return JSON.stringify({ model: 'm', messages, max_tokens: 3, ...more });
}

/** An engine that refuses is found out by the request, not by the scraper; and a prompt goes to where it was before. */
const config = `
scrape: { interval: 60s, staleAfter: 120s }
usage: { sampleRate: 0 }
scheduler: { plugins: { Score: { enabled: [{ name: prefix-cache, weight: 1 }] } } }
`;

/** 1.37 has no filters that read usage for the access log. */
describe.each([
  ['1.37.0', 'streamed'],
  ['1.39.3', 'access-log'],
])('Envoy %s', (envoyVersion, usageSource) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      engines: 2,
      envoyVersion,
      config,
    });
  }, 120_000);
  afterAll(() => gateway.stop());
  afterEach(async () => {
    for (const engine of gateway.engines) engine.setFault({ mode: 'none' });
    await until(() => gateway.engines.every((engine) => engine.stats().running === 0));
    expect(await gateway.inFlight()).toBe(0);
  });

  it(`is the one that runs`, async () => {
    const line = await gateway.line(({ msg }) => msg.includes('listens on'));
    expect(line.msg).toContain(`Envoy ${envoyVersion} `);
  });

  it.each([
    ['plain', chat()],
    ['streamed', chat(streamed)],
    ['220 KB', chat({ padding: 'ü'.repeat(110 * 1024) })],
    ['15 MB', chat({ padding: 'x'.repeat(15 * mib) })],
  ])('serves a request once and counts its tokens: %s', async (_name, body) => {
    const reply = await send(gateway.port, { body });
    expect(reply.status).toBe(200);
    expect(await exchangeOf(gateway, reply)).toMatchObject({
      status: 200,
      outcome: 'completed',
      outputTokens: 3,
      usageSource,
      attempts: 1,
    });
    const seen = gateway.engines
      .flatMap((engine) => engine.requests())
      .filter(({ headers }) => headers['x-request-id'] === reply.headers['x-request-id']);
    expect(seen.map((request) => request.body?.sha256)).toEqual([
      createHash('sha256').update(body).digest('hex'),
    ]);
  });

  it('fails over to the second endpoint', async () => {
    const first = await exchangeOf(gateway, await send(gateway.port, { body: chat() }));
    const engine = gateway.engines.find(({ port }) => first['servedBy'] === `127.0.0.1:${port}`);
    engine!.setFault({ mode: 'refuse', forMs: 60_000 });
    const reply = await send(gateway.port, { body: chat() });
    expect(reply.status).toBe(200);
    const line = await exchangeOf(gateway, reply);
    expect(line).toMatchObject({
      outcome: 'completed',
      attempts: 2,
      endpoint: first['servedBy'],
      outputTokens: 3,
    });
    expect(line['servedBy']).not.toBe(first['servedBy']);
  });

  it('refuses 17 MB, by its length and in chunks', async () => {
    await expectRefusal(gateway, await send(gateway.port, { body: Buffer.alloc(17 * mib, ' ') }), {
      status: 413,
      reason: 'body-too-large',
      message: '16777216',
    });
    const reply = await send(gateway.port, {
      body: Array.from({ length: 17 }, () => Buffer.alloc(mib, ' ')),
    });
    expect(reply).toMatchObject({ status: 413, json: { error: { code: 'request_too_large' } } });
    expect(await exchangeOf(gateway, reply)).toMatchObject({
      status: 413,
      outcome: 'rejected',
      reason: 'body-too-large',
    });
  });

  it('never lets a client choose the endpoint or a path of the operator', async () => {
    for (const path of ['/metrics', '//metrics', '/v1/..%2fmetrics', '/v1/chat/completions/../../../metrics'])
      expect(await send(gateway.port, { path, body: chat() })).toMatchObject({ status: 404 });
    const first = await exchangeOf(gateway, await send(gateway.port, { body: chat() }));
    const other = gateway.engines.find(({ port }) => first['servedBy'] !== `127.0.0.1:${port}`)!;
    const reply = await send(gateway.port, {
      body: chat(),
      headers: [['x-gateway-destination-endpoint', `127.0.0.1:${other.port}`]],
    });
    const line = await exchangeOf(gateway, reply);
    expect(line['servedBy']).toBe(line['endpoint']);
  });

  it('tells that a client left mid-stream, and frees the engine', async () => {
    const outgoing = startRequest(gateway.port, {
      headers: [['x-request-id', 'leaves']],
      body: chat({ ...streamed, max_tokens: 2000 }),
    });
    const response = await responseOf(outgoing);
    response.on('error', () => undefined);
    await new Promise((resolve) => response.once('data', resolve));
    outgoing.destroy();
    expect(await gateway.exchange((line) => line['requestId'] === 'leaves')).toMatchObject({
      status: 200,
      outcome: 'aborted',
    });
  });
});
