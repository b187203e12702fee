/** Who Sluice is to the API server, and how the API server proves who it is. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { inClusterCredentials, isInCluster, serviceAccountFolder } from './in-cluster.ts';
import { kubeconfigCredentials } from './kubeconfig.ts';

/** Options of the TLS connection, as Node takes them. */
export type KubeTls = Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'servername' | 'rejectUnauthorized'>;

/** What one request needs. */
export interface KubeIdentity {
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: KubeTls;
}

export interface KubeCredentials {
  /** URL of the API server, perhaps with a path, without a slash at its end. */
  readonly server: string;
  /** The namespace that is meant where none is named. */
  readonly namespace: string;
  /** For the next request: files are read and tokens renewed as needed. Rejects where they cannot be had. */
  identity(): Promise<KubeIdentity>;
  /** The API server did not accept them: nothing that is remembered is to be used again. */
  refused(): void;
}

export interface CredentialsOptions {
  /** Path of a kubeconfig; absent: the first of `KUBECONFIG`, the pod's service account and `~/.kube/config`. */
  readonly kubeconfig?: string | undefined;
  /** The kubeconfig's context; absent: its current one. */
  readonly context?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where a pod finds its service account. Default: where Kubernetes mounts it. */
  readonly serviceAccount?: string;
}

/**
 * Finds the credentials.
 *
 * @throws Error that says what was looked for, or what is wrong with the kubeconfig.
 */
export async function findCredentials(options: CredentialsOptions): Promise<KubeCredentials> {
  const { kubeconfig, context, env, serviceAccount = serviceAccountFolder } = options;
  if (kubeconfig !== undefined) return kubeconfigCredentials([kubeconfig], context);
  const listed = (env['KUBECONFIG'] ?? '').split(path.delimiter).filter((file) => file !== '');
  if (listed.length > 0) return kubeconfigCredentials(listed, context);
  if (isInCluster(env, serviceAccount)) return inClusterCredentials(env, serviceAccount);
  const ofUser = path.join(env['HOME'] ?? homedir(), '.kube', 'config');
  if (existsSync(ofUser)) return kubeconfigCredentials([ofUser], context);
  throw new Error(
    `Cannot find a Kubernetes API server: KUBECONFIG is not set, "${serviceAccount}" holds no service account, and ` +
      `there is no "${ofUser}"; name a kubeconfig, or run Sluice in a pod that mounts its service account's token`,
  );
}
