/** The credentials of a kubeconfig: certificates, tokens, and programs that give them. */
import type { KubeConfig } from '@kubernetes/client-node';
import type { RequestOptions } from 'node:https';
import type { KubeCredentials, KubeIdentity } from './credentials.ts';
import { messageOf } from './kube-error.ts';

/**
 * Reads kubeconfig files as one: each name may be in one of them only, and the first says which context is current. The
 * library is loaded here and not at the start, since it takes 90 MB, which a pod with a service account does not need.
 *
 * @throws Error where a file cannot be read, or the context is not in it.
 */
export async function kubeconfigCredentials(
  files: readonly string[],
  context: string | undefined,
): Promise<KubeCredentials> {
  const shown = files.join(', ');
  const { KubeConfig } = await import('@kubernetes/client-node');

  function load(): KubeConfig {
    const [first, ...others] = files.map((file) => {
      const config = new KubeConfig();
      config.loadFromFile(file);
      return config;
    });
    const config = first!;
    for (const other of others) config.mergeConfig(other, true);
    if (context !== undefined) config.setCurrentContext(context);
    return config;
  }

  let config: KubeConfig;
  try {
    config = load();
  } catch (cause) {
    throw new Error(`Cannot use the kubeconfig "${shown}": ${messageOf(cause)}`, { cause });
  }
  const cluster = config.getCurrentCluster();
  const chosen = config.getContextObject(config.getCurrentContext());
  if (cluster === null || chosen === null) {
    const known = config.getContexts().map(({ name }) => name);
    throw new Error(
      `Cannot use the context "${context ?? config.getCurrentContext()}" of the kubeconfig "${shown}": ` +
        `it is not complete in it; there are ${known.join(', ') || 'none'}`,
    );
  }
  if (cluster.proxyUrl !== undefined) {
    throw new Error(
      `Cannot use the kubeconfig "${shown}": Sluice does not speak to API servers by a proxy-url`,
    );
  }
  let current: KubeConfig | undefined = config;
  let pending: Promise<KubeIdentity> | undefined;

  async function identify(): Promise<KubeIdentity> {
    current ??= load();
    return identityOf(current);
  }

  return {
    server: cluster.server,
    namespace: chosen.namespace ?? 'default',
    // One at a time: a program that asks a person must not be started twice, nor one that hangs again and again.
    identity: () =>
      (pending ??= identify().finally(() => {
        pending = undefined;
      })),
    refused() {
      current = undefined;
    },
  };
}

/** The library fills in options of an HTTPS request. */
async function identityOf(config: KubeConfig): Promise<KubeIdentity> {
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  const headers = Object.entries(options.headers ?? {}).map(([name, value]) => [
    name.toLowerCase(),
    String(value),
  ]);
  if (typeof options.auth === 'string') {
    headers.push(['authorization', `Basic ${Buffer.from(options.auth).toString('base64')}`]);
  }
  const { ca, cert, key, servername, rejectUnauthorized } = options;
  const tls = Object.entries({ ca, cert, key, servername, rejectUnauthorized });
  return {
    headers: Object.fromEntries(headers) as Record<string, string>,
    tls: Object.fromEntries(tls.filter(([, value]) => value !== undefined)),
  };
}
