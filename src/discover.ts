/** The discovery that the configuration asks for: a list, or Kubernetes. */
import type { Config } from './config/schema.ts';
import { createKubernetesDiscovery, type FollowSource, type SourceStatus } from './discovery/kubernetes.ts';
import { kubernetesSources } from './discovery/kubernetes-sources.ts';
import { createStaticDiscovery, resolveBySystem, type NameStatus } from './discovery/static.ts';
import type { EndpointTarget } from './endpoints/endpoint.ts';
import { findCredentials } from './kube/credentials.ts';
import { followEngines } from './kube/follow-engines.ts';
import { createKubeClient } from './kube/kube-client.ts';
import type { Clock } from './lib/clock.ts';
import { configuredBackends } from './part-options.ts';

export interface DiscoverDeps {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** How Sluice calls itself, e.g. `sluice/1.0.0`. */
  readonly userAgent: string;
  readonly onTargets: (targets: readonly EndpointTarget[]) => void;
  readonly onNameChange: (status: NameStatus) => void;
  readonly onSourceChange: (status: SourceStatus) => void;
}

export interface Discover {
  start(): void;
  /**
   * Makes another configuration of the same type ready: the result follows it, and cannot fail.
   *
   * @throws Error where it has no engines; what is followed stays.
   */
  prepare(config: Config): () => void;
  /** What is followed in Kubernetes; empty where nothing is. */
  sources(): readonly SourceStatus[];
  stop(): Promise<void>;
}

/**
 * Puts it together; what is there only at a start, like the type and the API server, stays.
 *
 * @throws Error where there are no engines, or no API server can be found.
 */
export async function createDiscover(deps: DiscoverDeps, config: Config): Promise<Discover> {
  return config.discovery.type === 'kubernetes'
    ? discoverKubernetes(deps, config)
    : discoverList(deps, config);
}

function discoverList(deps: DiscoverDeps, config: Config): Discover {
  const discovery = createStaticDiscovery({ ...deps, resolve: resolveBySystem, ...listOptions(config) });
  return {
    start: () => discovery.start(),
    prepare(next) {
      const options = listOptions(next);
      return () => discovery.update(options);
    },
    sources: () => [],
    stop() {
      discovery.stop();
      return Promise.resolve();
    },
  };
}

function listOptions(
  config: Config,
): Pick<Parameters<typeof createStaticDiscovery>[0], 'backends' | 'dnsIntervalMs'> {
  return { backends: configuredBackends(config), dnsIntervalMs: config.discovery.dnsIntervalMs };
}

async function discoverKubernetes(deps: DiscoverDeps, config: Config): Promise<Discover> {
  const { clock, random, userAgent, onTargets, onSourceChange } = deps;
  const { kubeconfig, context, silenceTimeoutMs } = config.discovery.kubernetes ?? {};
  const credentials = await findCredentials({ kubeconfig, context, env: process.env });
  const client = createKubeClient({ credentials, userAgent });
  const follow: FollowSource = (source, onReport) =>
    followEngines({ client, clock, random, silenceTimeoutMs }, source, onReport);
  const sourcesOf = ({ discovery: { kubernetes } }: Config) =>
    kubernetes === undefined ? [] : kubernetesSources(kubernetes, client.namespace);
  const discovery = createKubernetesDiscovery({
    sources: sourcesOf(config),
    follow,
    onTargets,
    onSourceChange,
  });
  return {
    start: () => discovery.start(),
    prepare(next) {
      const sources = sourcesOf(next);
      return () => discovery.update(sources);
    },
    sources: () => discovery.status(),
    async stop() {
      discovery.stop();
      await client.close();
    },
  };
}
