/** What becomes of endpoints when a real API server fails, in every way that it can. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { PodSource } from '../../src/discovery/kubernetes.ts';
import type { KubeClient } from '../../src/kube/kube-client.ts';
import { createAdmin, type Admin } from './support/admin.ts';
import { startApiServer, type ApiServer, type User } from './support/api-server.ts';
import { startDiscovery, type DiscoveryRig, type RigOptions } from './support/discovery-rig.ts';
import { createEtcd, type Etcd } from './support/etcd.ts';
import { createReadyPod, removePod } from './support/pods.ts';
import { startTcpProxy, type TcpProxy } from './support/tcp-proxy.ts';

/** What takes longer is broken; most take a moment. */
jest.setTimeout(120_000);

let server: ApiServer;
let admin: Admin;
let etcd: Etcd;
let network: TcpProxy;
let rig: DiscoveryRig | undefined;
let namespace: string;
let namespaces = 0;

beforeAll(async () => {
  server = await startApiServer();
  admin = createAdmin(server);
  etcd = createEtcd(server.etcdUrl);
});

beforeEach(async () => {
  network = await startTcpProxy(server.port);
  namespace = `faults-${++namespaces}`;
  await admin.namespace(namespace);
  await createReadyPod(admin, namespace, 'a', '10.0.0.1', engine);
  await createReadyPod(admin, namespace, 'b', '10.0.0.2', engine);
});

afterEach(async () => {
  await rig?.stop();
  rig = undefined;
  await network.stop();
});

afterAll(async () => {
  await admin.close();
  await server.stop();
});

const engine = { labels: { app: 'vllm' } };
const [a, b, c] = ['10.0.0.1:8000', '10.0.0.2:8000', '10.0.0.3:8000'];

function source(): PodSource {
  return { kind: 'pods', namespace, labelSelector: 'app=vllm', port: 8000, tls: false };
}

async function discover(options: Partial<RigOptions> = {}, user: User = 'admin'): Promise<DiscoveryRig> {
  const kubeconfig = await server.kubeconfig(user, network.url);
  rig = await startDiscovery({ kubeconfig, sources: [source()], ...options });
  return rig;
}

/** How often the pods were listed so far. */
const lists = (): number => rig!.status()[0]!.watches[0]!.lists;
const failures = () => rig!.status()[0]!.watches[0]!.failures;
/** Resolves once changes are watched, and not only listed. */
const watching = (): Promise<void> => rig!.once(() => rig!.watches > 0);

describe('a watch that is cut', () => {
  it('begins again with a list', async () => {
    await discover();
    await rig!.becomes(a, b);
    await watching();
    network.cut();
    await createReadyPod(admin, namespace, 'c', '10.0.0.3', engine);
    await rig!.becomes(a, b, c);
    expect(failures()).toEqual({ unreachable: 1 });
    await rig!.well();
  });

  it('loses pods that were deleted meanwhile, and keeps the others all the time', async () => {
    await discover();
    await rig!.becomes(a, b);
    network.sever();
    const problem = await rig!.problem(/Cannot (list|watch) pods/);
    expect(problem).toContain(
      `pods with "app=vllm" in namespace "${namespace}": the API server ${network.url} does`,
    );
    expect(rig!.ids).toEqual([a, b]);
    await removePod(admin, namespace, 'a');
    await createReadyPod(admin, namespace, 'c', '10.0.0.3', engine);
    network.mend();
    await rig!.becomes(b, c);
    await rig!.well();
    expect(rig!.published).toEqual([
      [a, b],
      [b, c],
    ]);
  });
});

describe('an API server that is killed', () => {
  it('leaves the last known endpoints, and tells the truth when it is back', async () => {
    await discover();
    await rig!.becomes(a, b);
    await server.kill();
    await rig!.problem(/does not answer/);
    await etcd.remove(`pods/${namespace}/a`);
    expect(rig!.ids).toEqual([a, b]);
    expect(rig!.status()[0]).toMatchObject({ listed: true, endpoints: 2 });
    await server.restart();
    await rig!.becomes(b);
    await rig!.well();
    await createReadyPod(admin, namespace, 'c', '10.0.0.3', engine);
    await rig!.becomes(b, c);
  });

  it('is waited for from the start', async () => {
    await server.kill();
    await discover();
    await rig!.problem(/^Cannot list pods .* does not answer/);
    expect(rig!.status()[0]).toMatchObject({ listed: false, endpoints: 0 });
    expect(rig!.published).toEqual([]);
    await server.restart();
    await rig!.becomes(a, b);
    await rig!.well();
  });
});

describe('an API server that is silent', () => {
  it('is given up when it is stopped, and listed when it goes on', async () => {
    await discover({ silenceTimeoutMs: 3000 });
    await rig!.becomes(a, b);
    await watching();
    server.suspend();
    try {
      await rig!.problem(/gave no sign of life for 3 s$/);
      expect(rig!.ids).toEqual([a, b]);
      await etcd.remove(`pods/${namespace}/a`);
    } finally {
      server.resume();
    }
    await rig!.becomes(b);
    await rig!.well();
  });

  it('is asked again on another connection where the old one carries nothing any more', async () => {
    await discover({ silenceTimeoutMs: 3000 });
    await rig!.becomes(a, b);
    await watching();
    network.freeze();
    await removePod(admin, namespace, 'a');
    await rig!.becomes(b);
    expect(failures()).toEqual({ silent: 1 });
  });

  it('is no reason to list a quiet namespace again', async () => {
    await discover({ silenceTimeoutMs: 2000 });
    await rig!.becomes(a, b);
    // Three of them ended in order, and the next went on from there.
    await rig!.once(() => rig!.watches === 4);
    await createReadyPod(admin, namespace, 'c', '10.0.0.3', engine);
    await rig!.becomes(a, b, c);
    expect(lists()).toBe(1);
    expect(failures()).toEqual({});
  });
});

describe('a resourceVersion that is too old', () => {
  it('costs a list and is no problem', async () => {
    await etcd.compact();
    // Only a server that has just begun remembers no older changes.
    await server.kill();
    await server.restart();
    const asked: string[] = [];
    const forgetful = (client: KubeClient): KubeClient => ({
      ...client,
      watch(resource, options, signal) {
        asked.push(options.resourceVersion);
        const resourceVersion = asked.length <= 2 ? '1' : options.resourceVersion;
        return client.watch(resource, { ...options, resourceVersion }, signal);
      },
    });
    await discover({ wrap: forgetful });
    await rig!.once(() => rig!.ids.length > 0);
    await rig!.becomes(a, b);
    await createReadyPod(admin, namespace, 'c', '10.0.0.3', engine);
    await rig!.becomes(a, b, c);
    await removePod(admin, namespace, 'c');
    await rig!.becomes(a, b);
    expect(failures()).toEqual({ expired: 2 });
    expect(lists()).toBe(3);
    expect(rig!.changes).toEqual([]);
  });
});

describe('rights', () => {
  const rbac = (path: string): string => `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/${path}`;

  async function allow(user: User, verbs: readonly string[]): Promise<void> {
    await admin.create(rbac('roles'), {
      metadata: { name: verbs.join('-') },
      rules: [{ apiGroups: [''], resources: ['pods'], verbs }],
    });
    await admin.create(rbac('rolebindings'), {
      metadata: { name: verbs.join('-') },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: verbs.join('-') },
      subjects: [{ kind: 'User', name: user, apiGroup: 'rbac.authorization.k8s.io' }],
    });
  }

  it('that are missing are told with verb and resource, and asked for again', async () => {
    await discover({}, 'reader');
    const problem = await rig!.problem(/./);
    expect(problem).toBe(
      `Cannot list pods with "app=vllm" in namespace "${namespace}": forbidden: pods is forbidden: User "reader" cannot ` +
        `list resource "pods" in API group "" in the namespace "${namespace}"; allow the verbs list and watch on pods there`,
    );
    await allow('reader', ['list', 'watch']);
    await rig!.becomes(a, b);
    await rig!.well();
    expect(rig!.changes.map((change) => change.problem)).toEqual([problem, undefined]);
  });

  it('to list alone give what is listed, again and again', async () => {
    await allow('lister', ['list']);
    await discover({}, 'lister');
    const problem = await rig!.problem(/./);
    expect(problem).toMatch(/^Cannot watch pods .*: forbidden: .*cannot watch resource "pods"/);
    expect(rig!.ids).toEqual([a, b]);
    await removePod(admin, namespace, 'a');
    await rig!.becomes(b);
    await allow('lister', ['watch']);
    await rig!.well();
  });

  it('that are taken away end with the watch, and the last known endpoints stay', async () => {
    await allow('nobody', ['list', 'watch']);
    await discover({ silenceTimeoutMs: 2000 }, 'nobody');
    await rig!.becomes(a, b);
    await watching();
    await admin.remove(rbac('rolebindings/list-watch'));
    await rig!.problem(/^Cannot watch pods .*: forbidden/);
    expect(rig!.ids).toEqual([a, b]);
  });
});
