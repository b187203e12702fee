/** Pods of a real API server become endpoints, and cease to be. */
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { wrongRequirement } from '../../src/config/sections/label-selector.ts';
import type { PodSource } from '../../src/discovery/kubernetes.ts';
import { createEndpointStore } from '../../src/endpoints/endpoint-store.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createAdmin, type Admin } from './support/admin.ts';
import { startApiServer, type ApiServer } from './support/api-server.ts';
import { startDiscovery, type DiscoveryRig, type RigOptions } from './support/discovery-rig.ts';
import {
  container,
  createPod,
  createReadyPod,
  podsOf,
  removePod,
  reportPod,
  terminatePod,
  type PodState,
} from './support/pods.ts';

/** What takes longer is broken; most take a moment. */
jest.setTimeout(120_000);

let server: ApiServer;
let admin: Admin;
let kubeconfig: string;
let rig: DiscoveryRig | undefined;
let namespaces = 0;

beforeAll(async () => {
  server = await startApiServer();
  admin = createAdmin(server);
  kubeconfig = await server.kubeconfig('admin');
});

afterEach(async () => {
  await rig?.stop();
  rig = undefined;
});

afterAll(async () => {
  await admin.close();
  await server.stop();
});

/** A namespace of the test's own. */
async function newNamespace(): Promise<string> {
  const name = `pods-${++namespaces}`;
  await admin.namespace(name);
  return name;
}

function pods(namespace: string, options: Partial<PodSource> = {}): PodSource {
  return { kind: 'pods', namespace, labelSelector: 'app=vllm', port: 8000, tls: false, ...options };
}

async function discover(
  sources: readonly PodSource[],
  options: Partial<RigOptions> = {},
): Promise<DiscoveryRig> {
  rig = await startDiscovery({ kubeconfig, sources, ...options });
  return rig;
}

const engine = { labels: { app: 'vllm' } };
const ready: PodState = { ready: 'True', ip: '10.0.0.1', phase: 'Running' };

interface StateCase {
  readonly state: PodState;
  readonly terminating: boolean;
  readonly isTarget: boolean;
}

const conditions: readonly PodState['ready'][] = ['True', 'False', 'Unknown', undefined];
const states: readonly StateCase[] = [
  ...conditions.flatMap((condition) =>
    ['10.0.0.1', undefined].flatMap((ip) =>
      [false, true].map((terminating) => ({
        state: { ready: condition, ip, phase: 'Running' as const },
        terminating,
        isTarget: condition === 'True' && ip !== undefined && !terminating,
      })),
    ),
  ),
  ...(['Pending', 'Succeeded', 'Failed'] as const).map((phase) => ({
    state: { ...ready, phase },
    terminating: false,
    isTarget: false,
  })),
];

function inWords({ state: { ready: condition, ip, phase }, terminating }: StateCase): string {
  const parts = [`Ready ${condition ?? 'absent'}`, ip === undefined ? 'no IP' : 'IP', phase];
  return [...parts, ...(terminating ? ['terminating'] : [])].join(', ');
}

describe('a pod', () => {
  let namespace: string;
  let marks = 0;

  beforeAll(async () => {
    namespace = await newNamespace();
    await createReadyPod(admin, namespace, 'mark', '10.1.0.0', engine);
  });

  /** Resolves once everything that was done so far has been seen: events of one watch come in order. */
  async function seenAll(): Promise<string> {
    const ip = `10.1.${++marks >> 8}.${marks & 255}`;
    await reportPod(admin, namespace, 'mark', { ...ready, ip });
    const id = `${ip}:8000`;
    await rig!.once(() => rig!.ids.includes(id));
    return id;
  }

  async function bring(
    { state, terminating }: StateCase,
    labels: Readonly<Record<string, string>>,
  ): Promise<void> {
    await createPod(admin, namespace, 'engine', { labels });
    await reportPod(admin, namespace, 'engine', state);
    if (terminating) await terminatePod(admin, namespace, 'engine');
  }

  afterEach(async () => {
    await removePod(admin, namespace, 'engine').catch(() => undefined);
  });

  it.each(states.map((each) => [inWords(each), each] as const))(
    'that is there at the start: %s',
    async (_, each) => {
      await bring(each, engine.labels);
      await discover([pods(namespace)]);
      const mark = await seenAll();
      expect(rig!.ids).toEqual([...(each.isTarget ? ['10.0.0.1:8000'] : []), mark].sort());
    },
  );

  it.each(states.map((each) => [inWords(each), each] as const))('that is ADDED: %s', async (_, each) => {
    await discover([pods(namespace)]);
    await bring(each, {});
    await seenAll();
    expect(rig!.ids).toHaveLength(1);
    await admin.patch(`${podsOf(namespace)}/engine`, { metadata: { labels: engine.labels } });
    const mark = await seenAll();
    expect(rig!.ids).toEqual([...(each.isTarget ? ['10.0.0.1:8000'] : []), mark].sort());
  });

  it.each(states.map((each) => [inWords(each), each] as const))(
    'that is MODIFIED to: %s',
    async (_, each) => {
      await discover([pods(namespace)]);
      await createReadyPod(admin, namespace, 'engine', '10.0.0.9', engine);
      await rig!.once(() => rig!.ids.includes('10.0.0.9:8000'));
      await reportPod(admin, namespace, 'engine', each.state);
      if (each.terminating) await terminatePod(admin, namespace, 'engine');
      const mark = await seenAll();
      expect(rig!.ids).toEqual([...(each.isTarget ? ['10.0.0.1:8000'] : []), mark].sort());
    },
  );

  it.each(states.map((each) => [inWords(each), each] as const))('that is DELETED: %s', async (_, each) => {
    await discover([pods(namespace)]);
    await bring(each, engine.labels);
    await seenAll();
    expect(rig!.ids.includes('10.0.0.1:8000')).toBe(each.isTarget);
    await removePod(admin, namespace, 'engine');
    const mark = await seenAll();
    expect(rig!.ids).toEqual([mark]);
  });

  it('whose labels change is in and out', async () => {
    await discover([pods(namespace)]);
    await createReadyPod(admin, namespace, 'engine', '10.0.0.1', { labels: { app: 'other' } });
    await seenAll();
    expect(rig!.ids).not.toContain('10.0.0.1:8000');
    const labelled = (app: string): Promise<void> =>
      admin.patch(`${podsOf(namespace)}/engine`, { metadata: { labels: { app } } });
    await labelled('vllm');
    await rig!.once(() => rig!.ids.includes('10.0.0.1:8000'));
    await labelled('other');
    await rig!.once(() => !rig!.ids.includes('10.0.0.1:8000'));
  });

  it('whose name comes back with another address is the new one alone', async () => {
    await discover([pods(namespace)]);
    await createReadyPod(admin, namespace, 'engine', '10.0.0.1', engine);
    await rig!.once(() => rig!.ids.includes('10.0.0.1:8000'));
    await removePod(admin, namespace, 'engine');
    await createReadyPod(admin, namespace, 'engine', '10.0.0.2', engine);
    await rig!.once(() => rig!.ids.includes('10.0.0.2:8000'));
    expect(rig!.ids).not.toContain('10.0.0.1:8000');
  });
});

describe('pods', () => {
  it('that terminate get no new requests and keep those that they have', async () => {
    const namespace = await newNamespace();
    const store = createEndpointStore({ clock: systemClock });
    await createReadyPod(admin, namespace, 'a', '10.0.0.1', engine);
    await discover([pods(namespace)], { onTargets: (targets) => store.setTargets(targets) });
    await rig!.becomes('10.0.0.1:8000');
    const [endpoint] = store.snapshot.endpoints;
    endpoint!.inFlight++;
    await terminatePod(admin, namespace, 'a');
    await rig!.becomes();
    expect(store.snapshot.endpoints).toEqual([]);
    expect(endpoint).toMatchObject({ id: '10.0.0.1:8000', inFlight: 1 });
  });

  it('of several namespaces and selectors are one membership, each address once', async () => {
    const [first, second] = [await newNamespace(), await newNamespace()];
    await createReadyPod(admin, first, 'a', '10.0.0.1', { labels: { app: 'vllm', tier: 'gold' } });
    await createReadyPod(admin, first, 'b', '10.0.0.2', { labels: { app: 'sglang' } });
    await createReadyPod(admin, first, 'c', '10.0.0.3', { labels: { app: 'web' } });
    await createReadyPod(admin, second, 'a', '10.0.0.4', engine);
    await discover([
      pods(first),
      pods(first, { labelSelector: 'app in (sglang), tier!=gold' }),
      pods(first, { labelSelector: 'tier' }),
      pods(second),
    ]);
    await rig!.becomes('10.0.0.1:8000', '10.0.0.2:8000', '10.0.0.4:8000');
    await removePod(admin, first, 'a');
    await rig!.becomes('10.0.0.2:8000', '10.0.0.4:8000');
  });

  it('without a selector are all of the namespace', async () => {
    const namespace = await newNamespace();
    await createReadyPod(admin, namespace, 'a', '10.0.0.1');
    await discover([pods(namespace, { labelSelector: '' })]);
    await rig!.becomes('10.0.0.1:8000');
  });

  it('are found by the name of a port, each at its own number', async () => {
    const namespace = await newNamespace();
    const withPorts = (ports: Readonly<Record<string, number>>) => ({
      ...engine,
      containers: [container('proxy', { admin: 9000 }), container('vllm', ports)],
    });
    await createReadyPod(admin, namespace, 'a', '10.0.0.1', withPorts({ http: 8000 }));
    await createReadyPod(admin, namespace, 'b', '10.0.0.2', withPorts({ metrics: 9, http: 8080 }));
    await createReadyPod(admin, namespace, 'c', 'fd00::3', withPorts({ grpc: 7000 }));
    await discover([pods(namespace, { port: 'http' })]);
    await rig!.becomes('10.0.0.1:8000', '10.0.0.2:8080');
    expect(rig!.status()[0]!.leftOut).toBe('pod "c" has no TCP port named "http"');
    await createReadyPod(admin, namespace, 'd', 'fd00::4', withPorts({ http: 8000 }));
    await rig!.becomes('10.0.0.1:8000', '10.0.0.2:8080', '[fd00::4]:8000');
  });

  it('are found by container, sidecars among them', async () => {
    const namespace = await newNamespace();
    const sidecar = { ...container('vllm', { http: 8001 }), restartPolicy: 'Always' };
    await createReadyPod(admin, namespace, 'a', '10.0.0.1', engine);
    await createReadyPod(admin, namespace, 'b', '10.0.0.2', {
      ...engine,
      containers: [container('other', { http: 9000 })],
    });
    await createReadyPod(admin, namespace, 'c', '10.0.0.3', {
      ...engine,
      containers: [container('other', { web: 9000 })],
      initContainers: [sidecar],
    });
    await discover([pods(namespace, { port: 'http', container: 'vllm' })]);
    await rig!.becomes('10.0.0.1:8000', '10.0.0.3:8001');
    expect(rig!.status()[0]!.leftOut).toBe('pod "b" has no container "vllm"');
  });

  it('of another selector take over without a gap', async () => {
    const namespace = await newNamespace();
    await createReadyPod(admin, namespace, 'a', '10.0.0.1', engine);
    await createReadyPod(admin, namespace, 'b', '10.0.0.2', { labels: { app: 'sglang' } });
    await discover([pods(namespace)]);
    await rig!.becomes('10.0.0.1:8000');
    rig!.update([pods(namespace, { labelSelector: 'app=sglang' })]);
    await rig!.becomes('10.0.0.2:8000');
    expect(rig!.published.slice(1).every((ids) => ids.length > 0)).toBe(true);
  });

  it('are not followed by an update that follows nothing new, and the others keep their watch', async () => {
    const namespace = await newNamespace();
    await createReadyPod(admin, namespace, 'a', '10.0.0.1', engine);
    await createReadyPod(admin, namespace, 'b', '10.0.0.2', { labels: { app: 'sglang' } });
    await discover([pods(namespace), pods(namespace, { labelSelector: 'app=sglang' })]);
    await rig!.becomes('10.0.0.1:8000', '10.0.0.2:8000');
    rig!.update([pods(namespace, { labelSelector: 'app=sglang' })]);
    expect(rig!.ids).toEqual(['10.0.0.2:8000']);
    expect(rig!.status().map(({ watches }) => watches[0]!.lists)).toEqual([1]);
  });
});

describe('a label selector', () => {
  it.each([
    'app=vllm',
    'app == vllm',
    'app=',
    '!app',
    'app in (vllm)',
    'app in (a,b), tier notin (c,),stage',
    'llm-d.ai/role in (decode,both)',
    `a=${'x'.repeat(64)}`,
    'app=vllm sglang',
    'app:vllm',
    'app in vllm',
    'app in (vllm',
    '-app=vllm',
    'app=-vllm',
    'App.Io/name=x',
    'a/b/c=x',
    '!app=vllm',
    'app,',
    'app=a,,b',
  ])('"%s" is taken by the configuration where the API server takes it', async (selector) => {
    const asked = admin.read(`${podsOf('default')}?limit=1&labelSelector=${encodeURIComponent(selector)}`);
    const isTaken = await asked.then(
      () => true,
      () => false,
    );
    expect(wrongRequirement(selector) === undefined).toBe(isTaken);
  });
});
