/** Who Sluice is to a real API server, and what happens when that changes. */
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { findCredentials, type KubeCredentials } from '../../src/kube/credentials.ts';
import { createKubeClient, type KubeClient } from '../../src/kube/kube-client.ts';
import { createReflector, type Reflector } from '../../src/kube/reflector.ts';
import { systemClock as clock } from '../../src/lib/clock.ts';
import { startApiServer, type ApiServer } from './support/api-server.ts';

/** What takes longer is broken; most take a moment. */
jest.setTimeout(120_000);

let server: ApiServer;
let client: KubeClient | undefined;
let reflector: Reflector | undefined;

beforeAll(async () => {
  server = await startApiServer();
});

afterEach(async () => {
  reflector?.stop();
  await client?.close();
});

afterAll(() => server.stop());

/** Follows pods; resolves with the problems up to the first list. */
function untilListed(
  credentials: KubeCredentials,
  onProblem: (problem: string) => void = () => undefined,
): Promise<string[]> {
  const problems: string[] = [];
  const opened = createKubeClient({ credentials, userAgent: 'sluice/test' });
  client = opened;
  return new Promise((resolve) => {
    reflector = createReflector(
      { client: opened, clock, random: Math.random },
      {
        resource: { group: '', version: 'v1', plural: 'pods', namespace: opened.namespace },
        project: () => undefined,
        onItems: () => resolve(problems),
        onProblem(problem) {
          if (problem === undefined) return;
          problems.push(problem);
          onProblem(problem);
        },
      },
    );
    reflector.start();
  });
}

describe('a service account', () => {
  it('gets in with the token that Kubernetes has renewed', async () => {
    const folder = path.join(server.folder, 'service-account');
    await mkdir(folder);
    await writeFile(path.join(folder, 'token'), 'too old');
    await writeFile(path.join(folder, 'ca.crt'), server.ca);
    await writeFile(path.join(folder, 'namespace'), 'kube-system');
    const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(server.port) };
    const credentials = await findCredentials({ env, serviceAccount: folder });
    const renew = (): void => void writeFile(path.join(folder, 'token'), server.tokenOf('admin'));
    expect(await untilListed(credentials, renew)).toEqual([
      'Cannot list pods in namespace "kube-system": the API server does not accept the credentials: Unauthorized; ' +
        "check the service account's token, or the kubeconfig",
    ]);
  });
});

describe('a kubeconfig', () => {
  async function withUser(user: object): Promise<KubeCredentials> {
    const file = await server.kubeconfig('nobody');
    const config = JSON.parse(await readFile(file, 'utf8')) as { users: { name: string; user: object }[] };
    await writeFile(
      file,
      JSON.stringify({ ...config, users: config.users.map(({ name }) => ({ name, user })) }),
    );
    return findCredentials({ kubeconfig: file, env: {} });
  }

  it('gets in with what its program says, once that is right', async () => {
    const tokenFile = path.join(server.folder, 'exec-token');
    await writeFile(tokenFile, 'wrong');
    const credential = '{"kind":"ExecCredential","status":{"token":"%s"}}';
    const args = ['-c', `printf '${credential}' "$(cat "${tokenFile}")"`];
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: 'sh', args };
    const credentials = await withUser({ exec });
    const problems = await untilListed(credentials, () => void writeFile(tokenFile, server.tokenOf('admin')));
    expect(problems).toEqual([expect.stringContaining('does not accept the credentials')]);
  });

  it('whose program fails is told, and asked again', async () => {
    const marker = path.join(server.folder, 'logged-in');
    const credential = `{"kind":"ExecCredential","status":{"token":"${server.tokenOf('admin')}"}}`;
    const args = ['-c', `test -e "${marker}" || { echo "please log in" >&2; exit 1; }; echo '${credential}'`];
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: 'sh', args };
    const problems = await untilListed(await withUser({ exec }), () => void writeFile(marker, ''));
    expect(problems).toEqual([
      'Cannot list pods in namespace "default": the credentials cannot be had: please log in\n',
    ]);
  });

  it('does not send its token to a server that another authority vouches for', async () => {
    const file = await server.kubeconfig('admin');
    const config = JSON.parse(await readFile(file, 'utf8')) as { clusters: { cluster: object }[] };
    const [cluster] = config.clusters;
    cluster!.cluster = { server: server.url };
    await writeFile(file, JSON.stringify(config));
    const credentials = await findCredentials({ kubeconfig: file, env: {} });
    const { promise, resolve } = Promise.withResolvers<string>();
    void untilListed(credentials, resolve);
    expect(await promise).toMatch(/does not answer: (self-signed certificate|unable to verify)/);
  });
});
