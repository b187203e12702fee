import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import type { ReceivedRequest } from '../../src/engine-sim/request-log.ts';
import { fullDuplexEnvoy } from '../support/attached-envoys.ts';
import { eventually } from '../support/eventually.ts';
import { startGateway, type Gateway, type GatewayOptions } from '../support/gateway.ts';
import { send, type Reply } from '../support/http-client.ts';
import { exchangeOf, expectRefusal, requestsAtEngines } from '../support/refusals.ts';

const llama = 'meta-llama/Llama-3.1-8B-Instruct';
const tuned = 'größe "世🌍"\\';

const config = `
usage: { sampleRate: 0 }
scrape: { interval: 100ms, timeout: 1s, staleAfter: 5s, unhealthyAfter: 2 }
models:
  aliases:
    gpt-4o: ${llama}
    kurz: ${JSON.stringify(tuned)}
    own: ${llama}
    lost: gone
    sleeper: asleep
  rewrites:
    retired: ${llama}
`;

function body(model: string, more: object = {}): string {
  return `{ "messages": [{"role":"user","content":"Gr\\u00fc\\u00dfe, 世🌍"}],\n "model" : ${JSON.stringify(model)} ,"max_tokens":3,"x":${JSON.stringify(more)}}`;
}

function form(model: string): Buffer {
  return Buffer.concat([
    Buffer.from('--XyZ\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'),
    Buffer.from('Content-Type: audio/wav\r\n\r\n'),
    Buffer.from(Array.from({ length: 20_000 }, (_, index) => (index * 7) & 255)),
    Buffer.from(`\r\n--XyZ\r\nContent-Disposition: form-data; name="model"\r\n\r\n${model}\r\n`),
    Buffer.from('--XyZ\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n--XyZ--\r\n'),
  ]);
}

const modes: readonly [string, GatewayOptions][] = [
  ['an Envoy that buffers bodies', {}],
  ['an Envoy that sends bodies FULL_DUPLEX_STREAMED', fullDuplexEnvoy],
];

describe.each(modes)('renamed models behind %s', (_mode, options) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      engines: [
        { model: llama, adapters: [tuned], requestLogSize: 1000 },
        { model: 'own', adapters: ['retired'], requestLogSize: 1000 },
        { model: 'asleep' },
      ],
      config,
      ...options,
    });
    gateway.engines[2]!.setFault({ mode: 'refuse', forMs: 600_000 });
    await eventually(async () => {
      const page = (await gateway.admin('/debug/endpoints')) as { endpoints: { health: { kind: string } }[] };
      return page.endpoints.map(({ health }) => health.kind).join() === 'healthy,healthy,unhealthy';
    });
  }, 60_000);
  afterAll(() => gateway.stop());
  afterEach(async () => {
    expect(await gateway.inFlight()).toBe(0);
  });

  /** What engine `index` got of the exchange of a reply; no other got any of it. */
  function received(reply: Reply, index = 0): ReceivedRequest {
    const seen = gateway.engines.map((engine) =>
      engine.requests().filter(({ headers }) => headers['x-request-id'] === reply.headers['x-request-id']),
    );
    expect(seen.map((requests) => requests.length)).toEqual([0, 1, 2].map((at) => (at === index ? 1 : 0)));
    return seen[index]![0]!;
  }

  function expectBody(seen: ReceivedRequest, expected: string | Buffer): void {
    expect(seen.body).toMatchObject({
      bytes: Buffer.byteLength(expected),
      sha256: createHash('sha256').update(expected).digest('hex'),
    });
    const length = seen.headers['content-length'];
    expect(length ?? String(Buffer.byteLength(expected))).toBe(String(Buffer.byteLength(expected)));
  }

  it.each([
    ['gpt-4o', llama],
    ['kurz', tuned],
    ['retired', llama],
  ])('a chat with "%s" is one with its target, byte for byte', async (name, target) => {
    const reply = await send(gateway.port, { body: body(name) });
    expect(reply.status).toBe(200);
    expect(reply.json).toMatchObject({ model: target, usage: { completion_tokens: 3 } });
    expectBody(received(reply), body(target));
    expect(await exchangeOf(gateway, reply)).toMatchObject({
      model: name,
      servedModel: target,
      status: 200,
      outcome: 'completed',
      outputTokens: 3,
      requestBytes: Buffer.byteLength(body(name)),
    });
  });

  it('a chat of 300 KiB in chunks', async () => {
    const more = { padding: 'ü'.repeat(150 * 1024) };
    const bytes = Buffer.from(body('gpt-4o', more));
    const chunks = Array.from({ length: 11 }, (_, index) =>
      bytes.subarray(index * 30_001, (index + 1) * 30_001),
    );
    const reply = await send(gateway.port, { body: chunks });
    expect(reply.status).toBe(200);
    expectBody(received(reply), body(llama, more));
  });

  it('a streamed chat', async () => {
    const chat = (model: string): string =>
      JSON.stringify({
        stream: true,
        model,
        messages: [{ role: 'user', content: 'Hello' }],
        max_tokens: 3,
        stream_options: { include_usage: true },
      });
    const reply = await send(gateway.port, { body: chat('gpt-4o') });
    expect(reply.status).toBe(200);
    expect(reply.headers['content-type']).toContain('text/event-stream');
    expect(reply.body).toContain('data: [DONE]');
    expectBody(received(reply), chat(llama));
    expect(await exchangeOf(gateway, reply)).toMatchObject({
      model: 'gpt-4o',
      servedModel: llama,
      stream: true,
      outcome: 'completed',
      outputTokens: 3,
    });
  });

  it.each([
    ['gpt-4o', llama],
    ['kurz', tuned],
  ])('a form with "%s"', async (name, target) => {
    const reply = await send(gateway.port, {
      path: '/v1/audio/transcriptions',
      headers: [['content-type', 'multipart/form-data; boundary=XyZ']],
      body: form(name),
    });
    expect(reply.status).toBe(200);
    expectBody(received(reply), form(target));
    expect(await exchangeOf(gateway, reply)).toMatchObject({ model: name, servedModel: target });
  });

  it("an alias of an engine's own name is the engine's own model", async () => {
    const reply = await send(gateway.port, { body: body('own') });
    expect(reply.json).toMatchObject({ model: 'own' });
    expectBody(received(reply, 1), body('own'));
    expect(await exchangeOf(gateway, reply)).not.toHaveProperty('servedModel');
  });

  it('models and aliases are listed, and each has a card', async () => {
    const list = await send(gateway.port, { method: 'GET', path: '/v1/models' });
    const cards = list.json['data'] as { id: string; root: string; parent: string | null }[];
    expect(cards.map(({ id }) => id)).toEqual([
      llama,
      tuned,
      'own',
      'retired',
      'asleep',
      'gpt-4o',
      'kurz',
      'sleeper',
    ]);
    const alias = cards.find(({ id }) => id === 'gpt-4o');
    expect(alias).toMatchObject({ root: llama, parent: llama });
    expect(cards.find(({ id }) => id === 'own')).toMatchObject({ root: 'own', parent: null });
    const card = await send(gateway.port, { method: 'GET', path: '/v1/models/gpt-4o' });
    expect([card.status, card.json]).toEqual([200, alias]);
    const none = await send(gateway.port, { method: 'GET', path: '/v1/models/lost' });
    expect(none.status).toBe(404);
  });

  it('an alias of a model that nobody serves is refused', async () => {
    const before = requestsAtEngines(gateway);
    await expectRefusal(gateway, await send(gateway.port, { body: body('lost') }), {
      status: 404,
      reason: 'model-not-found',
      message: 'The model "lost" (served as "gone") does not exist.',
      param: 'model',
    });
    expect(requestsAtEngines(gateway)).toBe(before);
  });

  it('an alias of a model whose engine is down is refused for now', async () => {
    const reply = await send(gateway.port, { body: body('sleeper') });
    expect(reply.headers['retry-after']).toBe('1');
    await expectRefusal(gateway, reply, {
      status: 503,
      reason: 'model-unavailable',
      message: 'The model "sleeper" (served as "asleep") is temporarily unavailable.',
      type: 'overloaded_error',
    });
  });

  it('metrics have both names', async () => {
    await send(gateway.port, { body: body('gpt-4o') });
    await eventually(async () => {
      const page = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
      return page.includes(`sluice_exchanges_total{model="gpt-4o",served_model="${llama}",code="200"`);
    });
  });
});
