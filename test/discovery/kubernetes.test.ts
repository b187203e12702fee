import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  createKubernetesDiscovery,
  sourceText,
  type KubernetesDiscovery,
  type KubernetesSource,
  type PodSource,
  type SourceReport,
  type SourceStatus,
} from '../../src/discovery/kubernetes.ts';
import type { EndpointTarget } from '../../src/endpoints/endpoint.ts';

/** A source that is followed, in the hands of the test. */
interface Followed {
  readonly source: KubernetesSource;
  stopped: boolean;
  report: (report: Partial<SourceReport>) => void;
}

let followed: Followed[];
let published: string[][];
let targets: readonly EndpointTarget[];
let changes: SourceStatus[];
let discovery: KubernetesDiscovery;

beforeEach(() => {
  followed = [];
  published = [];
  targets = [];
  changes = [];
});

afterEach(() => {
  discovery.stop();
  expect(followed.filter(({ stopped }) => !stopped)).toEqual([]);
});

function start(...sources: readonly KubernetesSource[]): void {
  discovery = createKubernetesDiscovery({
    sources,
    follow(source, onReport) {
      let last: SourceReport = { addresses: [], listed: false, problem: undefined, leftOut: undefined };
      const entry: Followed = {
        source,
        stopped: false,
        report(next) {
          expect(entry.stopped).toBe(false);
          last = { ...last, ...next };
          onReport(last);
        },
      };
      followed.push(entry);
      return {
        stop: () => {
          entry.stopped = true;
        },
        watches: () => [],
      };
    },
    onTargets(next) {
      targets = next;
      published.push(next.map(({ id }) => id));
    },
    onSourceChange: (status) => changes.push(status),
  });
  discovery.start();
}

function pods(labelSelector: string, options: Partial<PodSource> = {}): PodSource {
  return { kind: 'pods', namespace: 'a', labelSelector, port: 8000, tls: false, ...options };
}

/** What the API server told: the whole of it. */
function listed(...addresses: readonly string[]): Partial<SourceReport> {
  return { listed: true, addresses: addresses.map((address) => ({ address, port: 8000 })) };
}

describe('createKubernetesDiscovery()', () => {
  it('makes an endpoint of every address', () => {
    start(pods('app=vllm'), pods('app=sglang', { tls: true }));
    followed[0]!.report(listed('10.0.0.1'));
    followed[1]!.report(listed('fd00::1'));
    expect(targets).toEqual([
      {
        id: '10.0.0.1:8000',
        address: '10.0.0.1',
        port: 8000,
        tls: false,
        hostname: undefined,
        configuredModels: [],
      },
      {
        id: '[fd00::1]:8000',
        address: 'fd00::1',
        port: 8000,
        tls: true,
        hostname: undefined,
        configuredModels: [],
      },
    ]);
  });

  it('makes one endpoint of an address that several sources report', () => {
    start(pods('a'), pods('b'));
    followed[0]!.report(listed('10.0.0.1', '10.0.0.2'));
    followed[1]!.report(listed('10.0.0.2', '10.0.0.3'));
    expect(published.at(-1)).toEqual(['10.0.0.1:8000', '10.0.0.2:8000', '10.0.0.3:8000']);
    followed[0]!.report(listed());
    expect(published.at(-1)).toEqual(['10.0.0.2:8000', '10.0.0.3:8000']);
  });

  it('is quiet about reports that say nothing new of addresses', () => {
    start(pods('a'));
    followed[0]!.report({ problem: 'Cannot list pods' });
    followed[0]!.report({ problem: undefined, listed: true });
    expect(published).toEqual([]);
    followed[0]!.report(listed('10.0.0.1'));
    followed[0]!.report({ problem: 'Cannot watch pods' });
    expect(published).toEqual([['10.0.0.1:8000']]);
  });

  it('keeps endpoints while the API server is away, and tells of it once', () => {
    start(pods('a'));
    followed[0]!.report(listed('10.0.0.1'));
    followed[0]!.report({ problem: 'Cannot list pods' });
    followed[0]!.report({ problem: 'Cannot list pods' });
    const status = {
      source: 'pods with "a" in namespace "a"',
      endpoints: 1,
      listed: true,
      problem: 'Cannot list pods',
      leftOut: undefined,
      watches: [],
    };
    expect(changes).toEqual([status]);
    expect(discovery.status()).toEqual([status]);
    followed[0]!.report({ problem: undefined });
    expect(changes.map(({ problem }) => problem)).toEqual(['Cannot list pods', undefined]);
  });

  it('tells what is left out, where that changes', () => {
    start(pods('a'));
    followed[0]!.report({ ...listed(), leftOut: 'pod "a" has no port' });
    followed[0]!.report({ ...listed('10.0.0.1'), leftOut: undefined });
    expect(changes.map(({ leftOut }) => leftOut)).toEqual(['pod "a" has no port', undefined]);
  });

  it('follows a source that is configured twice once', () => {
    start(pods('a'), pods('a'), pods('a', { port: 'http' }), pods('a', { container: 'vllm' }));
    expect(followed).toHaveLength(3);
  });

  it('does nothing before it is started, or when it is started again', () => {
    start(pods('a'));
    discovery.start();
    expect(followed).toHaveLength(1);
    discovery.stop();
    discovery.update([pods('b')]);
    expect(followed).toHaveLength(1);
    discovery.start();
    expect(followed.at(-1)!.source).toEqual(pods('b'));
  });

  describe('update()', () => {
    it('keeps what stays, with what is known of it', () => {
      start(pods('a'), pods('b'));
      followed[0]!.report(listed('10.0.0.1'));
      followed[1]!.report(listed('10.0.0.2'));
      discovery.update([pods('b')]);
      expect(followed.map(({ stopped }) => stopped)).toEqual([true, false]);
      expect(published.at(-1)).toEqual(['10.0.0.2:8000']);
      expect(discovery.status()).toHaveLength(1);
    });

    it('does nothing where nothing changed', () => {
      start(pods('a'));
      followed[0]!.report(listed('10.0.0.1'));
      discovery.update([pods('a')]);
      expect(followed).toHaveLength(1);
      expect(published).toHaveLength(1);
    });

    it('uses dropped sources until the new ones are listed, problems or not', () => {
      start(pods('a'));
      followed[0]!.report(listed('10.0.0.1'));
      discovery.update([pods('b'), pods('c')]);
      followed[1]!.report(listed('10.0.0.2'));
      followed[2]!.report({ problem: 'Cannot list pods' });
      followed[0]!.report(listed('10.0.0.1', '10.0.0.9'));
      expect(published.at(-1)).toEqual(['10.0.0.2:8000', '10.0.0.1:8000', '10.0.0.9:8000']);
      followed[2]!.report({ ...listed(), problem: undefined });
      expect(published.at(-1)).toEqual(['10.0.0.2:8000']);
      expect(followed[0]!.stopped).toBe(true);
    });

    it('takes back a source that it has not let go yet', () => {
      start(pods('a'));
      followed[0]!.report(listed('10.0.0.1'));
      discovery.update([pods('b')]);
      discovery.update([pods('a')]);
      expect(followed).toHaveLength(2);
      expect(followed.map(({ stopped }) => stopped)).toEqual([false, true]);
      expect(published.at(-1)).toEqual(['10.0.0.1:8000']);
    });

    it('publishes nothing for sources that go without having had any endpoint', () => {
      start(pods('a'), pods('b'));
      followed[0]!.report(listed('10.0.0.1'));
      followed[1]!.report(listed());
      discovery.update([pods('a')]);
      expect(new Set(published.map(String))).toEqual(new Set(['10.0.0.1:8000']));
    });
  });
});

describe('sourceText()', () => {
  it.each<[KubernetesSource, string]>([
    [pods('app=vllm'), 'pods with "app=vllm" in namespace "a"'],
    [pods(''), 'pods in namespace "a"'],
    [{ kind: 'pool', namespace: 'a', name: 'p', tls: false }, 'InferencePool "p" in namespace "a"'],
    [{ kind: 'service', namespace: 'a', name: 's', tls: false }, 'Service "s" in namespace "a"'],
  ])('%# names a source', (source, text) => expect(sourceText(source)).toBe(text));
});
