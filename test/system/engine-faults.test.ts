import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { profileSchema } from '../../src/engine-sim/profile.ts';
import { startSimulatedEngine, type SimulatedEngine } from '../../src/engine-sim/server.ts';
import { chat, chatBody, longPrompt } from '../support/chat.ts';
import { eventually } from '../support/eventually.ts';
import { startGateway, type ExchangeLine, type Gateway } from '../support/gateway.ts';
import { responseOf, send, startRequest, type Reply } from '../support/http-client.ts';
import { LoopbackEngine, vllmPage } from '../support/loopback-engine.ts';
import { decisionOf, endpoints, untilIdle } from '../support/pages.ts';
import { exchangeOf } from '../support/refusals.ts';

/** Load and affinity only, so that a repeated prompt has one engine to go to. */
const byAffinity =
  'scheduler: { plugins: { Score: { enabled: [{ name: least-request, weight: 1 }, { name: prefix-cache, weight: 3 }] } } }';

let gateway: Gateway;
const idOf = (engine: SimulatedEngine): string => `127.0.0.1:${engine.port}`;
const byId = (id: unknown): SimulatedEngine => gateway.engines.find((engine) => idOf(engine) === id)!;
const others = (engine: SimulatedEngine): string[] =>
  gateway.engines.filter((other) => other !== engine).map(idOf);
const line = (reply: Reply): Promise<ExchangeLine> => exchangeOf(gateway, reply);
const healthOf = async (engine: SimulatedEngine): Promise<string | undefined> =>
  (await endpoints(gateway)).find(({ id }) => id === idOf(engine))?.health.kind;
let prompts = 0;

/** Teaches a new prompt to some engine: it is the first choice for that prompt from now on. */
async function affine(): Promise<{ readonly prompt: string; readonly engine: SimulatedEngine }> {
  const prompt = longPrompt(`prompt${prompts++}`);
  const reply = await chat(gateway, { prompt });
  expect(reply.status).toBe(200);
  return { prompt, engine: byId((await line(reply))['servedBy']) };
}

describe('an engine fails before Sluice noticed', () => {
  beforeAll(async () => {
    gateway = await startGateway({
      config: `${byAffinity}
scrape: { interval: 60s, staleAfter: 120s, timeout: 500ms }
envoy: { perTryIdleTimeout: 500ms }
usage: { accessLogTimeout: 1s }`,
    });
  }, 60_000);
  afterAll(() => gateway.stop());
  afterEach(async () => {
    for (const engine of gateway.engines) engine.setFault({ mode: 'none' });
    await untilIdle(gateway);
  });

  it('it refuses connections: the next one serves, and the load is counted there', async () => {
    const { prompt, engine } = await affine();
    engine.setFault({ mode: 'refuse', forMs: 60_000 });
    const outgoing = startRequest(gateway.port, { body: chatBody({ prompt, tokens: 20_000, stream: true }) });
    const response = await responseOf(outgoing);
    expect(response.statusCode).toBe(200);
    await once(response, 'data');
    const loads = await endpoints(gateway);
    expect(loads.find(({ id }) => id === idOf(engine))).toMatchObject({ inFlight: 0 });
    const busy = loads.filter(({ inFlight }) => inFlight === 1).map(({ id }) => id);
    expect(busy).toHaveLength(1);
    outgoing.destroy();
    const ended = await exchangeOf(gateway, response);
    expect(ended).toMatchObject({
      endpoint: idOf(engine),
      servedBy: busy[0],
      attempts: 2,
      outcome: 'aborted',
    });
    expect(ended['ranked']).toHaveLength(3);
    expect((ended['ranked'] as string[])[1]).toBe(busy[0]);
  });

  it('affinity follows who served', async () => {
    const { prompt, engine } = await affine();
    engine.setFault({ mode: 'refuse', forMs: 60_000 });
    const second = (await line(await chat(gateway, { prompt })))['servedBy'];
    expect(second).not.toBe(idOf(engine));
    engine.setFault({ mode: 'none' });
    const decision = await decisionOf(gateway, await line(await chat(gateway, { prompt })));
    const holders = Object.entries(decision.scores('prefix-cache')).filter(([, score]) => score > 0.9);
    expect(holders.map(([id]) => id).toSorted()).toEqual([idOf(engine), second].toSorted());
  });

  it('it hangs: it is given up after the idle time of a try', async () => {
    const { prompt, engine } = await affine();
    engine.setFault({ mode: 'hang' });
    const reply = await chat(gateway, { prompt });
    expect(reply.status).toBe(200);
    const ended = await line(reply);
    expect(ended).toMatchObject({
      endpoint: idOf(engine),
      attempts: 2,
      outcome: 'completed',
      outputTokens: 2,
    });
    expect(others(engine)).toContain(ended['servedBy']);
  });

  it('it hangs after its response began: the stream breaks', async () => {
    const { prompt, engine } = await affine();
    engine.setFault({ mode: 'hang' });
    const response = await responseOf(
      startRequest(gateway.port, { body: chatBody({ prompt, tokens: 50, stream: true }) }),
    );
    expect(response.statusCode).toBe(200);
    await expect(response.toArray()).rejects.toThrow('aborted');
    expect(await exchangeOf(gateway, response)).toMatchObject({
      servedBy: idOf(engine),
      attempts: 1,
      outcome: 'failed',
    });
  });

  it('it answers 503: the next one is asked', async () => {
    const { prompt, engine } = await affine();
    engine.setFault({ mode: 'unavailable-503' });
    const reply = await chat(gateway, { prompt });
    expect(reply.status).toBe(200);
    const ended = await line(reply);
    expect(ended).toMatchObject({ endpoint: idOf(engine), attempts: 2, outcome: 'completed' });
    expect(others(engine)).toContain(ended['servedBy']);
  });

  it('it answers 500: the answer is passed on as it is', async () => {
    const { prompt, engine } = await affine();
    engine.setFault({ mode: 'error-500' });
    const direct = await send(engine.port, { body: chatBody({ prompt }) });
    const before = engine.requests().length;
    const reply = await chat(gateway, { prompt });
    expect(reply).toMatchObject({ status: 500, body: direct.body });
    expect(reply.body).toContain('Simulated engine failure');
    expect(reply.headers['content-type']).toBe(direct.headers['content-type']);
    expect(await line(reply)).toMatchObject({ servedBy: idOf(engine), attempts: 1, status: 500 });
    expect(engine.requests()).toHaveLength(before + 1);
  });

  it('it dies with the request in hand: another one gets it whole', async () => {
    const { prompt, engine } = await affine();
    engine.setFault({ mode: 'reset', count: 1 });
    const body = `${chatBody({ prompt }).slice(0, -1)},"padding":"${'x'.repeat(220 * 1024)}"}`;
    const reply = await send(gateway.port, { body });
    expect(reply.status).toBe(200);
    const ended = await line(reply);
    expect(ended).toMatchObject({
      endpoint: idOf(engine),
      attempts: 2,
      outcome: 'completed',
      outputTokens: 2,
    });
    expect(others(engine)).toContain(ended['servedBy']);
    const sha256 = createHash('sha256').update(body).digest('hex');
    for (const id of [idOf(engine), ended['servedBy']])
      expect(byId(id).requests().at(-1)).toMatchObject({ body: { sha256, bytes: body.length } });
  });

  it('every engine in turn dies with the request in hand: 503, and nobody is asked for ever', async () => {
    const { prompt } = await affine();
    for (const engine of gateway.engines) engine.setFault({ mode: 'reset' });
    const before = gateway.engines.map((engine) => engine.requests().length);
    const reply = await chat(gateway, { prompt });
    expect(reply.status).toBe(503);
    expect(reply.headers['retry-after']).toBe('1');
    expect(reply.json).toMatchObject({ error: { code: 'service_unavailable' } });
    expect(await line(reply)).toMatchObject({ status: 503, outcome: 'failed', attempts: 3 });
    expect(gateway.engines.map((engine) => engine.requests().length)).toEqual(
      before.map((count) => count + 1),
    );
  });

  it('it dies in the middle of a stream: the client can tell, and nobody tries again', async () => {
    const { prompt, engine } = await affine();
    engine.setFault({ mode: 'drop-mid-stream', afterTokens: 3 });
    const before = gateway.engines.map((other) => other.requests().length);
    const response = await responseOf(
      startRequest(gateway.port, { body: chatBody({ prompt, tokens: 50, stream: true }) }),
    );
    let text = '';
    response.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const [error] = (await once(response, 'error')) as [Error];
    expect(error.message).toBe('aborted');
    expect(text).toContain('data: {');
    expect(text).not.toContain('[DONE]');
    expect(await exchangeOf(gateway, response)).toMatchObject({
      servedBy: idOf(engine),
      attempts: 1,
      outcome: 'failed',
      status: 200,
    });
    const after = gateway.engines.map((other) => other.requests().length);
    expect(after.reduce((sum, count) => sum + count, 0)).toBe(
      before.reduce((sum, count) => sum + count, 0) + 1,
    );
  });
});

describe('Sluice notices', () => {
  beforeAll(async () => {
    gateway = await startGateway({
      config: `${byAffinity}
scrape: { interval: 100ms, staleAfter: 500ms, timeout: 200ms, modelsInterval: 500ms, unhealthyAfter: 2 }`,
    });
  }, 60_000);
  afterAll(() => gateway.stop());
  afterEach(async () => {
    for (const engine of gateway.engines) engine.setFault({ mode: 'none' });
    await allHealthy();
    await untilIdle(gateway);
  });

  const allHealthy = (): Promise<void> =>
    eventually(async () => (await endpoints(gateway)).every(({ health }) => health.kind === 'healthy'));

  it('an engine that answers nothing: it is not picked, until it answers again', async () => {
    const { prompt, engine } = await affine();
    engine.setFault({ mode: 'hang', scope: 'http' });
    await eventually(async () => (await healthOf(engine)) === 'unhealthy');
    const unhealthy = await gateway.line(
      ({ msg, endpoint }) => endpoint === idOf(engine) && msg.includes('is unhealthy'),
    );
    expect(unhealthy['reason']).toMatch(/no answer to GET \/(health|metrics|v1\/models) within 200 ms/);
    const ended = await line(await chat(gateway, { prompt }));
    expect(ended).toMatchObject({ candidates: 2, attempts: 1, outcome: 'completed' });
    expect(others(engine)).toContain(ended['servedBy']);

    engine.setFault({ mode: 'none' });
    await allHealthy();
    expect(await line(await chat(gateway))).toMatchObject({ candidates: 3 });
  });

  it('that all engines are gone: 503 with a time to come back, and service when they are back', async () => {
    for (const engine of gateway.engines) engine.setFault({ mode: 'refuse', forMs: 60_000 });
    await eventually(async () =>
      (await endpoints(gateway)).every(({ health }) => health.kind === 'unhealthy'),
    );
    const reply = await chat(gateway);
    expect(reply).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    expect(reply.headers['content-type']).toBe('application/json');
    expect(reply.json).toMatchObject({ error: { code: 'model_unavailable', type: 'overloaded_error' } });
    expect(await line(reply)).toMatchObject({ outcome: 'rejected', reason: 'model-unavailable' });
    expect((await fetch(`${gateway.adminUrl}/readyz`)).status).toBe(503);

    for (const engine of gateway.engines) engine.setFault({ mode: 'none' });
    await allHealthy();
    // Envoy hears of it too, over a stream of its own.
    await eventually(async () => (await chat(gateway)).status === 200);
    expect((await fetch(`${gateway.adminUrl}/readyz`)).status).toBe(200);
  }, 20_000);

  it('metrics that do not come: the engine is used and judged by what is in flight', async () => {
    const { prompt, engine } = await affine();
    engine.setFault({ mode: 'hang-metrics' });
    await eventually(async () =>
      (await endpoints(gateway)).some(({ id, metrics }) => id === idOf(engine) && metrics === undefined),
    );
    expect(await healthOf(engine)).toBe('healthy');
    expect(await line(await chat(gateway, { prompt }))).toMatchObject({
      servedBy: idOf(engine),
      attempts: 1,
    });

    const running = Array.from({ length: 3 }, () =>
      startRequest(gateway.port, { body: chatBody({ prompt, tokens: 20_000, stream: true }) }),
    );
    await Promise.all(running.map(responseOf));
    const decision = await decisionOf(gateway, await line(await chat(gateway, { prompt: 'short' })));
    const scores = decision.scores('least-request');
    expect(scores[idOf(engine)]).toBeCloseTo(0.7);
    for (const id of others(engine)) expect(scores[id]).toBe(1);
    for (const outgoing of running) outgoing.destroy();
  });

  it('a page that never changes: the engine is still judged by what is in flight', async () => {
    const { prompt, engine } = await affine();
    engine.setFault({ mode: 'stale-metrics' });
    const outgoing = startRequest(gateway.port, { body: chatBody({ prompt, tokens: 20_000, stream: true }) });
    await responseOf(outgoing);
    for (let turn = 0; turn < 4; turn++)
      expect(others(engine)).toContain((await line(await chat(gateway)))['servedBy']);
    outgoing.destroy();
  });
});

describe('an engine is started again', () => {
  it('at the same address: its cache is believed empty, and it serves', async () => {
    gateway = await startGateway({
      config: `${byAffinity}\nscrape: { interval: 100ms, staleAfter: 500ms, modelsInterval: 500ms }`,
    });
    const { prompt, engine } = await affine();
    let restarted: SimulatedEngine | undefined;
    try {
      expect((await line(await chat(gateway, { prompt })))['servedBy']).toBe(idOf(engine));
      await engine.stop();
      await eventually(async () => (await healthOf(engine)) === 'unhealthy');
      restarted = await startSimulatedEngine({ model: 'm', speed: 20, port: engine.port });
      await eventually(async () => (await healthOf(engine)) === 'healthy');
      const decision = await decisionOf(gateway, await line(await chat(gateway, { prompt })));
      expect(Object.values(decision.scores('prefix-cache'))).toEqual([0, 0, 0]);
      await eventually(async () => (await line(await chat(gateway)))['servedBy'] === idOf(engine));
      await untilIdle(gateway);
    } finally {
      await gateway.stop();
      await restarted?.stop();
    }
  }, 30_000);
});

describe('an engine between two looks', () => {
  it('is a new process: its cache is believed empty', async () => {
    const engine = await LoopbackEngine.start();
    const other = await LoopbackEngine.start();
    for (const each of [engine, other])
      each.replies.set('/v1/chat/completions', { status: 200, body: '{"usage":{"prompt_tokens":1}}' });
    gateway = await startGateway({
      backends: [engine, other].map(({ port }) => `http://127.0.0.1:${port}`),
      config: `${byAffinity}\nscrape: { interval: 100ms, staleAfter: 1s }`,
    });
    try {
      const prompt = longPrompt('again');
      const first = await line(await chat(gateway, { prompt }));
      const taught = await decisionOf(gateway, await line(await chat(gateway, { prompt })));
      expect(taught.scores('prefix-cache')[String(first['servedBy'])]).toBe(1);

      const served = first['servedBy'] === `127.0.0.1:${engine.port}` ? engine : other;
      served.page(vllmPage({ processStart: 2000 }));
      const looks = served.count('/metrics');
      // The second look begins when the first one's answer was read.
      await eventually(() => served.count('/metrics') >= looks + 2);
      const forgotten = await decisionOf(gateway, await line(await chat(gateway, { prompt })));
      expect(Object.values(forgotten.scores('prefix-cache'))).toEqual([0, 0]);
      await untilIdle(gateway);
    } finally {
      await gateway.stop();
      await Promise.all([engine.stop(), other.stop()]);
    }
  }, 30_000);

  it('has no metrics at all: it serves', async () => {
    const engine = await LoopbackEngine.start();
    engine.page('Not Found', 404);
    engine.replies.set('/v1/chat/completions', { status: 200, body: '{}' });
    gateway = await startGateway({ backends: [`http://127.0.0.1:${engine.port}`] });
    try {
      const reply = await chat(gateway);
      expect(reply).toMatchObject({ status: 200, body: '{}' });
      expect(await line(reply)).toMatchObject({ servedBy: `127.0.0.1:${engine.port}`, attempts: 1 });
      expect(await endpoints(gateway)).toMatchObject([
        { health: { kind: 'healthy' }, metricsProblem: 'GET /metrics answered 404' },
      ]);
      await untilIdle(gateway);
    } finally {
      await gateway.stop();
      await engine.stop();
    }
  }, 30_000);
});

describe('engines under load', () => {
  afterEach(() => gateway.stop());

  it('are all full: 429 with a time to come back; a place is free: 200', async () => {
    gateway = await startGateway({
      engines: [0, 1].map(() => ({ profile: profileSchema.parse({ maxNumSeqs: 1 }) })),
      config: `scheduler: { pluginConfig: [{ name: least-request, args: { maxWaitingRequests: 1 } }] }
scrape: { interval: 100ms, staleAfter: 1s }`,
    });
    for (const engine of gateway.engines) engine.setFault({ mode: 'hang' });
    const held = Array.from({ length: 4 }, () => chat(gateway));
    await eventually(async () =>
      (await endpoints(gateway)).every(({ metrics }) => (metrics?.waiting ?? 0) > 0),
    );
    const reply = await chat(gateway);
    expect(reply).toMatchObject({ status: 429, headers: { 'retry-after': '1' } });
    expect(reply.json).toMatchObject({ error: { code: 'saturated', type: 'overloaded_error' } });
    expect(await line(reply)).toMatchObject({ outcome: 'rejected', reason: 'saturated' });

    for (const engine of gateway.engines) engine.setFault({ mode: 'none' });
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    await eventually(async () => (await endpoints(gateway)).every(({ metrics }) => metrics?.waiting === 0));
    expect((await chat(gateway)).status).toBe(200);
    await untilIdle(gateway);
  }, 30_000);

  it('are slow here and fast there: the fast ones are preferred', async () => {
    gateway = await startGateway({
      config: 'scrape: { interval: 100ms, staleAfter: 1s }',
    });
    const slow = gateway.engines[0]!;
    slow.setFault({ mode: 'slow', factor: 20 });
    await eventually(async () => {
      await Promise.all(Array.from({ length: 9 }, () => chat(gateway, { tokens: 5 })));
      return (await endpoints(gateway)).every(({ metrics }) => metrics?.ttftSeconds !== undefined);
    });
    for (let turn = 0; turn < 6; turn++)
      expect(others(slow)).toContain((await line(await chat(gateway)))['servedBy']);
    expect((await send(slow.port, { body: chatBody() })).status).toBe(200);
    await untilIdle(gateway);
  }, 30_000);

  it('one of three stops: every request that had not begun to stream is answered', async () => {
    gateway = await startGateway({ engines: [0, 1, 2].map(() => ({ speed: 1, requestLogSize: 200 })) });
    const victim = gateway.engines[1]!;
    const replies = Array.from({ length: 60 }, (_, index) =>
      chat(gateway, { prompt: longPrompt(`request${index}`, 50), tokens: 60 }),
    );
    await eventually(() => victim.stats().running >= 10);
    await victim.stop();
    expect((await Promise.all(replies)).map(({ status }) => status)).toEqual(Array(60).fill(200));
    const lines = await Promise.all((await Promise.all(replies)).map(line));
    const retried = lines.filter(({ attempts }) => attempts !== 1);
    expect(retried.length).toBeGreaterThanOrEqual(10);
    for (const ended of retried) {
      expect(ended).toMatchObject({ outcome: 'completed', outputTokens: 60 });
      expect(others(victim)).toContain(ended['servedBy']);
    }
    // And as soon as it is gone, streams begin elsewhere.
    const streamed = await chat(gateway, { stream: true });
    expect(streamed.body).toMatch(/data: \[DONE\]\n\n$/);
    await untilIdle(gateway);
  }, 30_000);
});
