/** A real API server with its etcd, on free ports of 127.0.0.1. */
import { generateKeyPairSync } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { freePort } from '../../support/free-port.ts';
import { componentPath } from './components.ts';
import { startServer, type Server } from './processes.ts';

/** Callers that the API server knows, with their tokens; all but `admin` may do nothing until RBAC says so. */
export const users = ['admin', 'reader', 'lister', 'nobody'] as const;

export type User = (typeof users)[number];

export interface ApiServer {
  readonly port: number;
  readonly url: string;
  /** PEM of the authority to trust. */
  readonly ca: string;
  readonly caFile: string;
  /** A folder that is removed at the end. */
  readonly folder: string;
  readonly etcdUrl: string;
  tokenOf(user: User): string;
  /** Writes a kubeconfig for a user. `url` may be that of a proxy in front. */
  kubeconfig(user: User, url?: string): Promise<string>;
  /** SIGKILL to the API server alone; resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again, on the same port and the same etcd; resolves when it is ready. */
  restart(): Promise<void>;
  /** SIGSTOP: connections stay, nobody answers. */
  suspend(): void;
  /** SIGCONT. */
  resume(): void;
  /** Ends everything that was started, and removes its files. */
  stop(): Promise<void>;
}

const readyWithinMs = 60_000;
const askAgainMs = 50;

/** Starts both; resolves when the API server is ready. */
export async function startApiServer(): Promise<ApiServer> {
  const etcdBinary = componentPath('etcd');
  const apiServerBinary = componentPath('kube-apiserver');
  const folder = await mkdtemp(path.join(tmpdir(), 'sluice-kubernetes-'));
  const [clientPort, peerPort, port] = [await freePort(), await freePort(), await freePort()];
  const etcdUrl = `http://127.0.0.1:${clientPort}`;
  const peerUrl = `http://127.0.0.1:${peerPort}`;
  const tokenOf = (user: User): string => `${user}-token`;
  const inFolder = (name: string): string => path.join(folder, name);

  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  await writeFile(inFolder('service-account.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }));
  const tokens = users.map(
    (user) => `${tokenOf(user)},${user},${user}${user === 'admin' ? ',system:masters' : ''}`,
  );
  await writeFile(inFolder('tokens.csv'), `${tokens.join('\n')}\n`);

  const etcd = startServer(etcdBinary, [
    ...['--name', 'test', '--data-dir', inFolder('etcd'), '--unsafe-no-fsync', '--log-level', 'error'],
    ...['--listen-client-urls', etcdUrl, '--advertise-client-urls', etcdUrl],
    ...['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl],
    ...['--initial-cluster', `test=${peerUrl}`],
  ]);
  let server: Server | undefined;
  let ca = '';
  const url = `https://127.0.0.1:${port}`;
  const caFile = inFolder('apiserver.crt');

  async function start(): Promise<void> {
    server = startServer(apiServerBinary, [
      ...['--etcd-servers', etcdUrl, '--cert-dir', folder],
      ...['--bind-address', '127.0.0.1', '--secure-port', String(port)],
      ...['--service-cluster-ip-range', '10.96.0.0/16'],
      ...['--service-account-key-file', inFolder('service-account.key')],
      ...['--service-account-signing-key-file', inFolder('service-account.key')],
      ...['--service-account-issuer', 'https://kubernetes.default.svc'],
      ...['--token-auth-file', inFolder('tokens.csv'), '--authorization-mode', 'RBAC'],
      ...['--disable-admission-plugins', 'ServiceAccount'],
    ]);
    await ready(server);
  }

  async function ready(started: Server): Promise<void> {
    const over = new AbortController();
    void started.exited.then(() => over.abort(new Error('it ended')));
    const giveUp = setTimeout(() => over.abort(new Error('it is not ready')), readyWithinMs);
    try {
      while (!(await isServing())) {
        over.signal.throwIfAborted();
        await pause(askAgainMs);
      }
    } catch (cause) {
      throw new Error(`Cannot start the API server: ${String(cause)}:\n${started.output}`, { cause });
    } finally {
      clearTimeout(giveUp);
    }
  }

  async function isServing(): Promise<boolean> {
    if (!existsSync(caFile)) return false;
    ca = await readFile(caFile, 'utf8');
    return isReady(url, tokenOf('admin'), ca);
  }

  async function stop(): Promise<void> {
    await Promise.all([server?.kill(), etcd.kill()]);
    await rm(folder, { recursive: true, force: true });
  }

  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    port,
    url,
    ca,
    caFile,
    folder,
    etcdUrl,
    tokenOf,
    async kubeconfig(user, at = url) {
      const file = inFolder(`${user}-${new URL(at).port}.kubeconfig`);
      const name = 'test';
      const config = {
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': name,
        clusters: [{ name, cluster: { server: at, 'certificate-authority': caFile } }],
        users: [{ name, user: { token: tokenOf(user) } }],
        contexts: [{ name, context: { cluster: name, user: name, namespace: 'default' } }],
      };
      await writeFile(file, JSON.stringify(config));
      return file;
    },
    async kill() {
      await server?.kill();
    },
    restart: start,
    suspend: () => server?.signal('SIGSTOP'),
    resume: () => server?.signal('SIGCONT'),
    stop,
  };
}

async function isReady(url: string, token: string, ca: string): Promise<boolean> {
  const dispatcher = new Agent({ connect: { ca, timeout: 2000 } });
  try {
    const { statusCode, body } = await request(`${url}/readyz`, {
      headers: { authorization: `Bearer ${token}` },
      dispatcher,
      headersTimeout: 2000,
    });
    await body.dump();
    return statusCode === 200;
  } catch {
    return false;
  } finally {
    await dispatcher.destroy();
  }
}
