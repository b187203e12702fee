import { beforeEach, describe, expect, it } from '@jest/globals';
import { endpointId, type EndpointTarget, type EngineMetrics } from '../../src/endpoints/endpoint.ts';
import {
  createEndpointStore,
  type EndpointChange,
  type EndpointStore,
} from '../../src/endpoints/endpoint-store.ts';
import { FakeClock } from '../support/fake-clock.ts';

let clock: FakeClock;
let store: EndpointStore;
let changes: EndpointChange[];

beforeEach(() => {
  clock = new FakeClock();
  store = createEndpointStore({ clock });
  changes = [];
  store.subscribe((_snapshot, change) => changes.push(change));
});

function target(last: number, more: Partial<EndpointTarget> = {}): EndpointTarget {
  const address = `10.0.0.${last}`;
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

function endpoint(last: number) {
  const found = store.snapshot.endpoints.find(({ address }) => address === `10.0.0.${last}`);
  if (found === undefined) throw new Error(`no endpoint ${last}`);
  return found;
}

/** The last change as ids' last digits. */
function lastChange(): Record<string, string[]> {
  const change = changes.at(-1);
  if (change === undefined) throw new Error('nothing was published');
  const digits = (list: EndpointChange['added']) => list.map(({ address }) => address.slice(-1));
  return { added: digits(change.added), removed: digits(change.removed), lost: digits(change.lost) };
}

const metrics: EngineMetrics = {
  takenAtMs: 0,
  waiting: 1,
  running: 2,
  kvCacheUsage: 0.5,
  ttftSeconds: undefined,
  tpotSeconds: undefined,
  prefixCache: undefined,
  inFlightAtScrape: 0,
};

describe('createEndpointStore()', () => {
  it('starts with an empty snapshot', () => {
    expect(store.snapshot).toEqual({
      generation: 0,
      endpoints: [],
      readyByModel: new Map(),
      models: new Set(),
    });
  });

  it('adds endpoints that are not ready before their first answer', () => {
    store.setTargets([target(1), target(2)]);
    expect(lastChange()).toEqual({ added: ['1', '2'], removed: [], lost: [] });
    expect(store.snapshot.endpoints.map(({ slot, url }) => [slot, url])).toEqual([
      [0, 'http://10.0.0.1:8000'],
      [1, 'http://10.0.0.2:8000'],
    ]);
    expect(store.snapshot.models).toEqual(new Set(['m']));
    expect(store.snapshot.readyByModel.size).toBe(0);
    store.reportHealthy(endpoint(2));
    expect(store.snapshot.readyByModel).toEqual(new Map([['m', [endpoint(2)]]]));
  });

  it('knows a model for a while after its last endpoint left, where it is asked to', () => {
    const forgetful = store;
    store = createEndpointStore({ clock }, { modelMemoryMs: 1000 });
    for (const each of [forgetful, store]) {
      each.setTargets([target(1)]);
      each.setTargets([]);
    }
    expect([forgetful.snapshot.models, store.snapshot.models]).toEqual([new Set(), new Set(['m'])]);
    expect(store.snapshot.readyByModel.size).toBe(0);
    clock.advance(1000);
    store.setTargets([target(2, { configuredModels: ['n'] })]);
    expect(store.snapshot.models).toEqual(new Set(['n']));
  });

  it('builds URLs with the scheme and brackets that the target needs', () => {
    const address = 'fd00::1';
    store.setTargets([target(1, { tls: true }), target(2, { address, id: endpointId(address, 8000) })]);
    expect(store.snapshot.endpoints.map(({ url }) => url)).toEqual([
      'https://10.0.0.1:8000',
      'http://[fd00::1]:8000',
    ]);
  });

  it('keeps the objects of endpoints that stay and updates their configured models', () => {
    store.setTargets([target(1), target(2)]);
    const stays = endpoint(1);
    stays.inFlight = 3;
    store.reportHealthy(stays);
    store.setTargets([target(1, { configuredModels: ['m', 'n'] }), target(3)]);
    expect(endpoint(1)).toBe(stays);
    expect(stays.inFlight).toBe(3);
    expect(lastChange()).toEqual({ added: ['3'], removed: ['2'], lost: ['2'] });
    expect([...store.snapshot.readyByModel.keys()]).toEqual(['m', 'n']);
  });

  it('leaves published snapshots as they are', () => {
    store.setTargets([target(1)]);
    const before = store.snapshot;
    store.setTargets([]);
    expect(before.endpoints).toHaveLength(1);
    expect(store.snapshot).toMatchObject({ generation: 2, endpoints: [] });
  });

  it('publishes nothing when nothing changed', () => {
    store.setTargets([target(1)]);
    store.reportHealthy(endpoint(1));
    store.reportModels(endpoint(1), [{ id: 'm', parent: undefined, maxModelLen: 10 }]);
    const { generation } = store.snapshot;
    store.setTargets([target(1)]);
    store.reportHealthy(endpoint(1));
    store.reportModels(endpoint(1), [{ id: 'm', parent: undefined, maxModelLen: 10 }]);
    store.reportMetrics(endpoint(1), metrics);
    expect(store.snapshot.generation).toBe(generation);
    expect(endpoint(1).metrics).toBe(metrics);
  });

  it('replaces an endpoint whose scheme or host name changed', () => {
    store.setTargets([target(1), target(2)]);
    const [first, second] = [endpoint(1), endpoint(2)];
    store.setTargets([target(1, { tls: true }), target(2, { hostname: 'engine' })]);
    expect(lastChange()).toEqual({ added: ['1', '2'], removed: ['1', '2'], lost: ['1', '2'] });
    expect(endpoint(1)).not.toBe(first);
    expect(endpoint(2)).not.toBe(second);
  });

  it('merges targets of one address', () => {
    store.setTargets([target(1, { configuredModels: ['a'] }), target(1, { configuredModels: ['b', 'a'] })]);
    expect(store.snapshot.endpoints).toHaveLength(1);
    expect(endpoint(1).configuredModels).toEqual(['a', 'b']);
  });

  it('serves what is configured and what is listed', () => {
    store.setTargets([target(1), target(2, { configuredModels: [] })]);
    store.reportHealthy(endpoint(1));
    store.reportHealthy(endpoint(2));
    store.reportModels(endpoint(2), [
      { id: 'm', parent: undefined, maxModelLen: undefined },
      { id: 'adapter', parent: 'm', maxModelLen: undefined },
    ]);
    expect(store.snapshot.readyByModel.get('m')).toEqual([endpoint(1), endpoint(2)]);
    expect(store.snapshot.readyByModel.get('adapter')).toEqual([endpoint(2)]);
  });

  it('publishes a list whose details changed', () => {
    store.setTargets([target(1)]);
    store.reportModels(endpoint(1), [{ id: 'm', parent: undefined, maxModelLen: 10 }]);
    const { generation } = store.snapshot;
    store.reportModels(endpoint(1), [{ id: 'm', parent: undefined, maxModelLen: 20 }]);
    expect(store.snapshot.generation).toBe(generation + 1);
  });

  it('takes unhealthy endpoints out of readiness, keeps their models known, and calls them lost', () => {
    store.setTargets([target(1)]);
    store.reportHealthy(endpoint(1));
    store.reportMetrics(endpoint(1), metrics);
    clock.advance(700);
    store.reportUnhealthy(endpoint(1), 'connection refused');
    expect(lastChange()).toEqual({ added: [], removed: [], lost: ['1'] });
    expect(endpoint(1).health).toEqual({ kind: 'unhealthy', reason: 'connection refused', sinceMs: 700 });
    expect(endpoint(1).metrics).toBeUndefined();
    expect(store.snapshot.readyByModel.size).toBe(0);
    expect(store.snapshot.models).toEqual(new Set(['m']));
  });

  it('keeps the moment an endpoint became unhealthy when the reason changes, without a new snapshot', () => {
    store.setTargets([target(1)]);
    store.reportUnhealthy(endpoint(1), 'connection refused');
    const published = changes.length;
    clock.advance(100);
    store.reportUnhealthy(endpoint(1), 'no route to host');
    expect(endpoint(1).health).toEqual({ kind: 'unhealthy', reason: 'no route to host', sinceMs: 0 });
    expect(changes).toHaveLength(published);
  });

  it('calls a restarted endpoint lost without a new snapshot', () => {
    store.setTargets([target(1)]);
    const { generation } = store.snapshot;
    store.reportRestart(endpoint(1));
    expect(lastChange()).toEqual({ added: [], removed: [], lost: ['1'] });
    expect(store.snapshot.generation).toBe(generation);
  });

  it('ignores reports about endpoints that left', () => {
    store.setTargets([target(1)]);
    const left = endpoint(1);
    store.setTargets([]);
    const published = changes.length;
    store.reportHealthy(left);
    store.reportUnhealthy(left, 'x');
    store.reportModels(left, [{ id: 'x', parent: undefined, maxModelLen: undefined }]);
    store.reportMetrics(left, metrics);
    store.reportRestart(left);
    expect(changes).toHaveLength(published);
    expect(left).toMatchObject({ health: { kind: 'unknown' }, metrics: undefined, listedModels: undefined });
  });

  describe('reportChecks()', () => {
    const failed = (trustOthers: boolean, ...models: readonly string[]) => ({
      trustOthers,
      problems: new Map(models.map((model) => [model, `${model} failed`])),
    });
    const passed = (model: string) => ({ trustOthers: true, problems: new Map([[model, undefined]]) });

    it('keeps an endpoint out of readiness until its first check passed', () => {
      store.setTargets([target(1)]);
      store.reportChecks(endpoint(1), failed(false));
      store.reportHealthy(endpoint(1));
      expect(endpoint(1).health).toEqual({ kind: 'unknown' });
      expect(store.snapshot.readyByModel.size).toBe(0);
      store.reportChecks(endpoint(1), passed('m'));
      expect(endpoint(1).health).toEqual({ kind: 'healthy' });
      expect(store.snapshot.readyByModel.get('m')).toEqual([endpoint(1)]);
      expect(changes.every(({ lost }) => lost.length === 0)).toBe(true);
    });

    it('makes an endpoint whose only model failed unhealthy and lost, and keeps its metrics', () => {
      store.setTargets([target(1)]);
      store.reportHealthy(endpoint(1));
      store.reportMetrics(endpoint(1), metrics);
      clock.advance(700);
      store.reportChecks(endpoint(1), failed(false, 'm'));
      expect(lastChange()).toEqual({ added: [], removed: [], lost: ['1'] });
      expect(endpoint(1).health).toEqual({ kind: 'unhealthy', reason: 'm failed', sinceMs: 700 });
      expect(store.snapshot.readyByModel.size).toBe(0);
      expect(store.snapshot.models).toEqual(new Set(['m']));
      expect(endpoint(1).metrics).toBe(metrics);
      expect(store.engineHealth(endpoint(1))).toEqual({ kind: 'healthy' });
      store.reportChecks(endpoint(1), passed('m'));
      expect(endpoint(1).health).toEqual({ kind: 'healthy' });
      expect(lastChange().lost).toEqual([]);
    });

    it('takes a model that failed out of readiness and leaves the others, without loss', () => {
      store.setTargets([target(1, { configuredModels: ['m', 'n'] }), target(2)]);
      store.reportHealthy(endpoint(1));
      store.reportHealthy(endpoint(2));
      store.reportChecks(endpoint(1), failed(true, 'm'));
      expect(store.snapshot.readyByModel.get('m')).toEqual([endpoint(2)]);
      expect(store.snapshot.readyByModel.get('n')).toEqual([endpoint(1)]);
      expect(endpoint(1).health).toEqual({ kind: 'healthy' });
      expect(lastChange().lost).toEqual([]);
      store.reportChecks(endpoint(1), undefined);
      expect(store.snapshot.readyByModel.get('m')).toEqual([endpoint(1), endpoint(2)]);
    });

    it('publishes nothing where the same models are ready', () => {
      store.setTargets([target(1)]);
      const { generation } = store.snapshot;
      store.reportChecks(endpoint(1), failed(false));
      expect(store.snapshot.generation).toBe(generation);
      store.reportHealthy(endpoint(1));
      store.reportChecks(endpoint(1), passed('m'));
      const ready = store.snapshot.generation;
      store.reportChecks(endpoint(1), passed('m'));
      store.reportChecks(endpoint(1), { trustOthers: true, problems: new Map() });
      store.reportChecks(endpoint(1), undefined);
      expect(store.snapshot.generation).toBe(ready);
    });

    it('says why in new words without a new snapshot, since the same moment', () => {
      store.setTargets([target(1, { configuredModels: ['m', 'n'] })]);
      store.reportHealthy(endpoint(1));
      store.reportChecks(endpoint(1), failed(false, 'm'));
      const { generation } = store.snapshot;
      clock.advance(100);
      store.reportChecks(endpoint(1), failed(false, 'n'));
      expect(endpoint(1).health).toEqual({ kind: 'unhealthy', reason: 'n failed', sinceMs: 0 });
      expect(store.snapshot.generation).toBe(generation);
    });

    it('is ready again only when both the engine and the checks say so', () => {
      store.setTargets([target(1)]);
      store.reportHealthy(endpoint(1));
      store.reportChecks(endpoint(1), failed(false, 'm'));
      clock.advance(10);
      store.reportUnhealthy(endpoint(1), 'connection refused');
      expect(endpoint(1).health).toEqual({ kind: 'unhealthy', reason: 'connection refused', sinceMs: 0 });
      expect(lastChange().lost).toEqual([]);
      store.reportHealthy(endpoint(1));
      expect(endpoint(1).health).toEqual({ kind: 'unhealthy', reason: 'm failed', sinceMs: 0 });
      store.reportUnhealthy(endpoint(1), 'connection refused');
      store.reportChecks(endpoint(1), passed('m'));
      expect(endpoint(1).health).toMatchObject({ reason: 'connection refused' });
      store.reportHealthy(endpoint(1));
      expect(endpoint(1).health).toEqual({ kind: 'healthy' });
    });

    it('publishes that an engine answers or not even where the checks keep it out', () => {
      store.setTargets([target(1)]);
      store.reportChecks(endpoint(1), failed(false));
      const seen: string[] = [];
      store.subscribe(() => seen.push(store.engineHealth(endpoint(1)).kind));
      store.reportHealthy(endpoint(1));
      store.reportHealthy(endpoint(1));
      store.reportUnhealthy(endpoint(1), 'connection refused');
      expect(seen).toEqual(['healthy', 'unhealthy']);
    });

    it('is forgotten when the endpoint leaves, and ignored afterwards', () => {
      store.setTargets([target(1)]);
      const left = endpoint(1);
      left.inFlight = 1;
      store.reportHealthy(left);
      store.reportChecks(left, failed(false, 'm'));
      store.setTargets([]);
      const published = changes.length;
      store.reportChecks(left, passed('m'));
      expect(changes).toHaveLength(published);
      expect(store.engineHealth(left)).toEqual({ kind: 'unknown' });
      store.setTargets([target(1)]);
      expect(endpoint(1)).toBe(left);
      store.reportHealthy(left);
      expect(left.health).toEqual({ kind: 'healthy' });
    });
  });

  it('reuses the lowest slot of endpoints that left', () => {
    store.setTargets([target(1), target(2), target(3)]);
    store.setTargets([target(3)]);
    store.setTargets([target(3), target(4), target(5), target(6)]);
    expect(store.snapshot.endpoints.map(({ address, slot }) => `${address.slice(-1)}@${slot}`)).toEqual([
      '3@2',
      '4@0',
      '5@1',
      '6@3',
    ]);
  });

  it('does not reuse a slot while exchanges still run on its endpoint', () => {
    store.setTargets([target(1)]);
    const busy = endpoint(1);
    busy.inFlight = 1;
    store.setTargets([target(2)]);
    expect(endpoint(2).slot).toBe(1);
    busy.inFlight = 0;
    store.setTargets([target(2), target(3)]);
    expect(endpoint(3).slot).toBe(0);
  });

  it('takes an endpoint back with the exchanges that still run on it', () => {
    store.setTargets([target(1)]);
    const busy = endpoint(1);
    store.reportHealthy(busy);
    busy.inFlight = 2;
    store.setTargets([]);
    store.setTargets([target(1)]);
    expect(endpoint(1)).toBe(busy);
    expect(busy).toMatchObject({ inFlight: 2, slot: 0, health: { kind: 'unknown' } });
    expect(lastChange()).toEqual({ added: ['1'], removed: [], lost: [] });
  });

  it('onMetrics() tells of new metrics once they are there, and of those that vanished, without a snapshot', () => {
    store.setTargets([target(1), target(2)]);
    const { generation } = store.snapshot;
    const seen: (readonly [string, EngineMetrics | undefined])[] = [];
    store.onMetrics(({ address, metrics }) => seen.push([address, metrics]));
    store.reportMetrics(endpoint(2), metrics);
    store.reportMetrics(endpoint(2), undefined);
    expect(seen).toEqual([
      ['10.0.0.2', metrics],
      ['10.0.0.2', undefined],
    ]);
    expect(store.snapshot.generation).toBe(generation);
  });

  it('onMetrics() says nothing of an endpoint that left, nor to a listener that was removed', () => {
    store.setTargets([target(1), target(2)]);
    const [left, stays] = [endpoint(1), endpoint(2)];
    const seen: string[] = [];
    const remove = store.onMetrics(({ address }) => seen.push(address));
    store.setTargets([target(2)]);
    store.reportMetrics(left, metrics);
    store.reportMetrics(stays, metrics);
    remove();
    store.reportMetrics(stays, metrics);
    expect(seen).toEqual(['10.0.0.2']);
  });

  it('stops calling a listener that unsubscribed', () => {
    const seen: number[] = [];
    const unsubscribe = store.subscribe((snapshot) => seen.push(snapshot.generation));
    store.setTargets([target(1)]);
    unsubscribe();
    store.setTargets([]);
    expect(seen).toEqual([1]);
  });
});
