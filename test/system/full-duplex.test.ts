import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import type { SimulatedEngine } from '../../src/engine-sim/server.ts';
import { editBootstrap, fullDuplex, withoutAccessLog, withoutStripping } from '../support/edit-bootstrap.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { responseOf, send, startRequest, type Sent } from '../support/http-client.ts';
import { exchangeOf, expectRefusal, requestsAtEngines, type Refusal } from '../support/refusals.ts';
import { until } from '../support/until.ts';

const mib = 1024 * 1024;
const messages = [{ role: 'user', content: 'Hello' }];
const streamed = { stream: true, stream_options: { include_usage: true } };

function chat(more: object = {}): string {
  return JSON.stringify({ model: 'm', messages, max_tokens: 3, ...more });
}

/** An engine that refuses is found out by the request, not by the scraper; and a prompt goes to where it was before. */
const config = `
scrape: { interval: 60s, staleAfter: 120s }
scheduler: { plugins: { Score: { enabled: [{ name: prefix-cache, weight: 1 }] } } }
`;

describe('an Envoy that sends both bodies FULL_DUPLEX_STREAMED', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      engines: 2,
      mode: 'attached',
      config,
      editBootstrap: editBootstrap((manager) => {
        fullDuplex(manager);
        withoutAccessLog(manager);
        withoutStripping(manager);
      }),
    });
  }, 60_000);
  afterAll(() => gateway.stop());
  afterEach(async () => {
    for (const engine of gateway.engines) engine.setFault({ mode: 'none' });
    await until(() => gateway.engines.every((engine) => engine.stats().running === 0));
    expect(await gateway.inFlight()).toBe(0);
  });

  function engineAt(id: unknown): SimulatedEngine {
    const engine = gateway.engines.find(({ host, port }) => `${host}:${port}` === id);
    if (engine === undefined) throw new Error(`No engine is at ${String(id)}`);
    return engine;
  }

  /** All that engines got of the exchange of a reply. */
  function received(requestId: unknown) {
    return gateway.engines
      .flatMap((engine) => engine.requests())
      .filter(({ headers }) => headers['x-request-id'] === requestId);
  }

  async function isServedOnce(body: string, sent: Sent = { body }): Promise<void> {
    const reply = await send(gateway.port, sent);
    expect(reply.status).toBe(200);
    expect(await exchangeOf(gateway, reply)).toMatchObject({
      status: 200,
      outcome: 'completed',
      outputTokens: 3,
      usageSource: 'streamed',
      requestBytes: Buffer.byteLength(body),
    });
    const sha256 = createHash('sha256').update(body).digest('hex');
    expect(received(reply.headers['x-request-id']).map((seen) => seen.body?.sha256)).toEqual([sha256]);
  }

  it.each([0, 61_900, 220 * 1024, 10 * mib])(
    'gets a body of %d bytes to the engine once and whole',
    (bytes) => isServedOnce(chat({ padding: 'ü'.repeat(bytes / 2) })),
  );

  it('gets an upload in chunks, with trailers, to the engine once and whole', () => {
    const body = chat({ padding: '世'.repeat(50_000) });
    const bytes = Buffer.from(body);
    const chunks = Array.from({ length: 16 }, (_, index) =>
      bytes.subarray(index * 10_000, (index + 1) * 10_000),
    );
    return isServedOnce(body, { body: chunks, trailers: { 'x-checksum': 'abc' } });
  });

  it('streams an answer through, whole and in order', async () => {
    const reply = await send(gateway.port, { body: chat({ ...streamed, max_tokens: 50 }) });
    expect(reply.status).toBe(200);
    expect(reply.body.match(/data: \[DONE\]\n\n$/)).not.toBeNull();
    expect(reply.body.split('"delta":{"content"')).toHaveLength(51);
    const line = await exchangeOf(gateway, reply);
    expect(line).toMatchObject({ outcome: 'completed', outputTokens: 50, usageSource: 'streamed' });
    expect(line['ttftMs']).toEqual(expect.any(Number));
  });

  it('has control headers of clients replaced or removed', async () => {
    const forged = gateway.engines.map(({ host, port }) => `${host}:${port}`).join(',');
    const reply = await send(gateway.port, {
      body: chat(),
      headers: [
        ['content-type', 'application/json'],
        ['x-gateway-destination-endpoint', forged],
        ['x-gateway-destination-endpoint-subset', forged],
        ['x-prefiller-host-port', forged],
        ['x-sluice-anything', '1'],
      ],
    });
    const line = await exchangeOf(gateway, reply);
    const [seen] = received(reply.headers['x-request-id']);
    expect(seen?.headers['x-gateway-destination-endpoint']?.toString().split(',')[0]).toBe(line['endpoint']);
    expect(Object.keys(seen?.headers ?? {}).filter((name) => /subset|prefiller|sluice/.test(name))).toEqual(
      [],
    );
  });

  const invalid = { status: 400, reason: 'invalid-request' } as const;
  it.each<[name: string, sent: Sent, refusal: Refusal]>([
    ['no JSON', { body: 'hello' }, { ...invalid, message: 'expected an object' }],
    ['truncated JSON', { body: chat().slice(0, -3) }, { ...invalid, message: 'it ends too early' }],
    ['an empty body in chunks', { body: [] }, { ...invalid, message: 'it is empty' }],
    [
      '17 MB',
      { body: Buffer.alloc(17 * mib, ' ') },
      { status: 413, reason: 'body-too-large', message: '16777216' },
    ],
    [
      '17 MB in chunks',
      { body: Array.from({ length: 17 }, () => Buffer.alloc(mib, ' ')) },
      { status: 413, reason: 'body-too-large', message: '16777216' },
    ],
    [
      'an unknown path',
      { path: '/metrics' },
      { status: 404, reason: 'path-not-found', message: 'Unknown path' },
    ],
    ['GET', { method: 'GET' }, { status: 405, reason: 'method-not-allowed', message: 'use POST' }],
    [
      'an unknown model',
      { body: chat({ model: 'nobody' }) },
      { status: 404, reason: 'model-not-found', param: 'model', message: 'nobody' },
    ],
  ])('refuses %s', async (_name, sent, refusal) => {
    const before = requestsAtEngines(gateway);
    await expectRefusal(gateway, await send(gateway.port, sent), refusal);
    expect(requestsAtEngines(gateway)).toBe(before);
  });

  it.each([1, 220 * 1024, mib])(
    'fails over with a body of %d bytes to the second endpoint',
    async (bytes) => {
      const prompt = [{ role: 'user', content: `A prompt of its own for ${bytes} bytes. `.repeat(50) }];
      const body = chat({ messages: prompt, padding: 'x'.repeat(bytes) });
      // The same prompt is drawn to where it was served before.
      const first = await exchangeOf(gateway, await send(gateway.port, { body }));
      engineAt(first['servedBy']).setFault({ mode: 'refuse', forMs: 60_000 });
      const reply = await send(gateway.port, { body });
      expect(reply.status).toBe(200);
      const line = await exchangeOf(gateway, reply);
      expect(line).toMatchObject({
        outcome: 'completed',
        attempts: 2,
        endpoint: first['servedBy'],
        outputTokens: 3,
      });
      expect(line['servedBy']).not.toBe(first['servedBy']);
      const sha256 = createHash('sha256').update(body).digest('hex');
      expect(received(reply.headers['x-request-id']).map((seen) => seen.body?.sha256)).toEqual([sha256]);
    },
  );

  it('sees a client leave mid-stream', async () => {
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
    await until(() => received('leaves')[0]?.outcome === 'aborted');
  });

  it('releases what a client holds that leaves before its body was complete', async () => {
    const outgoing = startRequest(gateway.port, {
      headers: [
        ['x-request-id', 'half'],
        ['content-length', '200000'],
      ],
      body: chat({ padding: 'x'.repeat(100_000) }),
    });
    await new Promise((resolve) => outgoing.once('finish', resolve));
    outgoing.destroy();
    expect(await gateway.exchange((line) => line['requestId'] === 'half')).toMatchObject({
      status: 0,
      outcome: 'aborted',
    });
    expect(received('half')).toEqual([]);
  });
});
