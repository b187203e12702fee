import { beforeEach, describe, expect, it } from '@jest/globals';
import {
  createEndpointCheck,
  type EndpointCheck,
  type EndpointCheckOptions,
} from '../../src/endpoints/endpoint-check.ts';
import { endpointId, type Endpoint, type ServedModel } from '../../src/endpoints/endpoint.ts';
import { createEndpointStore, type EndpointStore } from '../../src/endpoints/endpoint-store.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeInference, settled } from './support/fake-inference.ts';

let clock: FakeClock;
let store: EndpointStore;
let engine: FakeInference;
let options: EndpointCheckOptions;
let news: string[];

beforeEach(() => {
  clock = new FakeClock();
  store = createEndpointStore({ clock });
  engine = new FakeInference();
  options = { type: 'completion', timeoutMs: 10_000 };
  news = [];
});

function serve(...configuredModels: readonly string[]): Endpoint {
  const address = '10.0.0.1';
  store.setTargets([
    {
      id: endpointId(address, 8000),
      address,
      port: 8000,
      tls: false,
      hostname: undefined,
      configuredModels,
    },
  ]);
  return store.snapshot.endpoints[0]!;
}

function check(endpoint: Endpoint): EndpointCheck {
  const onChange = (_: Endpoint, model: string, problem: string | undefined): void =>
    void news.push(`${model}: ${problem ?? 'passes'} (${ready().join(' ')})`);
  return createEndpointCheck(endpoint, { store, clock, send: engine.send, onChange }, () => options);
}

/** The check of an endpoint that was not in use, whose engine answers probes. */
function firstCheck(...models: readonly string[]): {
  readonly endpoint: Endpoint;
  readonly check: EndpointCheck;
} {
  const endpoint = serve(...models);
  const created = check(endpoint);
  store.reportHealthy(endpoint);
  return { endpoint, check: created };
}

/** The check of an endpoint that was in use before anybody checked. */
function lateCheck(...models: readonly string[]): {
  readonly endpoint: Endpoint;
  readonly check: EndpointCheck;
} {
  const endpoint = serve(...models);
  store.reportHealthy(endpoint);
  return { endpoint, check: check(endpoint) };
}

/** Runs a check and answers one request after the other. */
async function round(of: EndpointCheck, ...outcomes: readonly (number | string)[]): Promise<void> {
  const done = of.run();
  for (const outcome of outcomes) await engine.answer(outcome);
  await done;
}

function ready(): string[] {
  return [...store.snapshot.readyByModel.keys()];
}

function model(id: string, parent?: string): ServedModel {
  return { id, parent, maxModelLen: undefined };
}

describe('createEndpointCheck()', () => {
  it('sends the request of the type, with what it takes to be let in', async () => {
    options = { type: 'rerank', timeoutMs: 700, headers: { authorization: 'Bearer key' }, insecure: true };
    const { endpoint, check } = firstCheck('m');
    void check.run();
    const call = engine.callTo(endpoint);
    expect(call).toMatchObject({
      timeoutMs: 700,
      headers: { authorization: 'Bearer key' },
      insecure: true,
      request: { path: '/v1/rerank' },
    });
    expect(JSON.parse(call.request.body.toString())).toMatchObject({ model: 'm' });
    await call.answer(200);
  });

  it('holds an endpoint back until its first check, model by model', async () => {
    const { check } = firstCheck('m', 'n');
    expect(ready()).toEqual([]);
    const done = check.run();
    await engine.answer(200);
    expect(ready()).toEqual(['m']);
    await engine.answer(200);
    await done;
    expect(ready()).toEqual(['m', 'n']);
    expect(engine.sent).toEqual(['10.0.0.1 m', '10.0.0.1 n']);
    expect(news).toEqual([]);
  });

  it('leaves an endpoint in use until a check of it fails', async () => {
    const { check } = lateCheck('m', 'n');
    expect(ready()).toEqual(['m', 'n']);
    const done = check.run();
    await engine.answer(500);
    expect(ready()).toEqual(['n']);
    await engine.answer(200);
    await done;
    expect(ready()).toEqual(['n']);
  });

  const failures: readonly [string, number | string, string][] = [
    ['another status', 500, 'inference check of model m failed: HTTP 500'],
    ['a status of success that is not 200', 204, 'inference check of model m failed: HTTP 204'],
    ['no answer', 'connection refused', 'inference check of model m failed: connection refused'],
  ];
  it.each(failures)('fails a model with %s', async (_, outcome, reason) => {
    const { endpoint, check } = firstCheck('m');
    await round(check, outcome);
    expect(endpoint.health).toEqual({ kind: 'unhealthy', reason, sinceMs: 0 });
    expect(check.problems).toEqual([reason]);
    expect(clock.pending).toBe(0);
  });

  it('gives up when the time is up, and asks the next model', async () => {
    const { endpoint, check } = firstCheck('m', 'n');
    const done = check.run();
    const { signal } = engine.callTo(endpoint);
    clock.advance(9999);
    expect(signal.aborted).toBe(false);
    clock.advance(1);
    expect(signal.aborted).toBe(true);
    await settled();
    await engine.answer(200);
    await done;
    expect(check.problems).toEqual(['inference check of model m timed out after 10 s']);
    expect(ready()).toEqual(['n']);
  });

  it('uses other options with the next request', async () => {
    const { endpoint, check } = firstCheck('m', 'n');
    const done = check.run();
    options = { type: 'score', timeoutMs: 250 };
    await engine.answer(200);
    expect(engine.callTo(endpoint).request.path).toBe('/v1/score');
    clock.advance(250);
    await done;
    expect(check.problems).toEqual(['inference check of model n timed out after 0.25 s']);
  });

  it('takes a model back once it passes', async () => {
    const { endpoint, check } = firstCheck('m');
    await round(check, 500);
    await round(check, 200);
    expect(endpoint.health).toEqual({ kind: 'healthy' });
    expect([ready(), check.problems]).toEqual([['m'], []]);
  });

  it('tells when a problem begins, changes or ends, after it took effect', async () => {
    const { check } = firstCheck('m');
    for (const outcome of [200, 200, 500, 500, 'connection reset', 200]) await round(check, outcome);
    expect(news).toEqual([
      'm: inference check of model m failed: HTTP 500 ()',
      'm: inference check of model m failed: connection reset ()',
      'm: passes (m)',
    ]);
  });

  it('asks for the base models that the engine lists where none is configured', async () => {
    const { endpoint, check } = firstCheck();
    store.reportModels(endpoint, [model('base'), model('adapter', 'base')]);
    expect(ready()).toEqual([]);
    await round(check, 200);
    expect(engine.sent).toEqual(['10.0.0.1 base']);
    expect(ready()).toEqual(['base', 'adapter']);
  });

  it('says nothing of an engine that has no models yet', async () => {
    const { endpoint, check } = firstCheck();
    await round(check);
    store.reportModels(endpoint, [model('m')]);
    expect(ready()).toEqual([]);
    expect(check.followModels()).toBe(true);
    await round(check, 200);
    expect(ready()).toEqual(['m']);
  });

  it('does not trust models that it never asks where all that it asked failed', async () => {
    const { endpoint, check } = lateCheck('m', 'n');
    store.reportModels(endpoint, [model('m'), model('n'), model('adapter', 'm')]);
    await round(check, 500, 200);
    expect(ready()).toEqual(['n', 'adapter']);
    await round(check, 500, 500);
    expect(ready()).toEqual([]);
    expect(endpoint.health).toMatchObject({
      reason: 'inference check of model m failed: HTTP 500 (and 1 more)',
    });
  });

  it('asks no further once the probes say that the engine is down', async () => {
    const { endpoint, check } = firstCheck('m', 'n');
    const done = check.run();
    store.reportUnhealthy(endpoint, 'connection refused');
    await engine.answer('connection reset');
    await done;
    expect(engine.sent).toEqual(['10.0.0.1 m']);
    expect(endpoint.health).toMatchObject({ reason: 'connection refused' });
    store.reportHealthy(endpoint);
    expect(ready()).toEqual([]);
    await round(check, 200, 200);
    expect(ready()).toEqual(['m', 'n']);
  });

  it('forgets all about an endpoint when it is stopped', async () => {
    const { endpoint, check } = firstCheck('m', 'n');
    const done = check.run();
    const { signal } = engine.callTo(endpoint);
    check.stop();
    expect([signal.aborted, clock.pending]).toEqual([true, 0]);
    await done;
    expect([engine.sent.length, news, endpoint.health.kind]).toEqual([1, [], 'unknown']);
  });

  it('rejects with a bug of the sender, and leaves no timer', async () => {
    const endpoint = serve('m');
    const send = () => Promise.reject(new Error('bug'));
    const broken = createEndpointCheck(
      endpoint,
      { store, clock, send, onChange: () => undefined },
      () => options,
    );
    await expect(broken.run()).rejects.toThrow('bug');
    expect(clock.pending).toBe(0);
  });
});

describe('followModels()', () => {
  it('says whether there is a model that was never asked', async () => {
    const { check } = firstCheck('m');
    expect(check.followModels()).toBe(true);
    await round(check, 500);
    expect(check.followModels()).toBe(false);
    serve('m', 'n');
    expect(check.followModels()).toBe(true);
  });

  it('leaves a new model of an endpoint in use ready until its check', async () => {
    const { check } = firstCheck('m');
    await round(check, 200);
    serve('m', 'n');
    check.followModels();
    expect(ready()).toEqual(['m', 'n']);
    await round(check, 200, 500);
    expect(ready()).toEqual(['m']);
  });

  it('holds a new model back where the endpoint is not in use', async () => {
    const { endpoint, check } = firstCheck('m');
    await round(check, 500);
    serve('n');
    check.followModels();
    expect([ready(), check.problems, endpoint.health.kind]).toEqual([[], [], 'unknown']);
    await round(check, 200);
    expect(ready()).toEqual(['n']);
  });

  it('forgets what was found out about a model that is gone, also while it is asked', async () => {
    const { check } = firstCheck('m', 'n');
    await round(check, 500, 200);
    const done = check.run();
    serve('n');
    check.followModels();
    expect(check.problems).toEqual([]);
    await engine.answer(500);
    await engine.answer(200);
    await done;
    expect(check.problems).toEqual([]);
    serve('m', 'n');
    expect(check.followModels()).toBe(true);
  });
});
