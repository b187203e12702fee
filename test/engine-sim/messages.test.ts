import Anthropic from '@anthropic-ai/sdk';
import { describe, expect, it } from '@jest/globals';
import { post, startEngine } from './support.ts';

function sdk(url: string): Anthropic {
  return new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 });
}

const request = {
  model: 'm',
  max_tokens: 5,
  system: [{ type: 'text' as const, text: 'Be brief.' }],
  messages: [{ role: 'user' as const, content: 'How fast is the stream?' }],
};

describe('POST /v1/messages', () => {
  it('answers the Anthropic SDK', async () => {
    const { url } = await startEngine();
    const answer = await sdk(url).messages.create(request);
    expect(answer).toMatchObject({
      type: 'message',
      role: 'assistant',
      model: 'm',
      stop_reason: 'max_tokens',
      usage: { output_tokens: 5 },
    });
    expect(answer.content).toEqual([{ type: 'text', text: expect.stringMatching(/^.{20}$/) }]);
  });

  it("feeds the Anthropic SDK's stream helper", async () => {
    const { url } = await startEngine();
    const whole = await sdk(url).messages.create(request);
    const stream = sdk(url).messages.stream(request);
    const final = await stream.finalMessage();
    expect(final.content).toEqual(whole.content);
    expect(final.stop_reason).toBe('max_tokens');
    expect(final.usage).toMatchObject({ input_tokens: whole.usage.input_tokens, output_tokens: 5 });
  });

  it('streams every event of the protocol in order', async () => {
    const { url } = await startEngine();
    const { text } = await post(`${url}/v1/messages`, { ...request, max_tokens: 2, stream: true });
    expect(text.split('\n').filter((line) => line.startsWith('event: '))).toEqual(
      [
        'message_start',
        'content_block_start',
        'ping',
        'content_block_delta',
        'content_block_delta',
        'content_block_stop',
        'message_delta',
        'message_stop',
      ].map((type) => `event: ${type}`),
    );
    expect(text).toContain('"content_block":{"type":"text","text":""}');
  });

  it('words errors for its clients', async () => {
    const { url } = await startEngine();
    const { status, text } = await post(`${url}/v1/messages`, { ...request, model: 'x' });
    expect(status).toBe(404);
    expect(JSON.parse(text)).toEqual({
      type: 'error',
      error: { type: 'NotFoundError', message: 'The model `x` does not exist.' },
    });
  });
});

describe('POST /v1/messages/count_tokens', () => {
  it('counts what a message would be charged', async () => {
    const { url } = await startEngine();
    const { input_tokens: counted } = await sdk(url).messages.countTokens({
      model: 'm',
      system: request.system,
      messages: request.messages,
    });
    const answer = await sdk(url).messages.create(request);
    expect(counted).toBe(answer.usage.input_tokens);
  });
});
