import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { endpointId, type Endpoint, type EndpointTarget } from '../../src/endpoints/endpoint.ts';
import { createEndpointStore, type EndpointStore } from '../../src/endpoints/endpoint-store.ts';
import {
  createInferenceChecks,
  type CheckedBackend,
  type InferenceCheckOptions,
  type InferenceChecks,
} from '../../src/endpoints/inference-check.ts';
import { createScraper } from '../../src/endpoints/scraper.ts';
import { sendInference, type SendInference } from '../../src/endpoints/send-inference.ts';
import { startSimulatedEngine } from '../../src/engine-sim/server.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { LoopbackEngine } from '../support/loopback-engine.ts';
import { until } from '../support/until.ts';
import { FakeInference, settled } from './support/fake-inference.ts';

let clock: FakeClock;
let store: EndpointStore;
let engines: FakeInference;
let checks: InferenceChecks | undefined;
let random: number;
let lost: string[];
let news: string[];
let bugs: unknown[];

beforeEach(() => {
  clock = new FakeClock();
  store = createEndpointStore({ clock });
  engines = new FakeInference();
  random = 0;
  lost = [];
  news = [];
  bugs = [];
  store.subscribe((_snapshot, change) => lost.push(...change.lost.map(({ address }) => address)));
});

afterEach(() => {
  checks?.stop();
  checks = undefined;
  expect(clock.pending).toBe(0);
});

const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
const backends: readonly CheckedBackend[] = addresses.map((host) => ({ host, port: 8000, type: 'chat' }));

function target(address: string, more: Partial<EndpointTarget> = {}): EndpointTarget {
  return {
    id: endpointId(address, 8000),
    address,
    port: 8000,
    tls: false,
    hostname: undefined,
    configuredModels: ['m'],
    ...more,
  };
}

function start(
  options?: Partial<InferenceCheckOptions>,
  send: SendInference = engines.send,
): InferenceChecks {
  checks = createInferenceChecks(
    {
      store,
      clock,
      random: () => random,
      send,
      onChange: ({ address }, model, problem) => news.push(`${address} ${model}: ${problem ?? 'passes'}`),
      onBug: (error) => bugs.push(error),
    },
    { backends, ...options },
  );
  checks.start();
  return checks;
}

/** Makes these the endpoints, all with engines that answer probes. */
function serve(...targets: readonly (string | EndpointTarget)[]): void {
  store.setTargets(targets.map((one) => (typeof one === 'string' ? target(one) : one)));
  for (const endpoint of store.snapshot.endpoints) store.reportHealthy(endpoint);
}

function endpoint(address = '10.0.0.1'): Endpoint {
  const found = store.snapshot.endpoints.find((one) => one.address === address);
  if (found === undefined) throw new Error(`no endpoint ${address}`);
  return found;
}

function ready(model = 'm'): string[] {
  return (store.snapshot.readyByModel.get(model) ?? []).map(({ address }) => address);
}

/** Lets time pass and answers all that is asked at the end of it. */
async function after(ms: number, outcome: number | string): Promise<void> {
  clock.advance(ms);
  await engines.answerAll(outcome);
}

describe('createInferenceChecks()', () => {
  it('checks nothing without options', () => {
    checks = createInferenceChecks({ store, clock, random: () => 0, send: engines.send }, undefined);
    checks.start();
    serve('10.0.0.1');
    clock.advance(100_000);
    expect([engines.sent, ready(), checks.status(endpoint())]).toEqual([[], ['10.0.0.1'], undefined]);
  });

  it('makes an endpoint ready once both its probes and its first check say so', async () => {
    start();
    store.setTargets([target('10.0.0.1')]);
    clock.advance(100_000);
    expect(engines.sent).toEqual([]);
    store.reportHealthy(endpoint());
    expect(endpoint().health).toEqual({ kind: 'unknown' });
    await after(0, 200);
    expect(endpoint().health).toEqual({ kind: 'healthy' });
    expect([ready(), lost, news]).toEqual([['10.0.0.1'], [], []]);
    expect(checks?.status(endpoint())).toEqual({ inferenceProblems: [] });
  });

  it('takes an endpoint that fails out of use, says why, and takes it back within an interval', async () => {
    start();
    serve('10.0.0.1', '10.0.0.2');
    await after(0, 200);
    clock.advance(60_000);
    await engines.callTo(endpoint('10.0.0.1')).answer(500);
    await engines.callTo(endpoint('10.0.0.2')).answer(200);
    const reason = 'inference check of model m failed: HTTP 500';
    expect(endpoint().health).toEqual({ kind: 'unhealthy', reason, sinceMs: 60_000 });
    expect([ready(), lost]).toEqual([['10.0.0.2'], ['10.0.0.1']]);
    expect(checks?.status(endpoint())).toEqual({ inferenceProblems: [reason] });
    await after(60_000, 200);
    expect(ready()).toEqual(['10.0.0.1', '10.0.0.2']);
    expect(news).toEqual([`10.0.0.1 m: ${reason}`, '10.0.0.1 m: passes']);
    expect(lost).toEqual(['10.0.0.1']);
  });

  it('takes a model that fails out of use and leaves the other models of the endpoint', async () => {
    start();
    serve(target('10.0.0.1', { configuredModels: ['m', 'n'] }));
    clock.advance(0);
    await engines.answer(500);
    await engines.answer(200);
    expect([ready('m'), ready('n'), lost]).toEqual([[], ['10.0.0.1'], ['10.0.0.1']]);
    expect(checks?.status(endpoint())?.inferenceProblems).toHaveLength(1);
    clock.advance(60_000);
    await engines.answer(200);
    await engines.answer(503);
    expect([ready('m'), ready('n')]).toEqual([['10.0.0.1'], []]);
  });

  it('spreads first checks over half a second, and the others over a tenth of the interval', async () => {
    start();
    random = 0.5;
    serve('10.0.0.1');
    clock.advance(249);
    expect(engines.sent).toHaveLength(0);
    await after(1, 200);
    clock.advance(56_999);
    expect(engines.sent).toHaveLength(1);
    clock.advance(1);
    expect(engines.sent).toHaveLength(2);
  });

  it('never has two checks of one endpoint at once, and lets a slow one delay nobody', async () => {
    start({ intervalMs: 1000, timeoutMs: 10_000 });
    serve('10.0.0.1', '10.0.0.2');
    clock.advance(0);
    const slow = engines.callTo(endpoint('10.0.0.1'));
    for (let i = 0; i < 5; i++) {
      await engines.callTo(endpoint('10.0.0.2')).answer(200);
      clock.advance(1000);
    }
    expect(engines.sent.filter((to) => to === slow.to)).toHaveLength(1);
    expect(ready()).toEqual(['10.0.0.2']);
    clock.advance(5000);
    await settled();
    expect(endpoint().health).toMatchObject({
      reason: 'inference check of model m timed out after 10 s',
    });
    clock.advance(0);
    expect(engines.sent.filter((to) => to === slow.to)).toHaveLength(2);
  });

  it('asks nothing of an engine that is down, and asks at once when it is back', async () => {
    start();
    serve('10.0.0.1');
    await after(0, 200);
    store.reportUnhealthy(endpoint(), 'connection refused');
    clock.advance(200_000);
    expect(engines.sent).toHaveLength(1);
    store.reportHealthy(endpoint());
    // It passed the last time.
    expect(ready()).toEqual(['10.0.0.1']);
    await after(0, 500);
    expect(ready()).toEqual([]);
    store.reportUnhealthy(endpoint(), 'connection refused');
    store.reportHealthy(endpoint());
    expect(ready()).toEqual([]);
    await after(0, 200);
    expect(ready()).toEqual(['10.0.0.1']);
  });

  it('asks again at once where an engine came back while it was asked', async () => {
    start();
    serve('10.0.0.1');
    clock.advance(0);
    store.reportUnhealthy(endpoint(), 'connection refused');
    store.reportHealthy(endpoint());
    clock.advance(1000);
    expect(engines.sent).toHaveLength(1);
    await engines.answer('connection reset');
    await after(0, 200);
    expect([engines.sent.length, ready()]).toEqual([2, ['10.0.0.1']]);
  });

  it('follows endpoints that come and go', async () => {
    start();
    serve('10.0.0.1');
    await after(0, 200);
    clock.advance(60_000);
    const left = endpoint();
    const { signal } = engines.callTo(left);
    serve('10.0.0.2');
    expect(signal.aborted).toBe(true);
    await after(0, 200);
    expect(ready()).toEqual(['10.0.0.2']);
    expect(checks?.status(left)).toBeUndefined();
    serve('10.0.0.1', '10.0.0.2');
    expect(ready()).toEqual(['10.0.0.2']);
    await after(0, 200);
    expect(ready()).toEqual(['10.0.0.2', '10.0.0.1']);
    expect(news).toEqual([]);
  });

  it('finds the type of an endpoint by the name that was resolved, and checks no other', async () => {
    start({
      backends: [
        { host: 'engine', port: 8000, type: 'embeddings' },
        { host: '10.0.0.2', port: 8001, type: 'chat' },
        { host: '10.0.0.3', port: 8000, type: undefined },
      ],
    });
    serve(target('10.0.0.1', { hostname: 'engine' }), '10.0.0.2', '10.0.0.3');
    clock.advance(0);
    expect(engines.sent).toEqual(['10.0.0.1 m']);
    expect(engines.callTo(endpoint()).request.path).toBe('/v1/embeddings');
    expect(ready()).toEqual(['10.0.0.2', '10.0.0.3']);
    await engines.answer(200);
  });

  it('checks at once when an endpoint gets a model', async () => {
    start();
    serve('10.0.0.1');
    await after(0, 200);
    serve(target('10.0.0.1', { configuredModels: ['m', 'n'] }));
    clock.advance(0);
    await engines.answer(200);
    await engines.answer(500);
    expect([ready('m'), ready('n')]).toEqual([['10.0.0.1'], []]);
    serve('10.0.0.1');
    clock.advance(0);
    expect(engines.sent).toHaveLength(3);
  });

  it('leaves endpoints in use that were so before start()', async () => {
    serve('10.0.0.1');
    start();
    expect(ready()).toEqual(['10.0.0.1']);
    await after(0, 500);
    expect(ready()).toEqual([]);
  });

  it('goes on after a bug', async () => {
    start({}, () => Promise.reject(new Error('bug')));
    serve('10.0.0.1');
    clock.advance(0);
    await settled();
    clock.advance(60_000);
    await settled();
    expect(bugs).toEqual([new Error('bug'), new Error('bug')]);
  });

  it('stop() ends timers and requests, and reports nothing afterwards', async () => {
    const stopped = start();
    serve('10.0.0.1', '10.0.0.2');
    await after(0, 200);
    clock.advance(60_000);
    await engines.callTo(endpoint('10.0.0.2')).answer(200);
    const { signal } = engines.callTo(endpoint('10.0.0.1'));
    const { generation } = store.snapshot;
    stopped.stop();
    expect([signal.aborted, clock.pending]).toEqual([true, 0]);
    await settled();
    expect([store.snapshot.generation, news]).toEqual([generation, []]);
    serve('10.0.0.1', '10.0.0.2', '10.0.0.3');
    stopped.update({ backends, intervalMs: 1 });
    expect(clock.pending).toBe(0);
  });
});

describe('update()', () => {
  /** One endpoint that passed at 0 ms and is due again at 60 000 ms. */
  async function passed(options?: Partial<InferenceCheckOptions>): Promise<InferenceChecks> {
    const started = start(options);
    serve('10.0.0.1');
    await after(0, 200);
    return started;
  }

  it('with the same options does nothing', async () => {
    const running = await passed({ headers: { a: 'b' } });
    random = 0.9;
    running.update({ backends: [...backends], headers: { a: 'b' }, timeoutMs: 10_000 });
    clock.advance(59_999);
    expect(engines.sent).toHaveLength(1);
    clock.advance(1);
    expect(engines.sent).toHaveLength(2);
  });

  it('counts another interval from the last check', async () => {
    const running = await passed();
    clock.advance(10_000);
    running.update({ backends, intervalMs: 15_000 });
    clock.advance(4999);
    expect(engines.sent).toHaveLength(1);
    await after(1, 200);
    expect(engines.sent).toHaveLength(2);
    running.update({ backends, intervalMs: 20_000 });
    clock.advance(19_999);
    expect(engines.sent).toHaveLength(2);
    clock.advance(1);
    expect(engines.sent).toHaveLength(3);
  });

  it('checks within half a second who is overdue by another interval', async () => {
    const running = await passed();
    clock.advance(30_000);
    random = 0.5;
    running.update({ backends, intervalMs: 1000 });
    clock.advance(249);
    expect(engines.sent).toHaveLength(1);
    clock.advance(1);
    expect(engines.sent).toHaveLength(2);
  });

  it.each<[string, Partial<InferenceCheckOptions>, object]>([
    [
      'other headers',
      { headers: { authorization: 'Bearer new' } },
      { headers: { authorization: 'Bearer new' } },
    ],
    ['another CA', { ca: 'pem' }, { ca: 'pem' }],
    ['any certificate', { insecure: true }, { insecure: true }],
    ['another type', { backends: [{ ...backends[0]!, type: 'score' }] }, { request: { path: '/v1/score' } }],
  ])('checks at once with %s, and keeps what was found out until then', async (_, more, sent) => {
    const running = await passed();
    running.update({ backends, ...more });
    expect(ready()).toEqual(['10.0.0.1']);
    clock.advance(0);
    expect(engines.callTo(endpoint())).toMatchObject(sent);
    await engines.answer(401);
    expect(ready()).toEqual([]);
  });

  it('uses another timeout from the next request on', async () => {
    const running = await passed();
    running.update({ backends, timeoutMs: 500 });
    clock.advance(60_000);
    clock.advance(500);
    await settled();
    expect(endpoint().health).toMatchObject({
      reason: 'inference check of model m timed out after 0.5 s',
    });
  });

  it('without options ends the checks, and what they said no longer counts', async () => {
    const running = start();
    serve('10.0.0.1', '10.0.0.2');
    clock.advance(0);
    await engines.callTo(endpoint('10.0.0.1')).answer(500);
    const { signal } = engines.callTo(endpoint('10.0.0.2'));
    running.update(undefined);
    expect([ready(), signal.aborted, clock.pending]).toEqual([['10.0.0.1', '10.0.0.2'], true, 0]);
    await settled();
    expect(running.status(endpoint())).toBeUndefined();
    expect(ready()).toEqual(['10.0.0.1', '10.0.0.2']);
  });

  it('begins to check endpoints that are in use, which stay so until a check fails', async () => {
    const running = start({ backends: [] });
    serve('10.0.0.1', '10.0.0.2');
    running.update({ backends });
    expect(ready()).toEqual(['10.0.0.1', '10.0.0.2']);
    clock.advance(0);
    await engines.callTo(endpoint('10.0.0.1')).answer(500);
    expect(ready()).toEqual(['10.0.0.2']);
    await engines.answer(200);
  });

  it('lets go of backends that are no longer listed', async () => {
    const running = start();
    serve('10.0.0.1', '10.0.0.2');
    await after(0, 500);
    running.update({ backends: backends.slice(0, 1) });
    expect(ready()).toEqual(['10.0.0.2']);
    clock.advance(60_000);
    expect(engines.sent).toEqual(['10.0.0.1 m', '10.0.0.2 m', '10.0.0.1 m']);
    await engines.answer(500);
  });

  it('before start() is what start() uses', async () => {
    checks = createInferenceChecks({ store, clock, random: () => 0, send: engines.send }, undefined);
    checks.update({ backends });
    checks.start();
    serve('10.0.0.1');
    await after(0, 200);
    expect(engines.sent).toEqual(['10.0.0.1 m']);
  });
});

describe('createInferenceChecks() with real engines', () => {
  it('goes by the answers of a simulated engine, in and out of its faults', async () => {
    const sim = await startSimulatedEngine({ model: 'm', speed: 1000 });
    try {
      const { port } = sim;
      start({ backends: [{ host: '127.0.0.1', port, type: 'completion' }] }, sendInference);
      serve(target('127.0.0.1', { id: endpointId('127.0.0.1', port), port }));
      const health = () => endpoint('127.0.0.1').health;
      clock.advance(0);
      await until(() => health().kind === 'healthy');
      expect(sim.requests()).toMatchObject([{ method: 'POST', path: '/v1/completions' }]);

      sim.setFault({ mode: 'error-500' });
      clock.advance(60_000);
      await until(() => health().kind === 'unhealthy');
      expect(health()).toMatchObject({ reason: 'inference check of model m failed: HTTP 500' });

      // As vLLM does when its core hangs: whatever needs no inference is answered.
      sim.setFault({ mode: 'hang' });
      clock.advance(60_000);
      await until(() => sim.requests().length === 3);
      clock.advance(10_000);
      await until(() => JSON.stringify(health()).includes('timed out after 10 s'));

      sim.setFault({ mode: 'none' });
      // The rest of the interval, and no more: the deadline of the request runs on this clock as well.
      clock.advance(50_000);
      await until(() => health().kind === 'healthy');
    } finally {
      checks?.stop();
      await sim.stop();
    }
  });

  it('leaves the probes of the scraper as they are while checks fail', async () => {
    const engine = await LoopbackEngine.start();
    const scraper = createScraper({ store, clock, random: () => 0.5 }, { intervalMs: 1000 });
    try {
      engine.replies.set('/v1/chat/completions', { status: 500, body: '' });
      scraper.start();
      start(
        {
          backends: [{ host: '127.0.0.1', port: engine.port, type: 'chat' }],
          headers: { authorization: 'Bearer key' },
        },
        sendInference,
      );
      store.setTargets([engine.target({ configuredModels: ['m'] })]);
      clock.advance(50);
      await until(() => store.engineHealth(endpoint('127.0.0.1')).kind === 'healthy');
      clock.advance(0);
      await until(() => endpoint('127.0.0.1').health.kind === 'unhealthy');
      expect(engine.seen.find(({ path }) => path === '/v1/chat/completions')?.authorization).toBe(
        'Bearer key',
      );
      for (const scrapes of [2, 3]) {
        await until(() => endpoint('127.0.0.1').metrics?.takenAtMs === clock.nowMs());
        clock.advance(1000);
        await until(() => engine.count('/metrics') === scrapes);
      }
      expect([engine.count('/health'), engine.count('/v1/models')]).toEqual([1, 1]);
      expect(endpoint('127.0.0.1').health).toMatchObject({
        reason: 'inference check of model m failed: HTTP 500',
      });
    } finally {
      scraper.stop();
      checks?.stop();
      await engine.stop();
    }
  });
});
