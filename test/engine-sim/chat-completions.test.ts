import { describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { eventData, openPost, post, startEngine } from './support.ts';

const messages = [{ role: 'user' as const, content: 'How deep is the river at the second gate?' }];

function sdk(url: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
}

describe('POST /v1/chat/completions', () => {
  it('answers the OpenAI SDK, the same for the same prompt, with what the cache saved', async () => {
    const { url } = await startEngine();
    const create = () => sdk(url).chat.completions.create({ model: 'm', messages, max_completion_tokens: 6 });
    const first = await create();
    const second = await create();
    expect(first).toMatchObject({
      object: 'chat.completion',
      model: 'm',
      choices: [{ index: 0, message: { role: 'assistant' }, finish_reason: 'length' }],
    });
    expect(first.choices[0]?.message.content).toHaveLength(24);
    expect(second.choices[0]?.message.content).toBe(first.choices[0]?.message.content);
    expect(first.usage).toEqual({
      prompt_tokens: 20,
      completion_tokens: 6,
      total_tokens: 26,
      prompt_tokens_details: { cached_tokens: 0 },
    });
    expect(second.usage?.prompt_tokens_details).toEqual({ cached_tokens: 16 });
  });

  it("feeds the OpenAI SDK's stream helper", async () => {
    const { url } = await startEngine();
    const whole = await sdk(url).chat.completions.create({ model: 'm', messages, max_completion_tokens: 5 });
    const stream = sdk(url).chat.completions.stream({
      model: 'm',
      messages,
      max_completion_tokens: 5,
      stream_options: { include_usage: true },
    });
    const pieces: string[] = [];
    stream.on('content', (delta) => pieces.push(delta));
    const final = await stream.finalChatCompletion();
    expect(final.choices[0]?.message.content).toBe(whole.choices[0]?.message.content);
    expect(final.choices[0]?.finish_reason).toBe('length');
    expect(pieces.filter((piece) => piece !== '')).toHaveLength(5);
    expect(final.usage).toMatchObject({ prompt_tokens: 20, completion_tokens: 5 });
  });

  it('streams a role, a chunk for each token, usage only where it was asked for, and [DONE]', async () => {
    const { url } = await startEngine();
    const body = { model: 'm', messages, stream: true, max_tokens: 2, ignore_eos: true };
    const chunks = async (options: object) =>
      eventData((await post(`${url}/v1/chat/completions`, { ...body, ...options })).text);

    const plain = await chunks({});
    expect(plain.slice(0, -1).map((data) => (JSON.parse(data) as { choices: unknown }).choices)).toEqual([
      [{ index: 0, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null }],
      [{ index: 0, delta: { content: expect.any(String) }, logprobs: null, finish_reason: null }],
      [
        {
          index: 0,
          delta: { content: expect.any(String) },
          logprobs: null,
          finish_reason: 'length',
          stop_reason: null,
        },
      ],
    ]);
    expect(plain.at(-1)).toBe('[DONE]');
    expect(plain.join()).not.toContain('usage');

    const withUsage = await chunks({ stream_options: { include_usage: true } });
    expect(withUsage).toHaveLength(5);
    expect(JSON.parse(withUsage[3] ?? '')).toMatchObject({ choices: [], usage: { completion_tokens: 2 } });

    const every = await chunks({ stream_options: { include_usage: true, continuous_usage_stats: true } });
    const counted = every
      .slice(0, -1)
      .map((data) => (JSON.parse(data) as { usage: { completion_tokens: number } }).usage.completion_tokens);
    expect(counted).toEqual([0, 1, 2, 2]);
  });

  it.each<[string, unknown, number]>([
    ['null', null, 0],
    ['nothing of usage', {}, 1],
    ['null', { include_usage: null }, 0],
    ['false, and of every chunk', { include_usage: false, continuous_usage_stats: true }, 0],
    ['nothing but of every chunk', { continuous_usage_stats: true }, 4],
  ])('takes stream options that say %s as vLLM does', async (_, options, accounts) => {
    const { url } = await startEngine();
    const body = {
      model: 'm',
      messages,
      stream: true,
      max_tokens: 2,
      ignore_eos: true,
      stream_options: options,
    };
    const { text } = await post(`${url}/v1/chat/completions`, body);
    expect(text.split('"usage":{')).toHaveLength(accounts + 1);
  });

  it('sends the head of a stream when it queues it, before there is any token', async () => {
    const engine = await startEngine();
    engine.setFault({ mode: 'hang' });
    const { response, rest } = await openPost(`${engine.url}/v1/chat/completions`, {
      model: 'm',
      messages,
      stream: true,
      max_tokens: 1,
    });
    expect([response.statusCode, response.headers['content-type']]).toEqual([
      200,
      'text/event-stream; charset=utf-8',
    ]);
    expect(engine.stats().running + engine.stats().waiting).toBe(1);
    engine.setFault({ mode: 'none' });
    expect((await rest).text).toContain('[DONE]');
  });

  it('answers n choices, each its own, and counts the prompt once', async () => {
    const { url } = await startEngine();
    const answer = await sdk(url).chat.completions.create({
      model: 'm',
      messages,
      max_completion_tokens: 4,
      n: 3,
    });
    expect(new Set(answer.choices.map((choice) => choice.message.content)).size).toBe(3);
    expect(answer.usage).toMatchObject({ prompt_tokens: 20, completion_tokens: 12 });
  });

  it('takes the X-Request-Id for its id', async () => {
    const { url } = await startEngine();
    const { text } = await post(
      `${url}/v1/chat/completions`,
      { messages, max_tokens: 1 },
      { 'x-request-id': 'abc' },
    );
    expect(JSON.parse(text)).toMatchObject({ id: 'chatcmpl-abc', model: 'm' });
  });

  it.each([
    [
      '{"model": "m"',
      400,
      { type: 'Bad Request', message: expect.stringContaining('JSON decode error'), param: null, code: 400 },
    ],
    [
      { model: 'm' },
      400,
      { type: 'Bad Request', message: expect.stringContaining("'loc': ('body', 'messages')") },
    ],
    [{ model: 7, messages }, 400, { message: expect.stringContaining("'loc': ('body', 'model')") }],
    [{ model: 'm', messages: [] }, 400, {}],
    [
      { model: 'x', messages },
      404,
      { message: 'The model `x` does not exist.', type: 'NotFoundError', param: 'model', code: 404 },
    ],
    [
      { model: 'm', messages, max_tokens: 200_000 },
      400,
      {
        type: 'BadRequestError',
        param: 'input_tokens',
        message: expect.stringContaining("This model's maximum context length is 131072 tokens"),
      },
    ],
  ])('refuses %j as vLLM does', async (body, status, error) => {
    const { url } = await startEngine();
    const reply = await post(`${url}/v1/chat/completions`, body);
    expect(reply.status).toBe(status);
    expect(JSON.parse(reply.text)).toMatchObject({ error });
  });
});
