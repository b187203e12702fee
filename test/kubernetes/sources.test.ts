/** InferencePools and the EndpointSlices of Services on a real API server. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import type { KubernetesSource } from '../../src/discovery/kubernetes.ts';
import { createAdmin, type Admin } from './support/admin.ts';
import { startApiServer, type ApiServer } from './support/api-server.ts';
import { crdFiles } from './support/components.ts';
import { startDiscovery, type DiscoveryRig } from './support/discovery-rig.ts';
import { createReadyPod, removePod, terminatePod } from './support/pods.ts';

/** What takes longer is broken; most take a moment. */
jest.setTimeout(120_000);

let server: ApiServer;
let admin: Admin;
let kubeconfig: string;
let namespace: string;
let namespaces = 0;
let rig: DiscoveryRig | undefined;

beforeAll(async () => {
  server = await startApiServer();
  admin = createAdmin(server);
  kubeconfig = await server.kubeconfig('admin');
});

beforeEach(async () => {
  namespace = `sources-${++namespaces}`;
  await admin.namespace(namespace);
});

afterEach(async () => {
  await rig?.stop();
  rig = undefined;
});

afterAll(async () => {
  await admin.close();
  await server.stop();
});

async function discover(source: KubernetesSource): Promise<DiscoveryRig> {
  rig = await startDiscovery({ kubeconfig, sources: [source] });
  return rig;
}

describe('an InferencePool', () => {
  const pools = (): string => `/apis/inference.networking.k8s.io/v1/namespaces/${namespace}/inferencepools`;
  const pool = (): KubernetesSource => ({ kind: 'pool', namespace, name: 'llama', tls: false });

  function createPool(labels: Readonly<Record<string, string>>, ...ports: readonly number[]): Promise<void> {
    return admin.create(pools(), {
      apiVersion: 'inference.networking.k8s.io/v1',
      kind: 'InferencePool',
      metadata: { name: 'llama' },
      spec: {
        selector: { matchLabels: labels },
        targetPorts: ports.map((number) => ({ number })),
        endpointPickerRef: { name: 'sluice', port: { number: 9002 } },
      },
    });
  }

  const engines = async (): Promise<void> => {
    await createReadyPod(admin, namespace, 'a', '10.0.0.1', { labels: { app: 'vllm', model: 'llama' } });
    await createReadyPod(admin, namespace, 'b', '10.0.0.2', { labels: { app: 'vllm', model: 'qwen' } });
  };

  // The first, since it brings what the others need.
  it('of which the API server knows nothing is waited for', async () => {
    await engines();
    await discover(pool());
    await expect(rig!.problem(/./)).resolves.toBe(
      `Cannot list inferencepools.inference.networking.k8s.io "llama" in namespace "${namespace}": the API server does ` +
        'not know inferencepools.inference.networking.k8s.io in version v1; install its CustomResourceDefinition',
    );
    for (const file of crdFiles('gateway-api-inference-extension')) {
      if (!file.endsWith('_inferencepools.yaml')) continue;
      const crd = parse(await readFile(file, 'utf8')) as object;
      await admin.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', crd);
    }
    await admin.served(pools());
    await expect(rig!.problem(/there is none/)).resolves.toBe(
      `Cannot find the InferencePool "llama" in namespace "${namespace}": there is none of this name`,
    );
    await createPool({ app: 'vllm' }, 8000);
    await rig!.becomes('10.0.0.1:8000', '10.0.0.2:8000');
    await rig!.well();
  });

  it('gives each of its eight ports of each of its pods', async () => {
    await engines();
    await createPool({ app: 'vllm', model: 'llama' }, 8000, 8001, 8002, 8003, 8004, 8005, 8006, 8007);
    await discover(pool());
    await rig!.becomes(...Array.from({ length: 8 }, (_, i) => `10.0.0.1:${8000 + i}`));
    await terminatePod(admin, namespace, 'a');
    await rig!.becomes();
  });

  it('that changes is followed without a gap', async () => {
    await engines();
    await createPool({ model: 'llama' }, 8000);
    await discover(pool());
    await rig!.becomes('10.0.0.1:8000');
    await admin.patch(`${pools()}/llama`, { spec: { selector: { matchLabels: { model: 'qwen' } } } });
    await rig!.becomes('10.0.0.2:8000');
    await admin.patch(`${pools()}/llama`, { spec: { targetPorts: [{ number: 8000 }, { number: 9000 }] } });
    await rig!.becomes('10.0.0.2:8000', '10.0.0.2:9000');
    expect(rig!.published.every((ids) => ids.length > 0)).toBe(true);
    await createReadyPod(admin, namespace, 'c', '10.0.0.3', { labels: { model: 'qwen' } });
    await rig!.becomes('10.0.0.2:8000', '10.0.0.2:9000', '10.0.0.3:8000', '10.0.0.3:9000');
  });

  it('that is deleted takes its endpoints along, and comes back with others', async () => {
    await engines();
    await createPool({ model: 'llama' }, 8000);
    await discover(pool());
    await rig!.becomes('10.0.0.1:8000');
    await admin.remove(`${pools()}/llama`);
    await rig!.becomes();
    await rig!.problem(/there is none of this name/);
    await createPool({ model: 'qwen' }, 8000);
    await rig!.becomes('10.0.0.2:8000');
    await rig!.well();
  });

  it('says nothing of other pools, and of pods of other namespaces', async () => {
    const elsewhere = `${namespace}-other`;
    await admin.namespace(elsewhere);
    await createReadyPod(admin, elsewhere, 'a', '10.0.0.9', { labels: { app: 'vllm' } });
    await engines();
    await createPool({ app: 'vllm' }, 8000);
    await discover(pool());
    await rig!.becomes('10.0.0.1:8000', '10.0.0.2:8000');
    await removePod(admin, namespace, 'b');
    await rig!.becomes('10.0.0.1:8000');
  });
});

describe('a Service', () => {
  const slices = (): string => `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
  const service = (port?: number | string): KubernetesSource => ({
    kind: 'service',
    namespace,
    name: 'engines',
    port,
    tls: true,
  });

  interface SliceOptions {
    readonly ports?: readonly object[];
    readonly addressType?: string;
    readonly of?: string;
  }

  function createSlice(
    name: string,
    endpoints: readonly object[],
    options: SliceOptions = {},
  ): Promise<void> {
    const { ports = [{ name: 'http', port: 8000 }], addressType = 'IPv4', of = 'engines' } = options;
    return admin.create(slices(), {
      metadata: { name, labels: { 'kubernetes.io/service-name': of } },
      addressType,
      endpoints,
      ports,
    });
  }

  const ready = { ready: true, serving: true, terminating: false };
  const at = (address: string, conditions: object = ready): object => ({ addresses: [address], conditions });

  it('gives what is ready in all of its slices, and follows them', async () => {
    await createSlice('s1', [
      at('10.0.0.1'),
      at('10.0.0.2', { ready: false }),
      at('10.0.0.3', { ready: false, serving: true, terminating: true }),
      at('10.0.0.4', {}),
    ]);
    await createSlice('s2', [at('10.0.0.5')]);
    await createSlice('s3', [at('10.0.0.6')], { of: 'others' });
    await discover(service());
    await rig!.becomes('10.0.0.1:8000', '10.0.0.4:8000', '10.0.0.5:8000');
    await admin.patch(`${slices()}/s1`, { endpoints: [at('10.0.0.2')] });
    await rig!.becomes('10.0.0.2:8000', '10.0.0.5:8000');
    await admin.remove(`${slices()}/s2`);
    await rig!.becomes('10.0.0.2:8000');
    await admin.patch(`${slices()}/s1`, { endpoints: null });
    await rig!.becomes();
  });

  it('with several ports needs the name or the number of one', async () => {
    const ports = [
      { name: 'grpc', port: 9000 },
      { name: 'http', port: 8000 },
    ];
    await createSlice('s1', [at('10.0.0.1')], { ports });
    await discover(service());
    await rig!.once(() => rig!.status()[0]!.leftOut !== undefined);
    expect(rig!.status()[0]!.leftOut).toBe(
      'EndpointSlice "s1" has more or less than one TCP port: name one; there are grpc (9000), http (8000)',
    );
    rig!.update([service('http')]);
    await rig!.becomes('10.0.0.1:8000');
    rig!.update([service(9000)]);
    await rig!.becomes('10.0.0.1:9000');
  });

  it('with both families gives IPv4 alone', async () => {
    await createSlice('s6', [at('fd00::1')], { addressType: 'IPv6' });
    await discover(service());
    await rig!.becomes('[fd00::1]:8000');
    await createSlice('s4', [at('10.0.0.1')]);
    await rig!.becomes('10.0.0.1:8000');
  });

  it('that is not there is told, and found once it is', async () => {
    await discover(service());
    await rig!.once(() => rig!.status()[0]!.listed);
    expect(rig!.status()[0]!.leftOut).toBe(
      'Service "engines" has no EndpointSlices: is there such a Service, and does it select pods?',
    );
    await createSlice('s1', [at('10.0.0.1')]);
    await rig!.becomes('10.0.0.1:8000');
    expect(rig!.status()[0]!.leftOut).toBeUndefined();
  });
});
