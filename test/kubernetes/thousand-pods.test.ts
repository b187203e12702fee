/** A thousand pods on a real API server: listed, replaced, and lost while nobody watched. */
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { endpointId } from '../../src/endpoints/endpoint.ts';
import { createAdmin, type Admin } from './support/admin.ts';
import { startApiServer, type ApiServer } from './support/api-server.ts';
import { startDiscovery, type DiscoveryRig } from './support/discovery-rig.ts';
import { createReadyPods, forEach, numberedPods, type NumberedPod } from './support/many-pods.ts';
import { removePod, terminatePod } from './support/pods.ts';
import { startTcpProxy, type TcpProxy } from './support/tcp-proxy.ts';

/** What takes longer is broken; most take a moment. */
jest.setTimeout(120_000);

const namespace = 'thousand';

let server: ApiServer;
let admin: Admin;
let network: TcpProxy;
let rig: DiscoveryRig;

beforeAll(async () => {
  server = await startApiServer();
  admin = createAdmin(server);
  network = await startTcpProxy(server.port);
  await admin.namespace(namespace);
  await createReadyPods(admin, namespace, numberedPods(0, 1000));
  rig = await startDiscovery({
    kubeconfig: await server.kubeconfig('admin', network.url),
    sources: [{ kind: 'pods', namespace, labelSelector: 'app=vllm', port: 8000, tls: false }],
  });
});

afterAll(async () => {
  await rig.stop();
  await network.stop();
  await admin.close();
  await server.stop();
});

const ids = (pods: readonly NumberedPod[]): string[] => pods.map(({ ip }) => endpointId(ip, 8000));

it('a thousand pods are listed at once', async () => {
  await rig.becomes(...ids(numberedPods(0, 1000)));
  expect(rig.published).toHaveLength(1);
});

it('a thousand pods are followed one by one', async () => {
  await rig.once(() => rig.watches > 0);
  await forEach(numberedPods(0, 200), ({ name }) => terminatePod(admin, namespace, name));
  await rig.becomes(...ids(numberedPods(200, 1000)));
  await createReadyPods(admin, namespace, numberedPods(1000, 1200));
  await rig.becomes(...ids(numberedPods(200, 1200)));
  expect(rig.status()[0]!.watches[0]!.lists).toBe(1);
});

it('hundreds that are lost and found while the watch is down are right at once when it is back', async () => {
  network.sever();
  await rig.problem(/./);
  await forEach(numberedPods(200, 500), ({ name }) => removePod(admin, namespace, name));
  await createReadyPods(admin, namespace, numberedPods(1200, 1400));
  const before = rig.published.length;
  network.mend();
  await rig.becomes(...ids(numberedPods(500, 1400)));
  expect(rig.published).toHaveLength(before + 1);
  await rig.well();
});
