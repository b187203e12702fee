import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import Anthropic from '@anthropic-ai/sdk';
import { startGateway, type Gateway } from '../support/gateway.ts';

describe('a client through real Envoy', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway();
  }, 60_000);
  afterAll(() => gateway.stop());

  const messages = [{ role: 'user' as const, content: 'Hello' }];

  it('gets a plain completion from the openai package, with the decision on record', async () => {
    const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'unused' });
    const { data, response } = await openai.chat.completions
      .create({ model: 'm', messages, max_completion_tokens: 4 })
      .withResponse();
    expect(data.usage?.completion_tokens).toBe(4);
    const requestId = response.headers.get('x-request-id');
    const line = await gateway.exchange((exchange) => exchange['requestId'] === requestId);
    expect(line).toMatchObject({
      status: 200,
      outcome: 'completed',
      model: 'm',
      candidates: 3,
      outputTokens: 4,
      usageSource: 'access-log',
      attempts: 1,
    });
    const decisions = (await gateway.admin('/debug/decisions')) as {
      decisions: { id: string; ranked: { endpoint: string }[] }[];
    };
    const decision = decisions.decisions.find(({ id }) => id === line.exchange);
    expect(decision?.ranked[0]?.endpoint).toBe(line['servedBy']);
    expect(await gateway.inFlight()).toBe(0);
  });

  it('gets a streamed completion, whole and in order', async () => {
    const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'unused' });
    const stream = await openai.chat.completions.create({
      model: 'm',
      messages,
      max_completion_tokens: 8,
      stream: true,
      stream_options: { include_usage: true },
    });
    let chunks = 0;
    let usage: number | undefined;
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) chunks++;
      usage = chunk.usage?.completion_tokens ?? usage;
    }
    expect(chunks).toBeGreaterThan(0);
    expect(usage).toBe(8);
    const line = await gateway.exchange(
      (exchange) => exchange['stream'] === true && exchange['outputTokens'] === 8,
    );
    expect(line).toMatchObject({ status: 200, outcome: 'completed' });
  });

  it('serves the anthropic package', async () => {
    const anthropic = new Anthropic({ baseURL: gateway.url, apiKey: 'unused' });
    const stream = anthropic.messages.stream({ model: 'm', messages, max_tokens: 5 });
    const message = await stream.finalMessage();
    expect(message.usage.output_tokens).toBe(5);
    const line = await gateway.exchange((exchange) => exchange['path'] === '/v1/messages');
    expect(line).toMatchObject({ outcome: 'completed', outputTokens: 5 });
  });

  it('lists the models', async () => {
    const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'unused' });
    expect((await openai.models.list()).data.map(({ id }) => id)).toEqual(['m']);
  });
});
