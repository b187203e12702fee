import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { envoyWithoutAccessLog, fullDuplexEnvoy } from '../support/attached-envoys.ts';
import { startGateway, type Gateway, type GatewayOptions } from '../support/gateway.ts';
import { responseOf, send, startRequest, type Reply } from '../support/http-client.ts';
import { samples } from '../support/metrics-page.ts';
import { exchangeOf } from '../support/refusals.ts';
import { until } from '../support/until.ts';

/** Every stream is asked for its usage, whether or not somebody is held to it. */
const config = 'usage: { ask: always, sampleRate: 0 }';
const chatPath = '/v1/chat/completions';
const asked = { stream_options: { include_usage: true } };

/** Requests of each streaming API, five output tokens each. */
const bodies: Readonly<Record<string, object>> = {
  [chatPath]: { messages: [{ role: 'user', content: 'Grüße' }], max_tokens: 5, ignore_eos: true },
  '/v1/completions': { prompt: 'Grüße', max_tokens: 5, ignore_eos: true },
  '/v1/messages': { messages: [{ role: 'user', content: 'Grüße' }], max_tokens: 5 },
  '/v1/responses': { input: 'Grüße', max_output_tokens: 5 },
};

function streamed(path: string, more: object = {}): string {
  return JSON.stringify({ model: 'm', ...bodies[path], stream: true, ...more });
}

/** Two replies to one request differ in nothing else. */
function withoutTime({ body }: Reply): string {
  return body.replace(/"created(_at)?":\d+/g, '');
}

const gateways: readonly [string, GatewayOptions][] = [
  ['the Envoy that Sluice runs', {}],
  ['an Envoy without access log', envoyWithoutAccessLog],
  ['an Envoy that sends bodies FULL_DUPLEX_STREAMED', fullDuplexEnvoy],
];

describe.each(gateways)('usage that a client did not ask for, through %s', (_, options) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ engines: 1, config, ...options });
  }, 60_000);
  afterAll(() => gateway.stop());
  afterEach(async () => {
    await until(() => gateway.engines.every((engine) => engine.stats().running === 0));
    expect(await gateway.inFlight()).toBe(0);
  });

  let requests = 0;
  /** Sends the same request to the engine and through the gateway. */
  async function twice(path: string, body: string) {
    const headers = [
      ['content-type', 'application/json'],
      ['x-request-id', `twice-${++requests}`],
    ] as const;
    const direct = await send(gateway.engines[0]!.port, { path, headers, body });
    const through = await send(gateway.port, { path, headers, body });
    return { direct, through, line: await exchangeOf(gateway, through) };
  }

  it.each<[string, string, object]>([
    ['a chat', chatPath, {}],
    ['a chat with stream options that are null', chatPath, { stream_options: null }],
    ['a chat that wants none', chatPath, { stream_options: { include_usage: false } }],
    ['a chat with several answers', chatPath, { n: 3 }],
    ['a long chat', chatPath, { max_tokens: 300 }],
    ['a completion', '/v1/completions', {}],
  ])('is on record and not in the stream of %s', async (_case, path, more) => {
    const { direct, through, line } = await twice(path, streamed(path, more));
    expect(direct.body).not.toContain('"usage"');
    expect(withoutTime(through)).toBe(withoutTime(direct));
    const { n = 1, max_tokens: tokens = 5 } = more as { n?: number; max_tokens?: number };
    expect(line).toMatchObject({
      status: 200,
      outcome: 'completed',
      outputTokens: n * tokens,
      usageSource: 'streamed',
      responseBytes: Buffer.byteLength(through.body),
    });
  });

  it.each<[string, string, object]>([
    ['a chat', chatPath, asked],
    [
      'a chat that wants it always',
      chatPath,
      { stream_options: { include_usage: true, continuous_usage_stats: true } },
    ],
    ['a completion', '/v1/completions', asked],
  ])('is in the stream of %s where the client did ask', async (_case, path, more) => {
    const { direct, through, line } = await twice(path, streamed(path, more));
    expect(direct.body).toContain('"choices":[],"usage":{');
    expect(withoutTime(through)).toBe(withoutTime(direct));
    expect(line).toMatchObject({ outcome: 'completed', outputTokens: 5 });
  });

  it.each(['/v1/messages', '/v1/responses'])('changes nothing of %s', async (path) => {
    const { direct, through, line } = await twice(path, streamed(path));
    expect(direct.body).toContain('"usage":{');
    expect(withoutTime(through)).toBe(withoutTime(direct));
    expect(line).toMatchObject({ outcome: 'completed', outputTokens: 5 });
  });

  it('changes nothing of an answer that is no stream', async () => {
    const { direct, through, line } = await twice(chatPath, streamed(chatPath, { stream: false }));
    expect(withoutTime(through)).toBe(withoutTime(direct));
    expect(line).toMatchObject({ outcome: 'completed', outputTokens: 5 });
  });

  it('changes nothing of a refusal', async () => {
    const { direct, through, line } = await twice(chatPath, streamed(chatPath, { max_tokens: 0 }));
    expect(direct.status).toBe(400);
    expect(through.status).toBe(400);
    expect(through.body).toBe(direct.body);
    expect(line).toMatchObject({ status: 400 });
  });

  it('is in the metrics', async () => {
    const output = async (): Promise<number> => {
      const counts = await samples(gateway, 'sluice_tokens_total');
      return [...counts].reduce(
        (sum, [labels, count]) => (labels.includes('type="output"') ? sum + count : sum),
        0,
      );
    };
    const before = await output();
    await exchangeOf(gateway, await send(gateway.port, { body: streamed(chatPath) }));
    expect((await output()) - before).toBe(5);
  });

  it('is on record too when the client hangs up as soon as it has read [DONE]', async () => {
    const outgoing = startRequest(gateway.port, {
      headers: [
        ['content-type', 'application/json'],
        ['x-request-id', 'hangs-up'],
      ],
      body: streamed(chatPath),
    });
    const response = await responseOf(outgoing);
    response.on('error', () => undefined);
    let text = '';
    await new Promise<void>((resolve) => {
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
        if (text.includes('[DONE]')) resolve();
      });
    });
    outgoing.destroy();
    expect(text).not.toContain('"usage"');
    expect(await gateway.exchange(({ requestId }) => requestId === 'hangs-up')).toMatchObject({
      status: 200,
      outcome: 'completed',
      outputTokens: 5,
    });
  });

  it('does not reach the openai package, which gets its stream whole', async () => {
    const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'unused' });
    const stream = await openai.chat.completions.create({
      model: 'm',
      messages: [{ role: 'user', content: 'Hello' }],
      max_completion_tokens: 8,
      stream: true,
    });
    let tokens = 0;
    for await (const chunk of stream) {
      expect(chunk.choices).toHaveLength(1);
      expect(chunk.usage ?? undefined).toBeUndefined();
      if (chunk.choices[0]?.delta.content) tokens++;
    }
    expect(tokens).toBe(8);
  });
});

describe('usage that a client did not ask for', () => {
  let gateway: Gateway | undefined;
  afterEach(async () => {
    await gateway?.stop();
    gateway = undefined;
  });

  it.each<[string, string, number, object]>([
    [
      'stays in the stream',
      'ask: always, hideChunk: false',
      1,
      { outputTokens: 5, usageSource: 'access-log' },
    ],
    ['is not asked for', 'ask: never', 0, { usageSource: 'none' }],
    ['is not asked for where nobody is held to it', 'ask: auto', 0, { usageSource: 'none' }],
  ])('%s with usage: { %s }', async (_, usage, accounts, known) => {
    gateway = await startGateway({ engines: 1, config: `usage: { sampleRate: 0, ${usage} }` });
    const reply = await send(gateway.port, { body: streamed(chatPath) });
    expect(reply.body.split('"choices":[],"usage":{')).toHaveLength(accounts + 1);
    expect(reply.body.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(await exchangeOf(gateway, reply)).toMatchObject({ outcome: 'completed', ...known });
  });

  it('is asked for, and taken out, where fairness needs it', async () => {
    gateway = await startGateway({
      engines: 1,
      config: 'fairness: { enabled: true }\nusage: { sampleRate: 0 }',
    });
    const reply = await send(gateway.port, { body: streamed(chatPath) });
    expect(reply.body).not.toContain('"usage"');
    expect(await exchangeOf(gateway, reply)).toMatchObject({ outputTokens: 5, usageSource: 'streamed' });
  });
});
