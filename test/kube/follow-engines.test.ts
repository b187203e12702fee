import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { EngineReport } from '../../src/kube/engine-addresses.ts';
import { followEngines, type EngineFollower, type EngineSource } from '../../src/kube/follow-engines.ts';
import { KubeError } from '../../src/kube/kube-error.ts';
import type { KubeObject } from '../../src/kube/kube-object.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeKubeClient, settled, type FakeWatch } from './support/fake-kube-client.ts';

let clock: FakeClock;
let client: FakeKubeClient;
let reports: EngineReport[];
let follower: EngineFollower;

beforeEach(() => {
  clock = new FakeClock();
  client = new FakeKubeClient();
  reports = [];
});

afterEach(async () => {
  follower.stop();
  await settled();
  expect(clock.pending).toBe(0);
});

function follow(source: EngineSource): void {
  follower = followEngines({ client, clock, random: () => 0, silenceTimeoutMs: 9000 }, source, (report) =>
    reports.push(report),
  );
}

/** Addresses of the newest report. */
const now = (): string[] => reports.at(-1)!.addresses.map(({ address, port }) => `${address}:${port}`);

function pod(name: string, podIP: string): KubeObject {
  const status = { phase: 'Running', podIP, conditions: [{ type: 'Ready', status: 'True' }] };
  return { metadata: { name }, spec: { containers: [{ name: 'vllm' }] }, status } as KubeObject;
}

describe('followEngines()', () => {
  it('follows the pods of a selector', async () => {
    follow({ kind: 'pods', namespace: 'a', labelSelector: 'app=vllm', port: 8000 });
    expect(client.lists[0]!.resource).toEqual({
      group: '',
      version: 'v1',
      plural: 'pods',
      namespace: 'a',
      labelSelector: 'app=vllm',
    });
    await client.answerList('1', pod('x', '10.0.0.1'));
    expect(reports).toEqual([
      {
        addresses: [{ address: '10.0.0.1', port: 8000 }],
        leftOut: undefined,
        listed: true,
        problem: undefined,
      },
    ]);
    const watch = await client.acceptWatch();
    expect(watch.options.timeoutSeconds).toBe(6);
    expect(follower.watches().map(({ resource }) => resource)).toEqual([
      'pods with "app=vllm" in namespace "a"',
    ]);
  });

  it('gives the same list of addresses with another problem', async () => {
    follow({ kind: 'pods', namespace: 'a', labelSelector: '', port: 8000 });
    await client.answerList('1', pod('x', '10.0.0.1'));
    (await client.acceptWatch()).fail(new KubeError('unreachable', 'Cannot reach it'));
    await settled();
    expect(reports).toHaveLength(2);
    expect(reports[1]!.problem).toBe('Cannot reach it');
    expect(reports[1]!.addresses).toBe(reports[0]!.addresses);
  });

  it('looks for a Service by its slices', async () => {
    follow({ kind: 'service', namespace: 'a', name: 'engines', port: 'http' });
    expect(client.lists[0]!.resource).toEqual({
      group: 'discovery.k8s.io',
      version: 'v1',
      plural: 'endpointslices',
      namespace: 'a',
      labelSelector: 'kubernetes.io/service-name=engines',
    });
    const slice = {
      metadata: { name: 's' },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.0.0.1'] }],
      ports: [{ name: 'http', port: 8000 }],
    };
    await client.answerList('1', slice);
    expect(now()).toEqual(['10.0.0.1:8000']);
  });

  describe('of an InferencePool', () => {
    function pool(label: string, ...ports: readonly number[]): KubeObject {
      const spec = {
        selector: { matchLabels: { app: label } },
        targetPorts: ports.map((number) => ({ number })),
      };
      return { metadata: { name: 'p', resourceVersion: '2' }, spec } as KubeObject;
    }

    async function change(watch: FakeWatch, type: 'MODIFIED' | 'DELETED', object: KubeObject): Promise<void> {
      watch.give([{ type, object }]);
      await settled();
    }

    async function followPool(): Promise<FakeWatch> {
      follow({ kind: 'pool', namespace: 'a', name: 'p' });
      expect(client.lists[0]!.resource).toMatchObject({ plural: 'inferencepools', name: 'p' });
      await client.answerList('1', pool('vllm', 8000));
      const watch = await client.acceptWatch();
      expect(client.lists[1]!.resource).toMatchObject({ plural: 'pods', labelSelector: 'app=vllm' });
      return watch;
    }

    it('is not listed before its pods are', async () => {
      await followPool();
      expect(reports.at(-1)).toEqual({
        addresses: [],
        leftOut: undefined,
        listed: false,
        problem: undefined,
      });
      await client.answerList('1', pod('x', '10.0.0.1'));
      expect(reports.at(-1)).toMatchObject({ listed: true });
      expect(now()).toEqual(['10.0.0.1:8000']);
      expect(follower.watches()).toHaveLength(2);
    });

    it('keeps the last addresses until the pods of another selector are listed', async () => {
      const watch = await followPool();
      await client.answerList('1', pod('x', '10.0.0.1'));
      await change(watch, 'MODIFIED', pool('sglang', 8000));
      expect(client.lists[2]!.resource).toMatchObject({ labelSelector: 'app=sglang' });
      client.lists[2]!.fail(new KubeError('unreachable', 'Cannot reach it'));
      await settled();
      expect(reports.at(-1)).toMatchObject({ problem: 'Cannot reach it', listed: true });
      expect(now()).toEqual(['10.0.0.1:8000']);
      clock.advance(200);
      await client.answerList('1', pod('y', '10.0.0.2'));
      expect(now()).toEqual(['10.0.0.2:8000']);
      expect(client.watches.filter(({ signal }) => !signal.aborted)).toHaveLength(2);
    });

    it('lists its pods once where only its status changes', async () => {
      const watch = await followPool();
      await change(watch, 'MODIFIED', { ...pool('vllm', 8000), status: {} } as KubeObject);
      expect(client.lists).toHaveLength(2);
    });

    it('has no endpoints without the pool, and says why', async () => {
      const watch = await followPool();
      await client.answerList('1', pod('x', '10.0.0.1'));
      await change(watch, 'DELETED', pool('vllm', 8000));
      expect(reports.at(-1)).toEqual({
        addresses: [],
        leftOut: undefined,
        listed: true,
        problem: 'Cannot find the InferencePool "p" in namespace "a": there is none of this name',
      });
      expect(client.watches.filter(({ signal }) => !signal.aborted)).toEqual([watch]);
    });

    it('tells the problem of the pool before that of its pods', async () => {
      const watch = await followPool();
      client.lists[1]!.fail(new KubeError('forbidden', 'Cannot list pods'));
      await settled();
      expect(reports.at(-1)!.problem).toBe('Cannot list pods');
      watch.fail(new KubeError('forbidden', 'Cannot watch pools'));
      await settled();
      expect(reports.at(-1)!.problem).toBe('Cannot watch pools');
    });
  });
});
