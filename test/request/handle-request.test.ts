import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { anonymous, type Principal } from '../../src/auth/principal.ts';
import type { Endpoint, EndpointSnapshot } from '../../src/endpoints/endpoint.ts';
import type { AdmissionResult } from '../../src/fairness/admission.ts';
import { Headers } from '../../src/lib/headers.ts';
import type { AccessLogEntry } from '../../src/request/access-log.ts';
import { createPathMatcher } from '../../src/request/api-paths.ts';
import type { ExchangeRecord } from '../../src/request/exchange-record.ts';
import { createRequestHandler } from '../../src/request/handle-request.ts';
import { Rejection } from '../../src/request/rejection.ts';
import type { RequestSettings } from '../../src/request/request-settings.ts';
import type { Decision, NoneEligible } from '../../src/scheduling/decision.ts';
import type { InferenceRequest, Outcome } from '../../src/scheduling/plugin.ts';
import { Admissions } from '../support/admissions.ts';
import { anEndpoint } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { aHead, FakeExchange } from '../support/fake-exchange.ts';
import { someSettings } from '../support/request-settings.ts';

/** An endpoint that keeps every value its in flight ever had. */
function countedEndpoint(slot: number): Endpoint & { readonly history: readonly number[] } {
  const history: number[] = [];
  return {
    ...anEndpoint(slot, { configuredModels: ['m'] }),
    history,
    get inFlight() {
      return history.at(-1) ?? 0;
    },
    set inFlight(value: number) {
      history.push(value);
    },
  };
}

/** Lets everything run that waits for nothing but its turn. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

type Scheduling = (request: InferenceRequest, candidates: readonly Endpoint[]) => Decision | NoneEligible;

const firstCandidates: Scheduling = (request, candidates) => ({
  kind: 'chosen',
  requestId: request.id,
  model: request.model,
  ranked: [candidates[0]!, ...candidates.slice(1)],
  totals: candidates.map(() => 1),
  candidates: candidates.length,
  kept: candidates.length,
});

const nobody =
  (whenEmpty: NoneEligible['whenEmpty']): Scheduling =>
  (_, candidates) => ({ kind: 'none', filter: 'f', whenEmpty, candidates: candidates.length });

/** The main path with everything around it under the test's control. */
function setUp(
  known: Partial<RequestSettings> & { readonly schedule?: Scheduling; readonly settledThrows?: Error } = {},
) {
  const { schedule = firstCandidates, settledThrows, ...configured } = known;
  const clock = new FakeClock();
  const admissions = new Admissions();
  const [a, b] = [countedEndpoint(0), countedEndpoint(1)];
  let snapshot: EndpointSnapshot = {
    generation: 1,
    endpoints: [a, b],
    readyByModel: new Map([['m', [a, b]]]),
    models: new Set(['m', 'sleeping']),
  };
  let settings = someSettings(configured);
  let timesConfigured = 0;
  const records: ExchangeRecord[] = [];
  const failures: unknown[] = [];
  const settled: { request: InferenceRequest; routedTo: Endpoint; outcome: Outcome }[] = [];
  const requests: InferenceRequest[] = [];
  /** Exchanges whose entry is asked for, and how to give it. */
  const entries = new Map<string, (entry: AccessLogEntry | undefined) => void>();
  const handle = createRequestHandler(
    {
      clock,
      random: () => 0.5,
      accessLog: {
        reliable: true,
        claim: (id) => ({
          entry: () => new Promise((resolve) => entries.set(id, resolve)),
          abandon: () => undefined,
        }),
      },
      snapshot: () => snapshot,
      admit: admissions,
      schedule: {
        promptHeadBytes: 100,
        schedule(request, candidates) {
          requests.push(request);
          return schedule(request, candidates);
        },
        settled(request, routedTo, outcome) {
          settled.push({ request, routedTo, outcome });
          if (settledThrows !== undefined) throw settledThrows;
        },
      },
      answerLocally(path, models) {
        if (path.name === 'model') throw new Rejection('model-not-found', 'no such model');
        return {
          status: 200,
          headers: {},
          body: `${path.name} ${[...models.aliases.keys()].join()}`.trim(),
          details: 'd',
        };
      },
      onExchange: (record) => records.push(record),
      onFailure: (_, error) => failures.push(error),
    },
    () => {
      timesConfigured++;
      return settings;
    },
  );
  return {
    clock,
    admissions,
    a,
    b,
    handle,
    records,
    failures,
    settled,
    requests,
    entries,
    publish: (changes: Partial<EndpointSnapshot>) => void (snapshot = { ...snapshot, ...changes }),
    configure: (changes: Partial<RequestSettings>) => void (settings = { ...settings, ...changes }),
    timesConfigured: () => timesConfigured,
    inFlight: () => [a.inFlight, b.inFlight],
  };
}

const chat = { model: 'm', stream: true, messages: [{ role: 'user', content: 'Hello' }] };

describe('handleRequest() on the way to an engine', () => {
  it('routes to the best, names a destination for every attempt, and learns from the end', async () => {
    const { clock, a, b, handle, records, settled, requests, inFlight, failures } = setUp();
    const head = aHead({
      path: '/v1/chat/completions?x=1',
      fields: { 'x-request-id': 'r-1', 'x-sluice-user': 'root', 'accept-encoding': 'gzip' },
    });
    const exchange = new FakeExchange(head);
    const done = handle(exchange);
    exchange.sendBody(chat);
    await settle();
    expect(exchange.routes).toEqual([
      {
        destinations: [a.id, b.id, a.id],
        model: 'm',
        edits: [],
        removeHeaders: ['x-sluice-user'],
        setHeaders: { 'accept-encoding': 'identity' },
      },
    ]);
    expect(requests).toEqual([expect.objectContaining({ id: exchange.id, model: 'm', stream: true })]);
    expect(Buffer.from(requests[0]!.promptHead).toString()).toContain('Hello');
    expect(inFlight()).toEqual([1, 0]);
    exchange.respond({ servedBy: a.id, attempts: 1 });
    await settle();
    clock.advance(250);
    exchange.close();
    await done;
    expect(a.history).toEqual([1, 0]);
    expect(b.history).toEqual([]);
    expect(records).toEqual([
      expect.objectContaining({
        id: exchange.id,
        requestId: 'r-1',
        method: 'POST',
        path: '/v1/chat/completions',
        api: 'chat',
        model: 'm',
        modelKnown: true,
        stream: true,
        requestBytes: JSON.stringify(chat).length,
        servedBy: a.id,
        attempts: 1,
        status: 200,
        durationMs: 250,
        outcome: 'unknown',
        reason: undefined,
      }),
    ]);
    expect(settled).toEqual([
      {
        request: requests[0],
        routedTo: a,
        outcome: expect.objectContaining({ servedBy: a, durationMs: 250 }),
      },
    ]);
    expect([failures, exchange.replies, exchange.misuses]).toEqual([[], [], []]);
  });

  it('cuts the ranking to the attempts that there are', async () => {
    const { a, handle } = setUp({ maxAttempts: 1 });
    const exchange = new FakeExchange();
    const done = handle(exchange);
    exchange.sendBody(chat);
    await settle();
    expect(exchange.routes[0]?.destinations).toEqual([a.id]);
    exchange.close();
    await done;
  });

  it.each<[string, Scheduling, number[]]>([
    ['to who has no room, rather than again to who has just failed', firstCandidates, [1, 0, 1]],
    [
      'to nobody of whom it is unknown whether a filter would let them pass',
      (request, candidates) => ({ ...(firstCandidates(request, candidates) as Decision), candidates: 2 }),
      [1, 1, 1],
    ],
  ])('fails over %s', async (_, schedule, slots) => {
    const { a, b, handle, admissions } = setUp({ schedule });
    admissions.candidates = (endpoints) => endpoints.slice(1);
    const exchange = new FakeExchange();
    const done = handle(exchange);
    exchange.sendBody(chat);
    await settle();
    expect(exchange.routes[0]?.destinations).toEqual(slots.map((slot) => [a, b][slot]!.id));
    exchange.close();
    await done;
    expect(admissions.tried).toEqual([]);
  });

  it.each<[string, { servedBy?: number; attempts?: number; status?: number }, [number, boolean][]]>([
    ['the first', { servedBy: 0, attempts: 1 }, [[0, true]]],
    [
      'the second',
      { servedBy: 1, attempts: 2 },
      [
        [0, false],
        [1, true],
      ],
    ],
    [
      'another one than the first, whom Envoy passed over',
      { servedBy: 1, attempts: 1 },
      [
        [0, false],
        [1, true],
      ],
    ],
    [
      'nobody',
      { servedBy: 0, attempts: 3, status: 503 },
      [
        [1, false],
        [0, false],
      ],
    ],
    ['the first, with an error of its own', { servedBy: 0, attempts: 1, status: 500 }, [[0, true]]],
    ['somebody of whom Envoy says nothing', {}, []],
  ])('says who was tried where %s answered', async (_, { servedBy, ...response }, tried) => {
    const { a, b, handle, admissions } = setUp();
    const exchange = new FakeExchange();
    const done = handle(exchange);
    exchange.sendBody(chat);
    await settle();
    const ids = [a.id, b.id];
    exchange.respond({ ...response, ...(servedBy !== undefined && { servedBy: ids[servedBy]! }) });
    exchange.close();
    await done;
    expect(admissions.tried).toEqual(tried.map(([slot, answered]) => [ids[slot], answered]));
  });

  it('lets load follow who really serves', async () => {
    const { a, b, handle, settled, inFlight } = setUp();
    const exchange = new FakeExchange();
    const done = handle(exchange);
    exchange.sendBody(chat);
    await settle();
    expect(inFlight()).toEqual([1, 0]);
    exchange.respond({ servedBy: b.id, attempts: 2 });
    await settle();
    expect(inFlight()).toEqual([0, 1]);
    exchange.close();
    await done;
    expect([a.history, b.history]).toEqual([
      [1, 0],
      [1, 0],
    ]);
    expect(settled[0]).toMatchObject({ routedTo: a, outcome: { servedBy: b } });
  });

  it('leaves load where it is when a stranger served, and credits nobody', async () => {
    const { a, handle, records, settled, inFlight } = setUp();
    const exchange = new FakeExchange();
    const done = handle(exchange);
    exchange.sendBody(chat);
    await settle();
    exchange.respond({ servedBy: '192.0.2.1:1' });
    await settle();
    expect(inFlight()).toEqual([1, 0]);
    exchange.close();
    await done;
    expect(a.history).toEqual([1, 0]);
    expect(records[0]?.servedBy).toBe('192.0.2.1:1');
    expect(settled[0]).toMatchObject({ routedTo: a, outcome: { servedBy: undefined } });
  });

  it('works with one snapshot from the model to the end', async () => {
    const { a, b, handle, settled, publish } = setUp({
      schedule: (request, candidates) => firstCandidates(request, candidates.slice(0, 1)),
    });
    const exchange = new FakeExchange();
    const done = handle(exchange);
    exchange.sendBody(chat);
    await settle();
    publish({ endpoints: [], readyByModel: new Map(), models: new Set() });
    exchange.respond({ servedBy: b.id });
    await settle();
    expect([a.inFlight, b.inFlight]).toEqual([0, 1]);
    exchange.close();
    await done;
    expect(settled[0]?.outcome.servedBy).toBe(b);
  });

  it('reserves in the tick of the decision: the next request sees it', async () => {
    const seen: number[][] = [];
    const { handle } = setUp({
      schedule: (request, candidates) => {
        seen.push(candidates.map(({ inFlight }) => inFlight));
        return firstCandidates(request, candidates);
      },
    });
    const exchanges = ['1', '2', '3'].map((id) => new FakeExchange(aHead(), id));
    const done = exchanges.map((exchange) => {
      exchange.sendBody(chat);
      return handle(exchange);
    });
    await settle();
    expect(seen).toEqual([
      [0, 0],
      [1, 0],
      [2, 0],
    ]);
    for (const exchange of exchanges) exchange.close();
    await Promise.all(done);
  });

  it('gives the place back at the end of the exchange, and reports when the log entry came', async () => {
    const { clock, handle, records, entries, settled, inFlight } = setUp({ usageMode: 'access-log' });
    const exchange = new FakeExchange();
    const done = handle(exchange);
    exchange.sendBody(chat);
    await settle();
    exchange.respond();
    clock.advance(100);
    await settle();
    exchange.close();
    await settle();
    expect(inFlight()).toEqual([0, 0]);
    expect([records, settled]).toEqual([[], []]);
    clock.advance(900);
    entries.get(exchange.id)!({
      status: 200,
      details: '',
      clientClosed: false,
      upstreamFailed: false,
      servedBy: '10.0.0.1:8000',
      attempts: 2,
      durationMs: 1,
      responseBytes: 9,
      usage: { input_tokens: 7, output_tokens: 3, cached_tokens: 2 },
    });
    await done;
    expect(records).toEqual([
      expect.objectContaining({
        outcome: 'completed',
        durationMs: 100,
        attempts: 2,
        responseBytes: 9,
        usage: { inputTokens: 7, outputTokens: 3, cachedInputTokens: 2 },
        usageSource: 'access-log',
      }),
    ]);
    expect(settled[0]?.outcome).toMatchObject({
      completed: true,
      inputTokens: 7,
      cachedInputTokens: 2,
      outputTokens: 3,
    });
  });

  it('measures the first token from the head of the request', async () => {
    const { clock, handle, records, settled } = setUp({ usageMode: 'streamed' });
    clock.advance(1000);
    const exchange = new FakeExchange();
    const done = handle(exchange);
    clock.advance(30);
    exchange.sendBody(chat);
    await settle();
    exchange.respond();
    await settle();
    clock.advance(12);
    exchange.pass('data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n');
    exchange.close(true);
    await done;
    expect(records[0]).toMatchObject({ ttftMs: 42, outcome: 'completed', startedAtMs: 1000 });
    expect(settled[0]?.outcome.ttftMs).toBe(42);
  });

  it('sends a path that the operator allowed to any healthy endpoint, without reading its body', async () => {
    const { a, b, handle, records, requests, publish } = setUp();
    publish({ endpoints: [{ ...a, health: { kind: 'unknown' } }, b] });
    const exchange = new FakeExchange(aHead({ method: 'PUT', path: '/metrics' }));
    const done = handle(exchange);
    await settle();
    expect(exchange.calls).toEqual(['route', 'responseHead']);
    expect(exchange.routes[0]?.destinations).toEqual([b.id, b.id, b.id]);
    expect(requests).toEqual([expect.objectContaining({ model: '', promptBytes: 0 })]);
    exchange.close();
    await done;
    expect(records).toEqual([
      expect.objectContaining({ api: undefined, model: undefined, modelKnown: false }),
    ]);
  });

  it('reads the model of a form', async () => {
    const { handle, records } = setUp();
    const form = new FakeExchange(
      aHead({
        path: '/v1/audio/transcriptions',
        headers: Headers.of({ 'content-type': 'multipart/form-data; boundary=b' }),
      }),
    );
    const done = handle(form);
    form.sendBody('--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--b--\r\n');
    await settle();
    expect(form.routes[0]?.model).toBe('m');
    form.close();
    await done;
    expect(records[0]).toMatchObject({ api: 'by-model', model: 'm', stream: false });
  });
});

describe('handleRequest() with a model that is renamed', () => {
  const models = {
    aliases: new Map([
      ['gpt', 'm'],
      ['sleeper', 'sleeping'],
      ['lost', 'gone'],
    ]),
    rewrites: new Map([['old', 'm']]),
  };

  it.each([['gpt'], ['old']])('asks engines for the target of "%s", and says both names', async (name) => {
    const { a, b, handle, records, requests } = setUp({ models });
    const exchange = new FakeExchange();
    const done = handle(exchange);
    exchange.sendBody(` {"stream":true, "model" : ${JSON.stringify(name)},"messages":[ ] }`);
    await settle();
    expect(exchange.sentOn).toBe(' {"stream":true, "model" : "m","messages":[ ] }');
    expect(exchange.routes).toEqual([
      expect.objectContaining({ model: 'm', destinations: [a.id, b.id, a.id] }),
    ]);
    expect(requests).toEqual([expect.objectContaining({ model: 'm' })]);
    exchange.close();
    await done;
    expect(records).toEqual([expect.objectContaining({ model: name, servedModel: 'm', modelKnown: true })]);
  });

  it('leaves a body alone that names the model itself', async () => {
    const { handle, records } = setUp({ models });
    const exchange = new FakeExchange();
    const done = handle(exchange);
    exchange.sendBody(chat);
    await settle();
    expect(exchange.routes[0]?.edits).toEqual([]);
    exchange.close();
    await done;
    expect(records[0]).toMatchObject({ model: 'm', servedModel: undefined });
  });

  it('leaves an alias to the engine that serves a model of that name, but not a rewrite', async () => {
    const { a, b, handle, requests, publish } = setUp({ models });
    publish({
      models: new Set(['m', 'gpt', 'old']),
      readyByModel: new Map([
        ['m', [a]],
        ['gpt', [b]],
        ['old', [b]],
      ]),
    });
    const exchanges = ['gpt', 'old'].map((model) => {
      const exchange = new FakeExchange(aHead(), model);
      exchange.sendBody({ model });
      return exchange;
    });
    const done = exchanges.map(handle);
    await settle();
    expect(requests.map(({ model }) => model)).toEqual(['gpt', 'm']);
    expect(exchanges.map(({ routes }) => routes[0]?.destinations[0])).toEqual([b.id, a.id]);
    for (const exchange of exchanges) exchange.close();
    await Promise.all(done);
  });

  it('renames it in a form', async () => {
    const { handle } = setUp({ models });
    const form = new FakeExchange(
      aHead({
        path: '/v1/audio/transcriptions',
        headers: Headers.of({ 'content-type': 'multipart/form-data; boundary=b' }),
      }),
    );
    const body = (model: string) =>
      `--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n${model}\r\n--b--\r\n`;
    const done = handle(form);
    form.sendBody(body('gpt'));
    await settle();
    expect(form.sentOn).toBe(body('m'));
    form.close();
    await done;
  });

  it.each([
    ['lost', 'gone', 404, 'model-not-found'],
    ['sleeper', 'sleeping', 503, 'model-unavailable'],
  ])('refuses "%s" whose target cannot serve, by both names', async (name, target, status, reason) => {
    const { handle, records } = setUp({ models });
    const exchange = new FakeExchange();
    exchange.sendBody({ ...chat, model: name });
    await handle(exchange);
    expect(exchange.replies.map((reply) => reply.status)).toEqual([status]);
    expect(exchange.replies[0]!.body).toContain(`The model \\"${name}\\" (served as \\"${target}\\")`);
    expect(records).toEqual([
      expect.objectContaining({ model: name, servedModel: target, modelKnown: true, status, reason }),
    ]);
  });
});

describe('handleRequest() with settings that change', () => {
  it('takes them once, at the start, and keeps them to the end', async () => {
    const { a, b, handle, records, timesConfigured, configure } = setUp({
      usageMode: 'streamed',
      maxAttempts: 1,
      models: { aliases: new Map([['gpt', 'm']]), rewrites: new Map() },
      sessionHeaders: ['x-session'],
    });
    const exchange = new FakeExchange(aHead({ fields: { 'x-session': 's', 'x-other': 'o' } }));
    const done = handle(exchange);
    configure({
      matchPath: createPathMatcher(),
      maxBodyBytes: 1,
      maxBodyDepth: 1,
      maxAttempts: 2,
      usageMode: 'none',
      models: { aliases: new Map(), rewrites: new Map([['gpt', 'gone']]) },
      sessionHeaders: ['x-other'],
    });
    exchange.sendBody({ ...chat, model: 'gpt' });
    await settle();
    expect(exchange.routes.map(({ destinations }) => destinations)).toEqual([[a.id]]);
    exchange.respond({ servedBy: b.id });
    await settle();
    exchange.pass('data: [DONE]\n\n');
    exchange.close(true);
    await done;
    expect(records).toEqual([expect.objectContaining({ outcome: 'completed', servedModel: 'm' })]);
    expect(timesConfigured()).toBe(1);
  });

  it('uses what is configured now for the next exchange', async () => {
    const { handle, configure, records } = setUp();
    const get = async (path: string): Promise<FakeExchange> => {
      const exchange = new FakeExchange(aHead({ method: 'GET', path, hasBody: false }));
      const done = handle(exchange);
      await settle();
      exchange.close();
      await done;
      return exchange;
    };
    expect((await get('/extra')).replies[0]?.status).toBe(404);
    expect((await get('/health')).replies[0]?.body).toBe('health');
    configure({
      matchPath: createPathMatcher(['/extra']),
      models: { aliases: new Map([['gpt', 'm']]), rewrites: new Map() },
    });
    expect((await get('/extra')).routes).toHaveLength(1);
    expect((await get('/health')).replies[0]?.body).toBe('health gpt');
    expect(records).toHaveLength(4);
  });
});

describe('handleRequest() and the session', () => {
  it.each<[string, Record<string, string>, object, string | undefined]>([
    ['the first header', { 'x-a': 'a', 'x-b': 'b' }, { user: 'u' }, 'a'],
    ['the first header that is not empty', { 'x-a': ' ', 'x-b': 'b' }, { user: 'u' }, 'b'],
    ['the body where no header is', { 'x-c': 'c' }, { user: 'u' }, 'u'],
    ['nothing where nothing is', {}, {}, undefined],
  ])('takes it from %s', async (_, fields, more, expected) => {
    const { handle, requests } = setUp({ sessionHeaders: ['x-a', 'x-b'] });
    const exchange = new FakeExchange(aHead({ fields }));
    const done = handle(exchange);
    exchange.sendBody({ ...chat, ...more });
    await settle();
    exchange.close();
    await done;
    expect(requests.map(({ sessionKey }) => sessionKey)).toEqual([expected]);
  });
});

describe('handleRequest() and admission', () => {
  const usage = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };

  it('tells who asks for what, and afterwards what became of it', async () => {
    const principal: Principal = { ...anonymous, id: 'anonymous:header:alice' };
    const { handle, admissions, records } = setUp({
      usageMode: 'streamed',
      authenticate: () => ({ kind: 'accepted', principal }),
      shareOf: (caller) => (caller === principal ? 3 : 1),
      boostHeader: 'x-session',
    });
    admissions.charged = { inputTokens: 7, cachedInputTokens: 0, outputTokens: 3, estimated: false };
    const exchange = new FakeExchange(aHead({ fields: { 'x-session': 's-1' } }));
    const done = handle(exchange);
    exchange.sendBody({ ...chat, max_tokens: 50, n: 2 });
    await settle();
    expect(admissions.arrivals).toEqual([
      {
        id: exchange.id,
        caller: principal,
        weight: 3,
        model: 'm',
        promptBytes: expect.any(Number),
        keptBytes: 0,
        stream: true,
        maxOutputTokens: 100,
        sessionKey: 's-1',
      },
    ]);
    expect(admissions.calls).toEqual(['started']);
    exchange.respond();
    await settle();
    exchange.pass(
      `data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: ${JSON.stringify({ choices: [], usage })}\n\n`,
    );
    exchange.close(true);
    await done;
    expect(admissions.calls).toEqual(['started', 'ended', 'settle']);
    expect(admissions.seen).toEqual([
      {
        usage: { inputTokens: 7, outputTokens: 3, cachedInputTokens: 0 },
        answered: true,
        generated: true,
        outputChunks: 1,
        responseBytes: expect.any(Number),
        completed: true,
      },
    ]);
    expect(records[0]).toMatchObject({ charged: admissions.charged, queueMs: 0 });
  });

  it('has Envoy wait for a request that waits, and schedules with what is known then', async () => {
    const { handle, admissions, records, clock, a, b, publish, inFlight } = setUp();
    let letIn: (result: AdmissionResult) => void = () => undefined;
    admissions.next = (onWait) => {
      onWait();
      return new Promise((resolve) => (letIn = resolve));
    };
    const exchange = new FakeExchange();
    const done = handle(exchange);
    exchange.sendBody(chat);
    await settle();
    expect([exchange.calls, exchange.routes, inFlight()]).toEqual([
      ['body', 'dropBody', 'extendTimeout'],
      [],
      [0, 0],
    ]);
    clock.advance(700);
    publish({ readyByModel: new Map([['m', [b]]]) });
    letIn(admissions.letIn());
    await settle();
    expect([exchange.routes[0]?.destinations[0], a.history]).toEqual([b.id, []]);
    exchange.close();
    await done;
    expect(records[0]).toMatchObject({ queueMs: 700 });
  });

  it('keeps a body that has to be changed while its request waits', async () => {
    const { handle, admissions } = setUp({ addedUsage: 'hidden' });
    admissions.next = (onWait) => {
      onWait();
      return Promise.resolve(admissions.letIn());
    };
    const exchange = new FakeExchange();
    const done = handle(exchange);
    exchange.sendBody(chat);
    await settle();
    expect(exchange.calls).not.toContain('dropBody');
    expect(admissions.arrivals[0]?.keptBytes).toBe(JSON.stringify(chat).length);
    exchange.close();
    await done;
  });

  it('gives the turn back when nobody serves the model any more', async () => {
    const { handle, admissions, publish, records } = setUp();
    admissions.next = () => {
      publish({ readyByModel: new Map() });
      return Promise.resolve(admissions.letIn());
    };
    const exchange = new FakeExchange();
    const done = handle(exchange);
    exchange.sendBody(chat);
    await done;
    expect(exchange.replies[0]?.status).toBe(503);
    expect([admissions.calls, admissions.seen]).toEqual([['ended', 'settle'], [undefined]]);
    expect(records[0]).toMatchObject({ reason: 'model-unavailable' });
  });

  it('leaves the queue with the client, and tells nobody', async () => {
    const { handle, admissions, records } = setUp();
    admissions.next = (onWait) => {
      const signal = onWait();
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve({ kind: 'left' })));
    };
    const exchange = new FakeExchange();
    const done = handle(exchange);
    exchange.sendBody(chat);
    await settle();
    exchange.close();
    await done;
    expect([exchange.replies, exchange.routes, admissions.calls]).toEqual([[], [], []]);
    expect(records[0]).toMatchObject({ outcome: 'aborted' });
  });

  it('does not ask for what needs no model', async () => {
    const { handle, admissions } = setUp();
    const exchange = new FakeExchange(aHead({ method: 'GET', path: '/metrics', hasBody: false }));
    const done = handle(exchange);
    await settle();
    exchange.close();
    await done;
    expect([exchange.routes.length, admissions.arrivals]).toEqual([1, []]);
  });

  it('shows what is left of the limits in the response, beside what is there already', async () => {
    const { handle, admissions } = setUp();
    admissions.headers = { 'x-ratelimit-remaining-requests': '4' };
    const exchange = new FakeExchange();
    const done = handle(exchange);
    exchange.sendBody(chat);
    await settle();
    expect(exchange.routes[0]?.responseHeaders).toEqual({
      remove: [],
      set: { 'x-ratelimit-remaining-requests': '4' },
      append: {},
    });
    exchange.close();
    await done;
  });

  it.each([
    ['none', chat],
    ['hidden', { ...chat, stream_options: { include_usage: true } }],
    ['shown', { ...chat, stream_options: { include_usage: true } }],
  ] as const)('asks a stream for its usage where it is added: %s', async (addedUsage, sentOn) => {
    const { handle } = setUp({ addedUsage });
    const exchange = new FakeExchange();
    const done = handle(exchange);
    exchange.sendBody(chat);
    await settle();
    expect(JSON.parse(exchange.sentOn!)).toEqual(sentOn);
    exchange.close();
    await done;
  });
});

describe('handleRequest() without an engine', () => {
  it('answers a path that is ours', async () => {
    const { handle, records } = setUp();
    const exchange = new FakeExchange(aHead({ method: 'GET', path: '/health', hasBody: false }));
    await handle(exchange);
    expect(exchange.replies).toEqual([{ status: 200, headers: {}, body: 'health', details: 'd' }]);
    expect(records).toEqual([expect.objectContaining({ outcome: 'local', status: 200, reason: undefined })]);
  });

  const cases: readonly [string, Parameters<typeof aHead>[0], string | object, number, string][] = [
    ['an unknown path', { path: '/admin' }, '', 404, 'path-not-found'],
    ['a path spelled otherwise', { path: '/v1//chat/completions' }, '', 404, 'path-not-found'],
    ['a card nobody has', { method: 'GET', path: '/v1/models/x' }, '', 404, 'model-not-found'],
    ['a method the path does not have', { method: 'GET' }, '', 405, 'method-not-allowed'],
    ['no body', { hasBody: false }, '', 400, 'invalid-request'],
    ['a body that is no JSON', {}, '{"model":', 400, 'invalid-request'],
    ['a body without model', {}, {}, 400, 'invalid-request'],
    ['a body that is too deep', {}, { model: 'm', x: [[[[[[[[[[[]]]]]]]]]]] }, 400, 'invalid-request'],
    ['a compressed body', { fields: { 'content-encoding': 'gzip' } }, '', 415, 'unsupported-encoding'],
    ['a declared length over the bound', { fields: { 'content-length': '1001' } }, '', 413, 'body-too-large'],
    ['a body over the bound', {}, ' '.repeat(1001), 413, 'body-too-large'],
    ['a model nobody serves', {}, { ...chat, model: 'gone' }, 404, 'model-not-found'],
    ['a model nobody has ready', {}, { ...chat, model: 'sleeping' }, 503, 'model-unavailable'],
  ];

  it.each(cases)('refuses %s', async (_, head, body, status, reason) => {
    const { handle, records, failures, requests, inFlight } = setUp();
    const exchange = new FakeExchange(aHead(head));
    exchange.sendBody(body);
    await handle(exchange);
    expect(exchange.replies.map((reply) => reply.status)).toEqual([status]);
    expect(JSON.parse(exchange.replies[0]!.body)).toMatchObject({
      error: { code: reason.replaceAll('-', '_') },
    });
    expect(records).toEqual([
      expect.objectContaining({
        outcome: 'rejected',
        status,
        reason,
        modelKnown: false,
        decision: undefined,
      }),
    ]);
    expect([failures, requests, exchange.routes, exchange.misuses]).toEqual([[], [], [], []]);
    expect(inFlight()).toEqual([0, 0]);
  });

  it('refuses on the head alone, where the head is enough', async () => {
    const { handle } = setUp();
    const exchange = new FakeExchange(aHead({ path: '/admin' }));
    await handle(exchange);
    expect(exchange.calls).toEqual(['reply']);
  });

  it.each([
    ['saturated', 429, 'saturated'],
    ['ineligible', 503, 'no-endpoint-eligible'],
  ] as const)('refuses when everybody is %s', async (whenEmpty, status, reason) => {
    const { a, b, handle, records, settled } = setUp({ schedule: nobody(whenEmpty) });
    const exchange = new FakeExchange();
    exchange.sendBody(chat);
    await handle(exchange);
    expect(exchange.replies).toEqual([
      expect.objectContaining({ status, headers: expect.objectContaining({ 'retry-after': '1' }) }),
    ]);
    expect(records).toEqual([
      expect.objectContaining({ outcome: 'rejected', status, reason, modelKnown: true, model: 'm' }),
    ]);
    expect([settled, a.history, b.history]).toEqual([[], [], []]);
  });

  it('refuses an allowed path when no endpoint is healthy', async () => {
    const { handle, publish, records } = setUp();
    publish({ endpoints: [anEndpoint(0, { health: { kind: 'unknown' } })] });
    const exchange = new FakeExchange(aHead({ method: 'GET', path: '/metrics', hasBody: false }));
    await handle(exchange);
    expect(exchange.replies[0]?.status).toBe(503);
    expect(records[0]?.reason).toBe('no-endpoint-eligible');
  });

  it("speaks the API's own dialect", async () => {
    const { handle } = setUp();
    const exchange = new FakeExchange(aHead({ path: '/v1/messages' }));
    exchange.sendBody({ model: 'gone', max_tokens: 1, messages: [] });
    await handle(exchange);
    expect(JSON.parse(exchange.replies[0]!.body)).toMatchObject({
      type: 'error',
      error: { type: 'not_found_error' },
    });
  });
});

describe('handleRequest() when the client leaves', () => {
  it('while its body is read: nobody is told anything', async () => {
    const { handle, records, failures, settled } = setUp();
    const exchange = new FakeExchange();
    const done = handle(exchange);
    await settle();
    exchange.close();
    await done;
    expect(exchange.calls).toEqual(['body']);
    expect(records).toEqual([
      expect.objectContaining({ outcome: 'aborted', status: 0, reason: undefined, model: undefined }),
    ]);
    expect([failures, settled]).toEqual([[], []]);
  });

  it('after its body, before it is routed: the place is given back, and plugins hear of it', async () => {
    const { a, handle, records, failures, settled } = setUp();
    const exchange = new FakeExchange();
    exchange.sendBody(chat);
    exchange.close();
    await handle(exchange);
    expect(a.history).toEqual([1, 0]);
    expect(exchange.routes).toEqual([]);
    expect(records).toEqual([expect.objectContaining({ outcome: 'aborted', status: 0, model: 'm' })]);
    expect(settled).toEqual([
      expect.objectContaining({ routedTo: a, outcome: expect.objectContaining({ completed: false }) }),
    ]);
    expect(failures).toEqual([]);
  });

  it('before the response began', async () => {
    const { a, handle, records, settled } = setUp();
    const exchange = new FakeExchange();
    exchange.sendBody(chat);
    const done = handle(exchange);
    await settle();
    exchange.close();
    await done;
    expect(a.history).toEqual([1, 0]);
    expect(records).toEqual([
      expect.objectContaining({ status: 0, servedBy: undefined, outcome: 'unknown' }),
    ]);
    expect(settled[0]?.outcome.servedBy).toBeUndefined();
  });

  it('in the middle of the response', async () => {
    const { a, b, handle, records, settled } = setUp({ usageMode: 'streamed' });
    const exchange = new FakeExchange();
    exchange.sendBody(chat);
    const done = handle(exchange);
    await settle();
    exchange.respond({ servedBy: b.id });
    await settle();
    exchange.pass('data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n');
    exchange.close(false);
    await done;
    expect([a.inFlight, b.history]).toEqual([0, [1, 0]]);
    expect(records).toEqual([expect.objectContaining({ outcome: 'aborted', status: 200 })]);
    expect(settled[0]?.outcome).toMatchObject({ servedBy: b, completed: false });
  });
});

describe('handleRequest() when something of ours fails', () => {
  const secret = new Error('secret of /srv/plugin.ts');

  it('in the decision: 500 without a word of why, reported once', async () => {
    const { a, b, handle, records, failures, settled } = setUp({
      schedule: () => {
        throw secret;
      },
    });
    const exchange = new FakeExchange();
    exchange.sendBody(chat);
    await handle(exchange);
    expect(exchange.replies.map(({ status }) => status)).toEqual([500]);
    expect(JSON.stringify(exchange.replies)).not.toMatch(/secret|plugin\.ts/);
    expect(failures).toEqual([secret]);
    expect(records).toEqual([
      expect.objectContaining({ outcome: 'rejected', status: 500, reason: 'internal' }),
    ]);
    expect([settled, a.history, b.history]).toEqual([[], [], []]);
  });

  it('in what plugins learn at the end: the exchange is reported all the same', async () => {
    const { a, handle, records, failures } = setUp({ settledThrows: secret });
    const exchange = new FakeExchange();
    exchange.sendBody(chat);
    const done = handle(exchange);
    await settle();
    exchange.close();
    await done;
    expect(a.inFlight).toBe(0);
    expect(failures).toEqual([secret]);
    expect(records).toHaveLength(1);
  });
});

describe('handleRequest() whatever happens', () => {
  const plan = fc.record({
    path: fc.constantFrom(
      '/v1/chat/completions',
      '/v1/chat/completions',
      '/v1/chat/completions',
      '/metrics',
      '/health',
      '/nowhere',
    ),
    body: fc.constantFrom(chat, chat, chat, { model: 'gone' }, '{', ' '.repeat(2000)),
    decision: fc.constantFrom('chosen', 'chosen', 'chosen', 'saturated', 'ineligible', 'throws'),
    servedBy: fc.constantFrom('10.0.0.0:8000', '10.0.0.1:8000', '192.0.2.1:1', undefined),
    entry: fc.boolean(),
    complete: fc.option(fc.boolean(), { nil: undefined }),
  });
  const step = fc.record({
    exchange: fc.nat(3),
    event: fc.constantFrom('start', 'body', 'head', 'chunk', 'close', 'entry'),
    pause: fc.constantFrom('none', 'microtask', 'turn'),
  });

  it('gives every place back and reports every exchange once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(plan, { minLength: 1, maxLength: 4 }),
        fc.array(step, { maxLength: 30 }),
        fc.constantFrom('auto', 'access-log', 'streamed', 'none'),
        fc.boolean(),
        async (plans, steps, usageMode, settledThrows) => {
          let chosen = 0;
          const rig = setUp({
            usageMode,
            ...(settledThrows && { settledThrows: new Error('learning') }),
            schedule(request, candidates) {
              const { decision } = plans[Number(request.id)]!;
              if (decision === 'throws') throw new Error('scheduling');
              if (decision !== 'chosen') return nobody(decision)(request, candidates);
              chosen++;
              return firstCandidates(request, candidates);
            },
          });
          const exchanges = plans.map(({ path }, id) => new FakeExchange(aHead({ path }), String(id)));
          const running = new Map<number, Promise<void>>();
          const happens: Record<(typeof steps)[number]['event'], (index: number) => void> = {
            start: (index) => {
              if (!running.has(index)) running.set(index, rig.handle(exchanges[index]!));
            },
            body: (index) => exchanges[index]!.sendBody(plans[index]!.body),
            head: (index) => exchanges[index]!.respond({ servedBy: plans[index]!.servedBy }),
            chunk: (index) => exchanges[index]!.pass('data: {"choices":[{"delta":{"content":"x"}}]}\n\n'),
            close: (index) => exchanges[index]!.close(plans[index]!.complete),
            entry: (index) => rig.entries.get(String(index))?.(undefined),
          };
          for (const { exchange, event, pause } of steps) {
            happens[event](exchange % plans.length);
            if (pause === 'microtask') await Promise.resolve();
            else if (pause === 'turn') await settle();
          }
          for (const event of ['start', 'close', 'entry'] as const) {
            plans.forEach((_, index) => happens[event](index));
            await settle();
          }
          await Promise.all(running.values());

          expect(rig.inFlight()).toEqual([0, 0]);
          expect(Math.min(0, ...rig.a.history, ...rig.b.history)).toBe(0);
          expect(rig.records.map(({ id }) => id).toSorted()).toEqual(plans.map((_, index) => String(index)));
          expect(rig.settled).toHaveLength(chosen);
          for (const exchange of exchanges) {
            expect(exchange.misuses).toEqual([]);
            expect(exchange.replies.length + exchange.routes.length).toBeLessThanOrEqual(1);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
