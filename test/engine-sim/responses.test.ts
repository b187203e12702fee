import { describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { startEngine } from './support.ts';

function sdk(url: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
}

const request = {
  model: 'm',
  input: 'How wide is the gate?',
  instructions: 'Be brief.',
  max_output_tokens: 4,
};

describe('POST /v1/responses', () => {
  it('answers the OpenAI SDK', async () => {
    const { url } = await startEngine();
    const answer = await sdk(url).responses.create(request);
    expect(answer).toMatchObject({
      object: 'response',
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
    });
    expect(answer.output_text).toHaveLength(16);
    expect(answer.usage).toMatchObject({ output_tokens: 4, input_tokens_details: { cached_tokens: 0 } });
  });

  it("feeds the OpenAI SDK's stream helper", async () => {
    const { url } = await startEngine();
    const whole = await sdk(url).responses.create(request);
    const stream = sdk(url).responses.stream(request);
    const types: string[] = [];
    for await (const event of stream) types.push(event.type);
    const final = await stream.finalResponse();
    expect(final.output_text).toBe(whole.output_text);
    expect(final.usage?.output_tokens).toBe(4);
    expect(types).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      ...Array.from({ length: 4 }, () => 'response.output_text.delta'),
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.incomplete',
    ]);
  });

  it('takes a conversation as items, and ends with response.completed where no limit cut it', async () => {
    const { url } = await startEngine();
    const input = [
      { role: 'user' as const, content: [{ type: 'input_text' as const, text: 'Hello' }] },
      { type: 'function_call_output' as const, call_id: 'c', output: '42' },
    ];
    const stream = await sdk(url).responses.create({ model: 'm', input, stream: true });
    let last = '';
    for await (const event of stream) last = event.type;
    expect(last).toBe('response.completed');
  });
});
