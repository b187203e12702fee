import { describe, expect, it } from '@jest/globals';
import type { Api } from '../../src/request/parsed-request.ts';
import {
  createUsageReader,
  isReadableEventStream,
  readUsageMetadata,
  type TokenUsage,
  type UsageReader,
} from '../../src/request/usage.ts';

const chunk = (delta: object, more: object = {}): object => ({
  id: 'c',
  choices: [{ index: 0, delta }],
  ...more,
});
const openAiUsage = { prompt_tokens: 10, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 8 } };
const ten: TokenUsage = { inputTokens: 10, outputTokens: 3, cachedInputTokens: 8 };

function stream(...events: readonly (object | string)[]): string {
  return events
    .map((event) => `data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`)
    .join('');
}

function read(api: Api, contentType: string, ...chunks: readonly string[]): UsageReader {
  const reader = createUsageReader(api, contentType, undefined);
  for (const bytes of chunks) reader.push(Buffer.from(bytes));
  reader.end();
  return reader;
}

function summary({ usage, done, outputChunks, sawFirstToken }: UsageReader): object {
  return { usage, done, outputChunks, sawFirstToken };
}

const streams: [string, Api, string, object][] = [
  [
    'chat with usage',
    'chat',
    stream(
      chunk({ role: 'assistant', content: '' }),
      chunk({ content: 'a' }),
      chunk({ content: 'b' }),
      { choices: [], usage: openAiUsage },
      '[DONE]',
    ),
    { usage: ten, done: true, outputChunks: 2, sawFirstToken: true },
  ],
  [
    'chat without usage',
    'chat',
    stream(
      chunk({ role: 'assistant', content: '' }),
      chunk({ content: 'a' }, { usage: null }),
      chunk({}),
      '[DONE]',
    ),
    { usage: undefined, done: true, outputChunks: 1, sawFirstToken: true },
  ],
  [
    'chat that breaks off before its first token',
    'chat',
    stream(chunk({ role: 'assistant', content: '' })),
    { usage: undefined, done: false, outputChunks: 0, sawFirstToken: false },
  ],
  [
    'reasoning and tool calls',
    'chat',
    stream(
      chunk({ reasoning_content: 'a' }),
      chunk({ reasoning: 'a', content: null }),
      chunk({ tool_calls: [{ index: 0 }] }),
      chunk({ tool_calls: [] }),
    ),
    { usage: undefined, done: false, outputChunks: 3, sawFirstToken: true },
  ],
  [
    'usage in every chunk: the last counts',
    'chat',
    stream(
      chunk({ content: 'a' }, { usage: { prompt_tokens: 10, completion_tokens: 1 } }),
      chunk({ content: 'b' }, { usage: { prompt_tokens: 10, completion_tokens: 2 } }),
      { choices: [], usage: openAiUsage },
      '[DONE]',
    ),
    { usage: ten, done: true, outputChunks: 2, sawFirstToken: true },
  ],
  [
    'chat that breaks off after its usage',
    'chat',
    stream(chunk({ content: 'a' }), { choices: [], usage: openAiUsage }),
    { usage: ten, done: true, outputChunks: 1, sawFirstToken: true },
  ],
  [
    'usage in every chunk of a stream that breaks off',
    'chat',
    stream(
      chunk({ content: 'a' }, { usage: { prompt_tokens: 10, completion_tokens: 1 } }),
      chunk({ content: 'b' }, { usage: { prompt_tokens: 10, completion_tokens: 2 } }),
    ),
    {
      usage: { inputTokens: 10, outputTokens: 2, cachedInputTokens: undefined },
      done: false,
      outputChunks: 2,
      sawFirstToken: true,
    },
  ],
  [
    'an empty list of choices without usage',
    'chat',
    stream({ choices: [], usage: null }, chunk({ content: 'a' })),
    { usage: undefined, done: false, outputChunks: 1, sawFirstToken: true },
  ],
  [
    'text that speaks of usage',
    'chat',
    stream(
      chunk({ content: '{"usage":{"prompt_tokens":99}}' }),
      chunk({ content: 'x', usage: { prompt_tokens: 99 } }),
    ),
    { usage: undefined, done: false, outputChunks: 2, sawFirstToken: true },
  ],
  [
    'completions',
    'completions',
    stream(
      { choices: [{ text: '' }] },
      { choices: [{ text: 'a' }] },
      { choices: [], usage: { prompt_tokens: 10, completion_tokens: 1 } },
      '[DONE]',
    ),
    {
      usage: { inputTokens: 10, outputTokens: 1, cachedInputTokens: undefined },
      done: true,
      outputChunks: 1,
      sawFirstToken: true,
    },
  ],
  [
    'spaced JSON over several lines, and nonsense',
    'chat',
    'data: {"choices": [{"delta":\ndata: {"content": "a"}}],\ndata: "usage": {"prompt_tokens": 1, "completion_tokens": 2}}\n\ndata: {"usage"\n\ndata: {"usage":{"x\n\ndata: "usage"\n\n',
    {
      usage: { inputTokens: 1, outputTokens: 2, cachedInputTokens: undefined },
      done: false,
      outputChunks: 1,
      sawFirstToken: true,
    },
  ],
  [
    'messages',
    'messages',
    stream(
      {
        type: 'message_start',
        message: {
          usage: {
            input_tokens: 2,
            cache_read_input_tokens: 8,
            cache_creation_input_tokens: 1,
            output_tokens: 1,
          },
        },
      },
      { type: 'content_block_start', content_block: { type: 'text', text: '' } },
      { delta: { text: 'a', type: 'text_delta' }, type: 'content_block_delta' },
      { type: 'content_block_delta', delta: { type: 'input_json_delta', partial_json: '{' } },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 3 } },
      { type: 'message_stop' },
    ),
    {
      usage: { inputTokens: 11, outputTokens: 3, cachedInputTokens: 8 },
      done: true,
      outputChunks: 2,
      sawFirstToken: true,
    },
  ],
  [
    'messages that break off: the account at the start tells the input',
    'messages',
    stream(
      { type: 'message_start', message: { usage: { input_tokens: 10, output_tokens: 0 } } },
      { type: 'content_block_delta', delta: { type: 'text_delta', text: 'a' } },
      { type: 'content_block_delta', delta: { type: 'text_delta', text: 'b' } },
    ),
    {
      usage: { inputTokens: 10, outputTokens: 2, cachedInputTokens: undefined },
      done: false,
      outputChunks: 2,
      sawFirstToken: true,
    },
  ],
  [
    'responses',
    'responses',
    stream(
      {
        type: 'response.created',
        response: { usage: null, tools: [{ parameters: { usage: { input_tokens: 99 } } }] },
      },
      { delta: 'a', type: 'response.output_text.delta' },
      { type: 'response.output_text.done', text: 'a' },
      {
        type: 'response.completed',
        response: {
          output: [{ usage: { input_tokens: 99 } }],
          usage: { input_tokens: 10, output_tokens: 3, input_tokens_details: { cached_tokens: 8 } },
        },
      },
    ),
    { usage: ten, done: true, outputChunks: 1, sawFirstToken: true },
  ],
];

describe('createUsageReader() of event streams', () => {
  it.each(streams)('reads %s', (_case, api, body, expected) => {
    expect(summary(read(api, 'text/event-stream; charset=utf-8', body))).toEqual(expected);
  });

  it.each(streams)('reads %s cut at every byte', (_case, api, body, expected) => {
    for (let at = 1; at < body.length; at++) {
      expect(summary(read(api, 'text/event-stream', body.slice(0, at), body.slice(at)))).toEqual(expected);
    }
    expect(summary(read(api, 'text/event-stream', ...Array.from(body)))).toEqual(expected);
  });

  it('sees the first token as soon as it passes', () => {
    const reader = createUsageReader('chat', 'text/event-stream', 'identity');
    reader.push(Buffer.from(stream(chunk({ role: 'assistant', content: '' }))));
    expect(reader.sawFirstToken).toBe(false);
    reader.push(Buffer.from(stream(chunk({ content: 'a' }))));
    expect(reader.sawFirstToken).toBe(true);
  });
});

describe('createUsageReader() of JSON', () => {
  const openAi = JSON.stringify({
    usage_of: { usage: { prompt_tokens: 99 } },
    choices: [{ message: { content: '"usage":{"prompt_tokens":99}\\' } }],
    usage: openAiUsage,
    prompt_logprobs: [{ usage: { prompt_tokens: 99 } }],
  });
  it.each<[string, Api, string, TokenUsage | undefined]>([
    ['usage among other fields', 'chat', openAi, ten],
    ['spaced JSON', 'chat', JSON.stringify(JSON.parse(openAi), undefined, 2), ten],
    [
      'usage first',
      'embeddings',
      '{"usage":{"prompt_tokens":7,"total_tokens":7},"data":[]}',
      { inputTokens: 7, outputTokens: 0, cachedInputTokens: undefined },
    ],
    [
      'usage last, behind numbers',
      'embeddings',
      `{"data":[{"embedding":[${'0.125,'.repeat(50)}1]}],"usage":{"prompt_tokens":7}}`,
      { inputTokens: 7, outputTokens: 0, cachedInputTokens: undefined },
    ],
    [
      'messages',
      'messages',
      '{"type":"message","content":[],"usage":{"input_tokens":2,"cache_read_input_tokens":8,"output_tokens":3}}',
      ten,
    ],
    [
      'responses',
      'responses',
      '{"output":[],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":8},"output_tokens":3}}',
      ten,
    ],
    ['null usage', 'chat', '{"usage":null}', undefined],
    ['an error', 'chat', '{"error":{"message":"no","usage":{"prompt_tokens":99}}}', undefined],
    ['counts that are none', 'chat', '{"usage":{"prompt_tokens":-1,"completion_tokens":"3"}}', undefined],
    ['usage that is no object', 'chat', '{"usage":[1,2]}', undefined],
    ['a list', 'chat', '[{"usage":{"prompt_tokens":99}}]', undefined],
    ['a body that is cut off', 'chat', '{"usage":{"prompt_tokens":99', undefined],
    [
      'usage that is far too long',
      'chat',
      `{"usage":{"x":"${'x'.repeat(20_000)}","prompt_tokens":99}}`,
      undefined,
    ],
    ['no JSON', 'chat', '}}]]""{{:,"usage":{', undefined],
    ['nothing', 'chat', '', undefined],
  ])('reads %s, however it is cut', (_case, api, body, expected) => {
    expect(read(api, 'application/json', body).usage).toEqual(expected);
    expect(read(api, 'application/json', ...Array.from(body)).usage).toEqual(expected);
    for (let at = 0; at < Math.min(body.length, 1000); at++) {
      expect(read(api, 'application/json', body.slice(0, at), body.slice(at)).usage).toEqual(expected);
    }
  });
});

describe('createUsageReader() of what cannot be read', () => {
  it.each([
    ['text/event-stream', 'gzip', 'the response is compressed (gzip)'],
    ['application/json', 'br', 'the response is compressed (br)'],
    ['audio/mpeg', undefined, 'the response is audio/mpeg'],
    ['', undefined, 'the response has no content type'],
    ['application/json', 'identity', undefined],
    ['Application/JSON; charset=utf-8', '', undefined],
  ])('says why for %s, %s', (contentType, encoding, reason) => {
    const reader = createUsageReader('chat', contentType, encoding);
    reader.push(Buffer.from('data: [DONE]\n\n'));
    reader.end();
    expect([reader.unreadable, reader.usage, reader.done]).toEqual([reason, undefined, false]);
    expect(reader.outputChunks).toBeUndefined();
  });
});

describe('isReadableEventStream()', () => {
  it.each([
    ['text/event-stream', undefined, true],
    ['Text/Event-Stream; charset=utf-8', 'identity', true],
    ['text/event-stream', '', true],
    ['text/event-stream', 'gzip', false],
    ['application/json', undefined, false],
    ['', undefined, false],
  ])('%s, %s: %s', (contentType, encoding, expected) => {
    expect(isReadableEventStream(contentType, encoding)).toBe(expected);
  });
});

describe('readUsageMetadata()', () => {
  it.each<[Record<string, unknown>, TokenUsage | undefined]>([
    [{ input_tokens: 10, output_tokens: 3, cached_tokens: 8 }, ten],
    [{ input_tokens: 10 }, { inputTokens: 10, outputTokens: 0, cachedInputTokens: undefined }],
    [{ cached_tokens: 8 }, undefined],
    [{ input_tokens: NaN, output_tokens: '3' }, undefined],
    [{}, undefined],
  ])('reads %j', (fields, expected) => {
    expect(readUsageMetadata(fields)).toEqual(expected);
  });
});
