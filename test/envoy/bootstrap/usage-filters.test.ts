import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startEnvoyRig, type EnvoyRig } from '../support/envoy-rig.ts';
import { events, json, startFakeEngine, type Answer } from '../support/fake-engine.ts';

let rig: EnvoyRig;

beforeAll(async () => {
  rig = await startEnvoyRig();
}, 30_000);

afterAll(() => rig.stop());

/** Sends one request to an engine that answers so; returns the body's length and the log entry. */
async function exchange(answer: Answer, path = '/v1/chat/completions') {
  const engine = await startFakeEngine(answer);
  try {
    await rig.routeTo(engine.port);
    const response = await fetch(`${rig.url}${path}`, { method: 'POST', body: '{}' });
    const { length } = await response.text();
    const entry = await rig.sluice.nextEntry();
    return {
      status: response.status,
      length,
      exchange: entry.metadata['sluice'],
      usage: entry.metadata['sluice.usage'],
    };
  } finally {
    await engine.stop();
  }
}

const chat = { prompt_tokens: 10, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 4 } };
const chatCounts = { input_tokens: 10, output_tokens: 5, cached_tokens: 4 };

describe('usageFilters()', () => {
  const cases: readonly (readonly [string, Answer, Record<string, number>])[] = [
    ['an OpenAI document', json({ choices: [], usage: chat }), chatCounts],
    [
      'a document without details',
      json({ usage: { prompt_tokens: 10, completion_tokens: 0, prompt_tokens_details: null } }),
      { input_tokens: 10, output_tokens: 0 },
    ],
    [
      'an OpenAI stream',
      events({ choices: [{}], usage: null }, { choices: [], usage: chat }, '[DONE]'),
      chatCounts,
    ],
    [
      'a stream that counts on and on: the last one holds',
      events({ usage: { ...chat, completion_tokens: 1 } }, { usage: chat }, '[DONE]'),
      chatCounts,
    ],
    [
      'an Anthropic document',
      json({ type: 'message', usage: { input_tokens: 7, output_tokens: 3, cache_read_input_tokens: 2 } }),
      { input_tokens: 7, output_tokens: 3, cached_tokens: 2 },
    ],
    [
      'an Anthropic stream',
      events(
        {
          type: 'message_start',
          message: { usage: { input_tokens: 20, output_tokens: 1, cache_read_input_tokens: 8 } },
        },
        { type: 'message_delta', delta: {}, usage: { output_tokens: 15 } },
        { type: 'message_stop' },
      ),
      { input_tokens: 20, output_tokens: 15, cached_tokens: 8 },
    ],
    [
      'a document of the responses API',
      json({ usage: { input_tokens: 3, output_tokens: 4, input_tokens_details: { cached_tokens: 1 } } }),
      { input_tokens: 3, output_tokens: 4, cached_tokens: 1 },
    ],
    [
      'a stream of the responses API, whose last event holds a long answer',
      events(
        { type: 'response.created', response: { usage: null } },
        {
          type: 'response.completed',
          response: {
            output: 'y'.repeat(500_000),
            usage: { input_tokens: 30, output_tokens: 9, input_tokens_details: { cached_tokens: 1 } },
          },
        },
      ),
      { input_tokens: 30, output_tokens: 9, cached_tokens: 1 },
    ],
  ];

  it.each(cases)('counts tokens of %s, and tells them in the access log', async (_, answer, usage) => {
    expect(await exchange(answer)).toMatchObject({
      status: 200,
      exchange: { exchange: 'exchange-1', model: 'm' },
      usage,
    });
  });

  it('leaves streams of other paths alone, whose events Envoy might not survive', async () => {
    for (const data of ['null', '1', '"text"']) {
      expect(await exchange(events(data), '/v1/audio/transcriptions')).toMatchObject({
        status: 200,
        usage: undefined,
      });
    }
  });

  it('takes a query string for part of no path', async () => {
    expect(await exchange(events({ usage: chat }), '/v1/messages?beta=true')).toMatchObject({
      usage: chatCounts,
    });
  });

  it('counts nothing where there is nothing to count', async () => {
    expect(await exchange(json({ error: { message: 'no' } }))).toMatchObject({
      status: 200,
      usage: undefined,
    });
  });

  it.each<[string, Answer]>([
    ['with its length said', json({ data: 'x'.repeat(3_000_000), usage: chat })],
    [
      'in chunks',
      (response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.write('{"data":"');
        response.end(`${'x'.repeat(3_000_000)}"}`);
      },
    ],
  ])('lets a document of three megabytes pass, %s', async (_, answer) => {
    const { status, length } = await exchange(answer);
    expect(status).toBe(200);
    expect(length).toBeGreaterThan(3_000_000);
  });
});
