import { describe, expect, it } from '@jest/globals';
import type { AccessLog, AccessLogEntry } from '../../src/request/access-log.ts';
import type { Api } from '../../src/request/parsed-request.ts';
import { watchResponse, type UsageMode } from '../../src/request/watch-response.ts';
import type { UsageSource } from '../../src/request/usage.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { aHead, FakeExchange } from '../support/fake-exchange.ts';

const events = { 'content-type': 'text/event-stream' };
const json = { 'content-type': 'application/json' };
const shortJson = { ...json, 'content-length': '999999' };

/** A stream with one token, and usage of 1 and 2 tokens. */
const streamedBody =
  'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n' +
  'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n' +
  'data: [DONE]\n\n';
const jsonBody = '{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}';

/** Envoy's account, with usage of 7 and 3 tokens. */
function anEntry(known: Partial<AccessLogEntry> = {}): AccessLogEntry {
  return {
    status: 200,
    details: 'via_upstream',
    clientClosed: false,
    upstreamFailed: false,
    servedBy: '10.0.0.1:8000',
    attempts: 2,
    durationMs: 5,
    responseBytes: 55,
    usage: { input_tokens: 7, output_tokens: 3 },
    ...known,
  };
}

/** An access log with one answer, that keeps what was asked of it. */
class FakeAccessLog implements AccessLog {
  readonly asked: string[] = [];
  readonly reliable: boolean;
  readonly #entry: AccessLogEntry | undefined;

  constructor(reliable: boolean, entry: AccessLogEntry | undefined) {
    this.reliable = reliable;
    this.#entry = entry;
  }

  claim(exchangeId: string) {
    this.asked.push(`claim ${exchangeId}`);
    return {
      entry: async () => {
        this.asked.push('entry');
        return this.#entry;
      },
      abandon: () => void this.asked.push('abandon'),
    };
  }
}

interface Situation {
  readonly usageMode?: UsageMode;
  readonly reliable?: boolean;
  readonly sampleRate?: number;
  readonly random?: () => number;
  readonly api?: Api | undefined;
  readonly stream?: boolean;
  readonly hideUsage?: boolean;
  readonly entry?: AccessLogEntry | undefined;
}

function begin(situation: Situation) {
  const {
    usageMode = 'auto',
    reliable = true,
    sampleRate = 0,
    random = () => 0.5,
    stream = true,
    hideUsage = false,
  } = situation;
  const clock = new FakeClock();
  const exchange = new FakeExchange(aHead({ hasBody: false }));
  const accessLog = new FakeAccessLog(reliable, 'entry' in situation ? situation.entry : anEntry());
  exchange.route({ destinations: ['a'], model: 'm', edits: [], removeHeaders: [], setHeaders: {} });
  const watch = watchResponse(
    exchange,
    { api: 'api' in situation ? situation.api : 'chat', stream, hideUsage },
    { clock, accessLog, random },
    { usageMode, sampleRate },
  );
  return { clock, exchange, accessLog, watch };
}

describe('watchResponse() looks at the body, or at the access log', () => {
  const cases: readonly [string, Situation, Record<string, string>, boolean, UsageSource][] = [
    ['auto, log reliable', {}, events, false, 'access-log'],
    ['auto, log reliable, short JSON', { stream: false }, shortJson, false, 'access-log'],
    [
      'auto, log reliable, JSON that Envoy passes over',
      { stream: false },
      { ...json, 'content-length': '1000000' },
      true,
      'streamed',
    ],
    ['auto, log reliable, JSON of unknown length', { stream: false }, json, true, 'streamed'],
    [
      'auto, log reliable, JSON with a charset',
      { stream: false },
      { 'content-type': 'application/json; charset=utf-8' },
      true,
      'streamed',
    ],
    ['auto, log reliable, sampled', { sampleRate: 0.51 }, events, true, 'streamed'],
    ['auto, log reliable, not sampled', { sampleRate: 0.5 }, events, false, 'access-log'],
    [
      'auto, log reliable, sampled but not a stream',
      { sampleRate: 1, stream: false },
      shortJson,
      false,
      'access-log',
    ],
    ['auto, log not reliable', { reliable: false }, events, true, 'streamed'],
    ['auto, log not reliable, JSON', { reliable: false, stream: false }, shortJson, true, 'streamed'],
    [
      'auto, log not reliable, an API without usage',
      { reliable: false, api: 'by-model' },
      json,
      false,
      'none',
    ],
    ['auto, log not reliable, an allowed path', { reliable: false, api: undefined }, json, false, 'none'],
    ['auto, log reliable, an API without usage', { api: 'by-model' }, json, false, 'access-log'],
    ['access-log', { usageMode: 'access-log' }, events, false, 'access-log'],
    ['access-log, none seen yet', { usageMode: 'access-log', reliable: false }, events, false, 'access-log'],
    ['access-log, JSON of unknown length', { usageMode: 'access-log' }, json, false, 'access-log'],
    ['access-log, sampled', { usageMode: 'access-log', sampleRate: 1 }, events, false, 'access-log'],
    ['streamed', { usageMode: 'streamed' }, events, true, 'streamed'],
    ['streamed, short JSON', { usageMode: 'streamed', stream: false }, shortJson, true, 'streamed'],
    ['streamed, an API without usage', { usageMode: 'streamed', api: 'by-model' }, json, false, 'none'],
    ['none', { usageMode: 'none' }, events, false, 'none'],
    ['none, sampled', { usageMode: 'none', sampleRate: 1 }, events, false, 'none'],
    [
      'a body that cannot be read',
      { sampleRate: 1 },
      { ...events, 'content-encoding': 'gzip' },
      true,
      'access-log',
    ],
  ];

  it.each(cases)('%s', async (_, situation, fields, shown, source) => {
    const { exchange, watch } = begin(situation);
    exchange.respond({ fields });
    await watch.head();
    const ended = watch.ended();
    expect(exchange.observer !== undefined).toBe(shown);
    exchange.pass(fields['content-type'] === 'text/event-stream' ? streamedBody : jsonBody);
    exchange.close(true);
    await ended;
    const { source: told, usage } = await watch.outcome();
    expect(told).toBe(source);
    const expected = { streamed: [1, 2], 'access-log': [7, 3], none: [undefined, undefined] }[source];
    expect([usage?.inputTokens, usage?.outputTokens]).toEqual(expected);
  });

  it.each<[string, Situation, readonly string[]]>([
    ['asks where the log is trusted', {}, ['claim exchange-1', 'entry']],
    ['gives up where it is not', { reliable: false }, ['claim exchange-1', 'abandon']],
    ['gives up where bodies tell', { usageMode: 'streamed' }, ['claim exchange-1', 'abandon']],
    ['does not claim where nothing is wanted', { usageMode: 'none' }, []],
  ])('%s', async (_, situation, asked) => {
    const { exchange, accessLog, watch } = begin(situation);
    exchange.respond();
    await watch.head();
    exchange.close();
    await watch.ended();
    expect(accessLog.asked).toEqual(asked.slice(0, 1));
    await watch.outcome();
    expect(accessLog.asked).toEqual(asked);
  });

  it('claims the entry before it waits: Envoy may be quick', () => {
    const { accessLog, watch } = begin({});
    void watch.head();
    expect(accessLog.asked).toEqual(['claim exchange-1']);
  });
});

describe('watchResponse() hides the usage of a stream that was not asked for', () => {
  const withoutChunk = streamedBody.replace(/data: {"choices":\[\].*\n\n/, '');

  async function run(situation: Situation, fields: Record<string, string>, body: string) {
    const { exchange, accessLog, watch } = begin({ hideUsage: true, ...situation });
    exchange.respond({ fields });
    await watch.head();
    const ended = watch.ended();
    exchange.pass(body.slice(0, 100));
    exchange.pass(body.slice(100));
    exchange.close(true);
    await ended;
    return { exchange, accessLog, outcome: await watch.outcome() };
  }

  it.each<[string, Situation]>([
    ['auto, log reliable', {}],
    ['auto, log not reliable', { reliable: false }],
    ['access-log', { usageMode: 'access-log' }],
    ['streamed', { usageMode: 'streamed' }],
    ['none', { usageMode: 'none' }],
    ['completions', { api: 'completions' }],
  ])('and reads it all the same: %s', async (_, situation) => {
    const { exchange, outcome } = await run(situation, events, streamedBody);
    expect(exchange.received).toBe(withoutChunk);
    expect(outcome).toMatchObject({
      kind: 'completed',
      source: 'streamed',
      usage: { inputTokens: 1, outputTokens: 2 },
      outputChunks: 1,
      responseBytes: withoutChunk.length,
    });
  });

  it.each<[string, Record<string, string>, boolean, string]>([
    ['that is compressed', { ...events, 'content-encoding': 'gzip' }, false, streamedBody],
    ['that is no stream', shortJson, false, jsonBody],
    ['that is no stream and is shown all the same', json, true, jsonBody],
    ['of another kind', { 'content-type': 'text/plain' }, false, streamedBody],
    ['of no kind', {}, false, streamedBody],
  ])('but not in a response %s', async (_, fields, shown, body) => {
    const { exchange } = await run({}, fields, body);
    expect(exchange.received).toBe(body);
    expect(exchange.observer !== undefined).toBe(shown);
  });

  it.each<[string, Situation]>([
    ['a client that asked for it', { hideUsage: false, usageMode: 'streamed' }],
    ['an allowed path', { api: undefined, usageMode: 'streamed' }],
    ['an API without usage', { api: 'by-model', usageMode: 'streamed' }],
  ])('but not from %s', async (_, situation) => {
    const { exchange } = await run(situation, events, streamedBody);
    expect(exchange.received).toBe(streamedBody);
  });

  it('and has nothing to hide where there was no response', async () => {
    const { exchange, watch } = begin({ hideUsage: true, entry: undefined });
    exchange.close();
    await watch.head();
    await watch.ended();
    expect(await watch.outcome()).toMatchObject({ kind: 'unknown', outputChunks: undefined });
  });
});

describe('watchResponse() counts events with output', () => {
  it.each<[string, Situation, Record<string, string>, string, number | undefined]>([
    ['of a stream that was shown', { usageMode: 'streamed' }, events, streamedBody, 1],
    ['of a stream that had none yet', { usageMode: 'streamed' }, events, ': ping\n\n', 0],
    ['of no stream that was not shown', {}, events, streamedBody, undefined],
    ['of no document', { usageMode: 'streamed' }, json, jsonBody, undefined],
    [
      'of nothing that is compressed',
      { usageMode: 'streamed' },
      { ...events, 'content-encoding': 'gzip' },
      streamedBody,
      undefined,
    ],
  ])('%s', async (_, situation, fields, body, expected) => {
    const { exchange, watch } = begin(situation);
    exchange.respond({ fields });
    await watch.head();
    const ended = watch.ended();
    exchange.pass(body);
    exchange.close(false);
    await ended;
    expect((await watch.outcome()).outputChunks).toBe(expected);
  });
});

describe('watchResponse() tells how it ended', () => {
  const noUsage = { usage: undefined };
  const cases: readonly [string, Situation, boolean | undefined, string, string][] = [
    ['the log says nothing bad', { entry: anEntry(noUsage) }, undefined, '', 'completed'],
    ['the client closed', { entry: anEntry({ ...noUsage, clientClosed: true }) }, undefined, '', 'aborted'],
    ['the engine failed', { entry: anEntry({ ...noUsage, upstreamFailed: true }) }, undefined, '', 'failed'],
    [
      'the engine failed and so the client closed',
      { entry: anEntry({ ...noUsage, upstreamFailed: true, clientClosed: true }) },
      undefined,
      '',
      'failed',
    ],
    [
      'usage came, then the client closed',
      { entry: anEntry({ clientClosed: true }) },
      undefined,
      '',
      'completed',
    ],
    ['no entry came', { entry: undefined }, undefined, '', 'unknown'],
    ['the body was whole', { usageMode: 'streamed' }, true, 'data: {}\n\n', 'completed'],
    ['the body stopped short', { usageMode: 'streamed' }, false, 'data: {}\n\n', 'aborted'],
    [
      '[DONE] came, then the client closed',
      { usageMode: 'streamed' },
      false,
      'data: [DONE]\n\n',
      'completed',
    ],
    [
      'usage came in the body, then the client closed',
      { usageMode: 'streamed' },
      false,
      streamedBody,
      'completed',
    ],
    [
      'the body stopped short and the log says who failed',
      { sampleRate: 1, entry: anEntry({ ...noUsage, upstreamFailed: true }) },
      false,
      'data: {}\n\n',
      'failed',
    ],
    [
      'usage came with an event in the middle, then the client closed',
      { usageMode: 'streamed' },
      false,
      'data: {"choices":[{"delta":{"content":"Hi"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n',
      'aborted',
    ],
    [
      'the usage of a message came with its start, then the client closed',
      { usageMode: 'streamed', api: 'messages' },
      false,
      'data: {"type":"message_start","message":{"usage":{"input_tokens":1,"output_tokens":0}}}\n\n',
      'aborted',
    ],
    ['nobody looked', { usageMode: 'none' }, undefined, '', 'unknown'],
  ];

  it.each(cases)('%s', async (_, situation, bodyComplete, body, kind) => {
    const { exchange, watch } = begin(situation);
    exchange.respond();
    await watch.head();
    const ended = watch.ended();
    exchange.pass(body);
    exchange.close(bodyComplete);
    await ended;
    expect((await watch.outcome()).kind).toBe(kind);
  });

  it.each<[string, Api, Partial<AccessLogEntry>, string, number | undefined]>([
    ['of its start alone, then the client closed', 'messages', { clientClosed: true }, 'aborted', undefined],
    ['of its start alone, then the engine failed', 'messages', { upstreamFailed: true }, 'failed', undefined],
    ['of its start alone, and was whole', 'messages', {}, 'completed', 7],
    [
      'of its end too, then the client closed',
      'messages',
      { clientClosed: true, usage: { input_tokens: 7, output_tokens: 1 } },
      'completed',
      7,
    ],
    ['without output in another API, then the client closed', 'chat', { clientClosed: true }, 'completed', 7],
  ])('by the account of a message %s', async (_, api, known, kind, inputTokens) => {
    const entry = anEntry({ usage: { input_tokens: 7, output_tokens: 0 }, ...known });
    const { exchange, watch } = begin({ api, entry });
    exchange.respond();
    await watch.head();
    exchange.close();
    await watch.ended();
    const outcome = await watch.outcome();
    expect([outcome.kind, outcome.usage?.inputTokens]).toEqual([kind, inputTokens]);
  });

  it('and who served, by the head or else by the log', async () => {
    const named = begin({});
    named.exchange.respond({ servedBy: '10.0.0.9:8000', attempts: 3, status: 201 });
    await named.watch.head();
    named.exchange.close();
    await named.watch.ended();
    expect(await named.watch.outcome()).toMatchObject({
      servedBy: '10.0.0.9:8000',
      attempts: 3,
      status: 200,
    });

    const silent = begin({});
    silent.exchange.respond();
    await silent.watch.head();
    silent.exchange.close();
    await silent.watch.ended();
    expect(await silent.watch.outcome()).toMatchObject({ servedBy: '10.0.0.1:8000', attempts: 2 });
  });

  it('has the status of the head where no log says what the client saw, 0 where there was no head', async () => {
    const answered = begin({ usageMode: 'none' });
    answered.exchange.respond({ status: 404 });
    await answered.watch.head();
    answered.exchange.close();
    await answered.watch.ended();
    expect((await answered.watch.outcome()).status).toBe(404);

    const left = begin({ usageMode: 'none' });
    left.exchange.close();
    expect(await left.watch.head()).toBeUndefined();
    await left.watch.ended();
    expect(await left.watch.outcome()).toMatchObject({ status: 0, kind: 'unknown', servedBy: undefined });
  });

  it('takes the account of an exchange that never had a head from the log', async () => {
    const { exchange, watch } = begin({
      entry: anEntry({ status: 503, upstreamFailed: true, usage: undefined, servedBy: undefined }),
    });
    exchange.close();
    await watch.head();
    await watch.ended();
    expect(exchange.observer).toBeUndefined();
    expect(await watch.outcome()).toMatchObject({ status: 503, kind: 'failed', servedBy: undefined });
  });

  it('counts bytes where it sees them, else as the log does', async () => {
    const seen = begin({ usageMode: 'streamed' });
    seen.exchange.respond();
    await seen.watch.head();
    const ended = seen.watch.ended();
    seen.exchange.pass('data: {}\n\n');
    seen.exchange.pass(':\n');
    seen.exchange.close(true);
    await ended;
    expect((await seen.watch.outcome()).responseBytes).toBe(12);

    const told = begin({});
    told.exchange.respond();
    await told.watch.head();
    told.exchange.close();
    await told.watch.ended();
    expect((await told.watch.outcome()).responseBytes).toBe(55);
  });

  it('notes the time of the first token, not of the first bytes or the last', async () => {
    const { clock, exchange, watch } = begin({ usageMode: 'streamed' });
    exchange.respond();
    await watch.head();
    const ended = watch.ended();
    clock.advance(10);
    exchange.pass('data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n');
    clock.advance(10);
    exchange.pass('data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n');
    clock.advance(10);
    exchange.pass('data: {"choices":[{"delta":{"content":" you"}}]}\n\n');
    exchange.close(true);
    await ended;
    expect((await watch.outcome()).firstTokenAtMs).toBe(20);
  });

  it('has no such time where the body was not seen', async () => {
    const { exchange, watch } = begin({});
    exchange.respond();
    await watch.head();
    exchange.close();
    await watch.ended();
    expect((await watch.outcome()).firstTokenAtMs).toBeUndefined();
  });
});
