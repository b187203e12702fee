import { describe, expect, it } from '@jest/globals';
import { createEndpointStore, type EndpointStore } from '../../src/endpoints/endpoint-store.ts';
import type { Endpoint } from '../../src/endpoints/endpoint.ts';
import { resolveModel } from '../../src/request/resolve-model.ts';
import { anEndpoint } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';

/** A store with one endpoint for each list of configured models. */
function storeOf(...configured: readonly (readonly string[])[]): {
  store: EndpointStore;
  endpoints: readonly Endpoint[];
} {
  const store = createEndpointStore({ clock: new FakeClock() });
  store.setTargets(configured.map((configuredModels, slot) => anEndpoint(slot, { configuredModels })));
  return { store, endpoints: store.snapshot.endpoints };
}

function aModel(id: string, parent?: string) {
  return { id, parent, maxModelLen: undefined };
}

const notFound = expect.objectContaining({
  reason: 'model-not-found',
  param: 'model',
  message: expect.stringContaining('"x"'),
});
const unavailable = expect.objectContaining({
  reason: 'model-unavailable',
  retryAfterSeconds: 1,
  message: expect.stringContaining('"x"'),
});

describe('resolveModel()', () => {
  it('gives the ready endpoints of the model, and no others', () => {
    const { store, endpoints } = storeOf(['x'], ['y'], ['x'], ['x']);
    for (const endpoint of endpoints.slice(0, 3)) store.reportHealthy(endpoint);
    expect(resolveModel('x', store.snapshot)).toEqual([endpoints[0], endpoints[2]]);
  });

  it('finds adapters that an engine lists', () => {
    const { store, endpoints } = storeOf([]);
    store.reportModels(endpoints[0]!, [aModel('base'), aModel('x', 'base')]);
    store.reportHealthy(endpoints[0]!);
    expect(resolveModel('x', store.snapshot)).toEqual(endpoints);
  });

  it('says that nobody serves it', () => {
    const { store, endpoints } = storeOf(['y']);
    store.reportHealthy(endpoints[0]!);
    expect(() => resolveModel('x', store.snapshot)).toThrow(notFound);
    expect(() => resolveModel('', store.snapshot)).toThrow(
      expect.objectContaining({ reason: 'model-not-found' }),
    );
  });

  it('says that those who serve it are not ready', () => {
    const { store, endpoints } = storeOf(['x'], ['y']);
    store.reportHealthy(endpoints[1]!);
    expect(() => resolveModel('x', store.snapshot)).toThrow(unavailable);
    store.reportUnhealthy(endpoints[0]!, 'refused');
    expect(() => resolveModel('x', store.snapshot)).toThrow(unavailable);
  });

  it('does not call a model unknown while an engine has not said what it serves', () => {
    const { store, endpoints } = storeOf(['y'], []);
    expect(() => resolveModel('x', store.snapshot)).toThrow(unavailable);
    store.reportModels(endpoints[1]!, []);
    expect(() => resolveModel('x', store.snapshot)).toThrow(notFound);
  });

  it('says both names where the client used another', () => {
    const { store } = storeOf(['x']);
    expect(() => resolveModel('x', store.snapshot, 'gpt')).toThrow(
      expect.objectContaining({
        reason: 'model-unavailable',
        message: 'The model "gpt" (served as "x") is temporarily unavailable. Please try again later.',
      }),
    );
    store.setTargets([]);
    expect(() => resolveModel('x', store.snapshot, 'gpt')).toThrow(
      expect.objectContaining({
        reason: 'model-not-found',
        message: 'The model "gpt" (served as "x") does not exist. Available models are listed at /v1/models.',
      }),
    );
  });

  it('says not found where there are no endpoints at all', () => {
    expect(() => resolveModel('x', storeOf().store.snapshot)).toThrow(notFound);
  });
});
