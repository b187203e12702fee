import { beforeEach, describe, expect, it } from '@jest/globals';
import { createEndpointStore, type EndpointStore } from '../../src/endpoints/endpoint-store.ts';
import { createPathMatcher } from '../../src/request/api-paths.ts';
import type { LocalReply } from '../../src/request/exchange.ts';
import { createLocalAnswers } from '../../src/request/local-answers.ts';
import { noRenames, type ModelRenames } from '../../src/request/rename-model.ts';
import { anEndpoint } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';

let store: EndpointStore;
beforeEach(() => {
  store = createEndpointStore({ clock: new FakeClock() });
});

let isWell: boolean;
beforeEach(() => {
  isWell = true;
});

/** What a path is answered with. */
async function answerTo(
  path: string,
  renames: ModelRenames = noRenames,
  mayCall: (model: string) => boolean = () => true,
): Promise<LocalReply> {
  const match = createPathMatcher([], true)(path);
  if (match.kind !== 'local') throw new Error(`${path} is not ours`);
  const answer = createLocalAnswers({
    snapshot: () => store.snapshot,
    version: '1.2.3',
    startedAtSeconds: 1000,
    health: () => ({ healthy: isWell, body: { status: isWell ? 'healthy' : 'discovery is down' } }),
    metrics: async () => ({ contentType: 'text/plain; version=0.0.4', body: 'up 1\n' }),
  });
  return answer(match, renames, mayCall);
}

/** The JSON that a path is answered with, as a client reads it. */
async function get(...request: Parameters<typeof answerTo>): Promise<unknown> {
  const { status, headers, body, details } = await answerTo(...request);
  expect([status, headers, details]).toEqual([200, { 'content-type': 'application/json' }, 'sluice_local']);
  return JSON.parse(body);
}

function twoEngines(): void {
  store.setTargets([
    anEndpoint(0, { configuredModels: ['base', 'other'] }),
    anEndpoint(1, { configuredModels: [] }),
  ]);
  store.reportModels(store.snapshot.endpoints[1]!, [
    { id: 'base', parent: undefined, maxModelLen: 4096 },
    { id: 'org/adapter', parent: 'base', maxModelLen: undefined },
  ]);
}

function card(id: string, known: object = {}): object {
  return {
    id,
    object: 'model',
    created: 1000,
    owned_by: 'vllm',
    root: id,
    parent: null,
    max_model_len: null,
    ...known,
  };
}

describe('createLocalAnswers()', () => {
  it('says that it is there, and which version', async () => {
    expect(await get('/health')).toEqual({ status: 'healthy' });
    expect(await get('/version')).toEqual({ version: '1.2.3' });
  });

  it('says with a status that it is not well', async () => {
    isWell = false;
    expect(await answerTo('/health')).toMatchObject({ status: 503, body: '{"status":"discovery is down"}' });
  });

  it('answers the page for Prometheus as it is', async () => {
    expect(await answerTo('/metrics')).toEqual({
      status: 200,
      headers: { 'content-type': 'text/plain; version=0.0.4' },
      body: 'up 1\n',
      details: 'sluice_local',
    });
  });

  it('knows only models that the caller may call', async () => {
    twoEngines();
    const mayCall = (model: string): boolean => model === 'other';
    expect(await get('/v1/models', noRenames, mayCall)).toEqual({ object: 'list', data: [card('other')] });
    expect(await get('/v1/models/other', noRenames, mayCall)).toEqual(card('other'));
    await expect(answerTo('/v1/models/base', noRenames, mayCall)).rejects.toThrow('does not exist');
    expect(await get('/engines', noRenames, mayCall)).toEqual([
      { engine_id: '10.0.0.0:8000', serving_models: ['other'], created: 1000 },
      { engine_id: '10.0.0.1:8000', serving_models: [], created: 1000 },
    ]);
  });

  it('lists each model once, as the engine describes it where it does', async () => {
    twoEngines();
    expect(await get('/v1/models')).toEqual({
      object: 'list',
      data: [card('base', { max_model_len: 4096 }), card('org/adapter', { parent: 'base' }), card('other')],
    });
  });

  it.each(['/v1/models/org/adapter', '/v1/models/org%2Fadapter'])(
    'answers %s with one card',
    async (path) => {
      twoEngines();
      expect(await get(path)).toEqual(card('org/adapter', { parent: 'base' }));
    },
  );

  it('refuses the card of a model that nobody serves', async () => {
    twoEngines();
    await expect(get('/v1/models/gone')).rejects.toThrow(
      expect.objectContaining({
        reason: 'model-not-found',
        param: 'model',
        message: 'The model "gone" does not exist.',
      }),
    );
  });

  const aliases = (...pairs: [string, string][]): ModelRenames => ({
    aliases: new Map(pairs),
    rewrites: new Map(),
  });

  it('lists aliases after the models, as cards of their targets', async () => {
    twoEngines();
    const renames = aliases(['gpt', 'base'], ['tuned', 'org/adapter']);
    const gpt = card('gpt', { root: 'base', parent: 'base', max_model_len: 4096 });
    const tuned = card('tuned', { root: 'org/adapter', parent: 'org/adapter' });
    expect(await get('/v1/models', renames)).toEqual({
      object: 'list',
      data: [
        card('base', { max_model_len: 4096 }),
        card('org/adapter', { parent: 'base' }),
        card('other'),
        gpt,
        tuned,
      ],
    });
    expect(await get('/v1/models/gpt', renames)).toEqual(gpt);
    expect(await get('/v1/models/tuned', renames)).toEqual(tuned);
  });

  it("shows an engine's own model under an alias of that name", async () => {
    twoEngines();
    expect(await get('/v1/models/other', aliases(['other', 'base']))).toEqual(card('other'));
  });

  it('does not list an alias of what nobody serves, nor a rewrite', async () => {
    twoEngines();
    const renames = { ...aliases(['lost', 'gone']), rewrites: new Map([['old', 'base']]) };
    expect(await get('/v1/models', renames)).toEqual(await get('/v1/models'));
    for (const name of ['lost', 'old'])
      await expect(get(`/v1/models/${name}`, renames)).rejects.toThrow(
        expect.objectContaining({ reason: 'model-not-found' }),
      );
  });

  it('lists engines with the models of operator and engine together', async () => {
    twoEngines();
    expect(await get('/engines')).toEqual([
      { engine_id: '10.0.0.0:8000', serving_models: ['base', 'other'], created: 1000 },
      { engine_id: '10.0.0.1:8000', serving_models: ['base', 'org/adapter'], created: 1000 },
    ]);
  });

  it('reads the snapshot of the moment', async () => {
    expect(await get('/engines')).toEqual([]);
    expect(await get('/v1/models')).toEqual({ object: 'list', data: [] });
    twoEngines();
    expect(await get('/engines')).toHaveLength(2);
  });
});
