import { beforeEach, describe, expect, it } from '@jest/globals';
import { createEndpointStore, type EndpointStore } from '../../src/endpoints/endpoint-store.ts';
import { createPathMatcher } from '../../src/request/api-paths.ts';
import { createLocalAnswers } from '../../src/request/local-answers.ts';
import { noRenames, type ModelRenames } from '../../src/request/rename-model.ts';
import { anEndpoint } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';

let store: EndpointStore;
beforeEach(() => {
  store = createEndpointStore({ clock: new FakeClock() });
});

/** The JSON that a path is answered with, as a client reads it. */
function get(
  path: string,
  renames: ModelRenames = noRenames,
  mayCall: (model: string) => boolean = () => true,
): unknown {
  const match = createPathMatcher()(path);
  if (match.kind !== 'local') throw new Error(`${path} is not ours`);
  const answer = createLocalAnswers({
    snapshot: () => store.snapshot,
    version: '1.2.3',
    startedAtSeconds: 1000,
  });
  const { status, headers, body, details } = answer(match, renames, mayCall);
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
  it('says that it is there, and which version', () => {
    expect(get('/health')).toEqual({ status: 'healthy' });
    expect(get('/version')).toEqual({ version: '1.2.3' });
  });

  it('lists each model once, as the engine describes it where it does', () => {
    twoEngines();
    expect(get('/v1/models')).toEqual({
      object: 'list',
      data: [card('base', { max_model_len: 4096 }), card('org/adapter', { parent: 'base' }), card('other')],
    });
  });

  it.each(['/v1/models/org/adapter', '/v1/models/org%2Fadapter'])('answers %s with one card', (path) => {
    twoEngines();
    expect(get(path)).toEqual(card('org/adapter', { parent: 'base' }));
  });

  it('refuses the card of a model that nobody serves', () => {
    twoEngines();
    expect(() => get('/v1/models/gone')).toThrow(
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

  it('lists aliases after the models, as cards of their targets', () => {
    twoEngines();
    const renames = aliases(['gpt', 'base'], ['tuned', 'org/adapter']);
    const gpt = card('gpt', { root: 'base', parent: 'base', max_model_len: 4096 });
    const tuned = card('tuned', { root: 'org/adapter', parent: 'org/adapter' });
    expect(get('/v1/models', renames)).toEqual({
      object: 'list',
      data: [
        card('base', { max_model_len: 4096 }),
        card('org/adapter', { parent: 'base' }),
        card('other'),
        gpt,
        tuned,
      ],
    });
    expect(get('/v1/models/gpt', renames)).toEqual(gpt);
    expect(get('/v1/models/tuned', renames)).toEqual(tuned);
  });

  it("shows an engine's own model under an alias of that name", () => {
    twoEngines();
    expect(get('/v1/models/other', aliases(['other', 'base']))).toEqual(card('other'));
  });

  it('does not list an alias of what nobody serves, nor a rewrite', () => {
    twoEngines();
    const renames = { ...aliases(['lost', 'gone']), rewrites: new Map([['old', 'base']]) };
    expect(get('/v1/models', renames)).toEqual(get('/v1/models'));
    for (const name of ['lost', 'old'])
      expect(() => get(`/v1/models/${name}`, renames)).toThrow(
        expect.objectContaining({ reason: 'model-not-found' }),
      );
  });

  it('lists engines with the models of operator and engine together', () => {
    twoEngines();
    expect(get('/engines')).toEqual([
      { engine_id: '10.0.0.0:8000', serving_models: ['base', 'other'], created: 1000 },
      { engine_id: '10.0.0.1:8000', serving_models: ['base', 'org/adapter'], created: 1000 },
    ]);
  });

  it('reads the snapshot of the moment', () => {
    expect(get('/engines')).toEqual([]);
    expect(get('/v1/models')).toEqual({ object: 'list', data: [] });
    twoEngines();
    expect(get('/engines')).toHaveLength(2);
  });
});
