import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { envoyBinary } from '../support/envoy.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { createAdmin, type Admin } from './support/admin.ts';
import { startApiServer, type ApiServer } from './support/api-server.ts';
import { componentPath } from './support/components.ts';
import { buildImage, type Image } from './support/image.ts';
import { kustomized, podOf } from './support/manifests.ts';
import { startPod, type PodProcesses } from './support/pod-processes.ts';
import { createReadyPod } from './support/pods.ts';

jest.setTimeout(300_000);

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../..');
const page = path.join(root, 'docs/kubernetes.md');

/** Commands that this machine cannot run, and who sees to it that they work. */
const elsewhere: Readonly<Record<string, string>> = {
  'docker build -t sluice:0.1.0 .': 'manifests-image.test.ts',
  'kind load docker-image sluice:0.1.0': 'a registry, or kind',
  'kubectl -n llm port-forward service/sluice 8001:80 &': 'a kubelet',
  'kubectl -n llm port-forward deployment/sluice 9090 &': 'a kubelet',
  'kubectl apply -k manifests/envoy-gateway/kubernetes': 'envoy-gateway.test.ts',
};

describe('docs/kubernetes.md, with a real API server; this test is the kubelet and the controllers', () => {
  let text: string;
  let server: ApiServer;
  let admin: Admin;
  let image: Image;
  let folder: string;
  let sluice: PodProcesses;
  let enginePort: number;
  const engines: PodProcesses[] = [];
  const done: string[] = [];

  beforeAll(async () => {
    text = await readFile(page, 'utf8');
    [server, image] = await Promise.all([startApiServer(), buildImage()]);
    admin = createAdmin(server);
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-docs-'));
    await cp(path.join(root, 'manifests'), path.join(folder, 'manifests'), { recursive: true });
    await mkdir(path.join(folder, 'bin'));
    await symlink(await envoyBinary(), path.join(folder, 'bin/envoy'));
    for (const name of ['kubectl', 'helm'] as const)
      await symlink(componentPath(name), path.join(folder, 'bin', name));
    enginePort = await freePort();
    await writeFiles();
  });

  afterAll(async () => {
    await sluice.remove();
    for (const engine of engines) await engine.remove();
    await admin.close();
    await server.stop();
    await image.remove();
    await rm(folder, { recursive: true, force: true });
  });

  /** The files that the page shows, by the name in their first line. */
  async function writeFiles(): Promise<void> {
    for (const [, name, content] of text.matchAll(/```yaml\n# (\S+\.yaml)\n([\s\S]*?)```/g)) {
      await mkdir(path.dirname(path.join(folder, name!)), { recursive: true });
      await writeFile(path.join(folder, name!), content!);
    }
    await cp(path.join(root, 'manifests/base/sluice.yaml'), path.join(folder, 'deploy/sluice.yaml'));
  }

  /** Every command of the page, in order. */
  function commands(): string[] {
    const blocks = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) =>
      block!.replace(/\\\n\s*/g, ''),
    );
    return blocks.flatMap((block) => block.split('\n')).filter((line) => line !== '');
  }

  /** Runs a command of the page, as it stands there. */
  async function shell(command: string): Promise<string> {
    expect(commands()).toContain(command);
    done.push(command);
    // No pod can be reached by the API server here: its port is.
    const local = command
      .replace('localhost:8001', () => `127.0.0.1:${sluice.port(8080)}`)
      .replace('localhost:9090', () => `127.0.0.1:${sluice.port(9090)}`)
      .replaceAll('helm template', 'helm template --kube-version 1.34.1');
    const { stdout } = await run('bash', ['-o', 'pipefail', '-c', local], {
      cwd: folder,
      env: {
        PATH: `${path.join(folder, 'bin')}:${image.path}`,
        HOME: folder,
        KUBECONFIG: await server.kubeconfig('admin'),
      },
    });
    return stdout;
  }

  /** What a kubelet does with a pod of the engines' Deployment, on an address of its own. */
  async function startEngine(number: number): Promise<void> {
    const address = `127.0.0.${number + 2}`;
    engines.push(
      await startPod(podOf(await kustomized('simulator')), {
        path: image.path,
        entrypoint: image.entrypoint,
        volumes: {},
        ports: { 8000: enginePort },
        host: address,
        edit: (word) => word.replaceAll('0.0.0.0', address),
      }),
    );
    await createReadyPod(admin, 'llm', `engines-${number}`, address, { labels: { app: 'vllm' } });
  }

  /** The same for Sluice, with the configuration and the rights that the API server has for it. */
  async function startSluice(): Promise<void> {
    const map = (await admin.read('/api/v1/namespaces/llm/configmaps/sluice')) as {
      data: Record<string, string>;
    };
    const config = map.data['sluice.yaml']!.replace('8000', String(enginePort));
    const bin = path.join(folder, 'bin');
    sluice = await startPod(podOf(await kustomized('base')), {
      path: `${bin}:${image.path}`,
      entrypoint: image.entrypoint,
      volumes: { config: { 'sluice.yaml': config } },
      env: { KUBECONFIG: await serviceAccount() },
      edit: (word) => word.replaceAll('0.0.0.0', '127.0.0.1').replace('pause=5', 'pause=0'),
    });
    await eventually(() => sluice.probe('sluice', 'readinessProbe'), 30_000);
  }

  /** A kubeconfig for what is mounted into pods. */
  async function serviceAccount(): Promise<string> {
    const { stdout: token } = await run(componentPath('kubectl'), [
      ...['--kubeconfig', await server.kubeconfig('admin')],
      ...['create', 'token', 'sluice', '--namespace', 'llm'],
    ]);
    const config = parse(await readFile(await server.kubeconfig('nobody'), 'utf8')) as {
      users: [{ user: object }];
      contexts: [{ context: { namespace: string } }];
    };
    config.users[0].user = { token: token.trim() };
    config.contexts[0].context.namespace = 'llm';
    const file = path.join(folder, 'service-account.kubeconfig');
    await writeFile(file, stringify(config));
    return file;
  }

  it('from an empty cluster to the first request', async () => {
    await shell('kubectl create namespace llm');
    await shell('kubectl apply -k manifests/simulator');
    await shell('kubectl apply -k manifests/base');
    for (const number of [0, 1, 2]) await startEngine(number);
    await startSluice();
    const deployment = '/apis/apps/v1/namespaces/llm/deployments/sluice';
    const { metadata } = (await admin.read(deployment)) as { metadata: { generation: number } };
    const counts = { replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1 };
    await admin.patch(`${deployment}/status`, {
      status: { observedGeneration: metadata.generation, ...counts },
    });
    expect(await shell('kubectl -n llm rollout status deployment/sluice')).toContain(
      'successfully rolled out',
    );

    const models = JSON.parse(await shell('curl -s localhost:8001/v1/models')) as { data: { id: string }[] };
    expect(models.data.map(({ id }) => id)).toEqual(['demo']);
    const ask = commands().find((command) => command.includes('/v1/chat/completions'))!;
    expect(JSON.parse(await shell(ask))).toMatchObject({ model: 'demo', usage: { completion_tokens: 20 } });

    const { endpoints } = JSON.parse(await shell('curl -s localhost:9090/debug/endpoints')) as {
      endpoints: { id: string }[];
    };
    expect(endpoints.map(({ id }) => id).sort()).toEqual(
      ['127.0.0.2', '127.0.0.3', '127.0.0.4'].map((address) => `${address}:${enginePort}`),
    );
    expect(await shell('curl -s localhost:9090/debug/decisions')).toContain('"demo"');
  });

  it('with kustomize', async () => {
    await admin.namespace('inference');
    expect(await shell('sluice check deploy/sluice.yaml')).toContain('deploy/sluice.yaml');
    expect(await shell('kubectl apply -k deploy')).toContain('deployment.apps/sluice created');
    const deployment = await admin.read('/apis/apps/v1/namespaces/inference/deployments/sluice');
    const { containers, initContainers } = podOf([deployment as never]);
    expect([...(initContainers ?? []), ...containers].map((container) => container.image)).toEqual([
      'registry.example/sluice:0.1.0',
      'registry.example/sluice:0.1.0',
      'envoyproxy/envoy:v1.40.0',
    ]);
  });

  it('with Helm', async () => {
    await run(componentPath('kubectl'), [
      ...['--kubeconfig', await server.kubeconfig('admin'), 'delete', '--wait=false', '-k'],
      path.join(folder, 'manifests/base'),
    ]);
    await shell('helm install sluice manifests/chart --namespace llm --create-namespace');
    for (const team of ['team-a', 'team-b']) await admin.namespace(team);
    const check = 'helm template sluice manifests/chart --namespace llm -f values.yaml | sluice check -';
    expect(await shell(check)).toContain('sluice.yaml');
    await shell('helm upgrade sluice manifests/chart --namespace llm -f values.yaml');
    const map = (await admin.read('/api/v1/namespaces/llm/configmaps/sluice')) as {
      data: Record<string, string>;
    };
    expect(parse(map.data['sluice.yaml']!)).toMatchObject({
      fairness: { enabled: true, windowSize: '10m', outputTokenWeight: 2.5 },
      auth: { issuer: 'https://issuer.example' },
      limits: { drainTimeout: '2m' },
    });
    await admin.read('/apis/rbac.authorization.k8s.io/v1/namespaces/team-a/roles/sluice');
  });

  it('has no other command', () => {
    expect([...done, ...Object.keys(elsewhere)].sort()).toEqual(commands().sort());
  });
});
