/** The credentials of a pod: its service account. */
import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import path from 'node:path';
import type { KubeCredentials } from './credentials.ts';

/** Where Kubernetes mounts the service account. */
export const serviceAccountFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

type Environment = Readonly<Record<string, string | undefined>>;

/** Whether this is a pod that may speak to its API server. */
export function isInCluster(env: Environment, folder: string): boolean {
  return (env['KUBERNETES_SERVICE_HOST'] ?? '') !== '' && existsSync(path.join(folder, 'token'));
}

/** Token and authority are read for every request: Kubernetes renews the files, the token about every hour. */
export function inClusterCredentials(env: Environment, folder: string): KubeCredentials {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443';
  const read = async (name: string): Promise<string> =>
    (await readFile(path.join(folder, name), 'utf8')).trim();
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    namespace: ownNamespace(folder),
    async identity() {
      const [token, ca] = await Promise.all([read('token'), read('ca.crt')]);
      return { headers: { authorization: `Bearer ${token}` }, tls: { ca } };
    },
    refused: () => undefined,
  };
}

function ownNamespace(folder: string): string {
  const file = path.join(folder, 'namespace');
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : 'default';
}
