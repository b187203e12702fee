/** Kubernetes discovery as Sluice puts it together, and what it published. */
import {
  createKubernetesDiscovery,
  type KubernetesSource,
  type SourceStatus,
} from '../../../src/discovery/kubernetes.ts';
import type { EndpointTarget } from '../../../src/endpoints/endpoint.ts';
import { findCredentials } from '../../../src/kube/credentials.ts';
import { followEngines } from '../../../src/kube/follow-engines.ts';
import { createKubeClient, type KubeClient } from '../../../src/kube/kube-client.ts';
import { systemClock as clock } from '../../../src/lib/clock.ts';

export interface RigOptions {
  readonly kubeconfig: string;
  readonly sources: readonly KubernetesSource[];
  readonly silenceTimeoutMs?: number;
  /** Stands between the reflectors and the API server. */
  readonly wrap?: (client: KubeClient) => KubeClient;
  readonly onTargets?: (targets: readonly EndpointTarget[]) => void;
}

export interface DiscoveryRig {
  /** Sorted ids of the targets now. */
  readonly ids: readonly string[];
  /** Every membership that was published, in order; sorted ids. */
  readonly published: readonly (readonly string[])[];
  /** Every change of a source that was told. */
  readonly changes: readonly SourceStatus[];
  /** How many watches the API server has accepted so far. */
  readonly watches: number;
  status(): readonly SourceStatus[];
  update(sources: readonly KubernetesSource[]): void;
  /** Resolves once something that discovery tells makes the condition true; rejects after a minute. */
  once(holds: () => boolean): Promise<void>;
  /** Resolves once the targets are these, in any order. */
  becomes(...ids: readonly string[]): Promise<void>;
  /** Resolves with the first problem of a source that matches, from now on or now. */
  problem(pattern: RegExp): Promise<string>;
  /** Resolves once no source has a problem. */
  well(): Promise<void>;
  stop(): Promise<void>;
}

const giveUpAfterMs = 60_000;
const asIs = (client: KubeClient): KubeClient => client;

/** Starts to discover. */
export async function startDiscovery(options: RigOptions): Promise<DiscoveryRig> {
  const { kubeconfig, sources, silenceTimeoutMs, wrap = asIs, onTargets } = options;
  const credentials = await findCredentials({ kubeconfig, env: {} });
  const client = createKubeClient({ credentials, userAgent: 'sluice/test' });
  const published: string[][] = [];
  const changes: SourceStatus[] = [];
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const check of [...waiting]) check();
  };
  let watches = 0;
  const wrapped = wrap(client);
  const observed: KubeClient = {
    ...wrapped,
    async *watch(...args) {
      let isFirst = true;
      for await (const batch of wrapped.watch<never>(...args)) {
        if (isFirst) watches++;
        yield batch;
        if (isFirst) wake();
        isFirst = false;
      }
    },
  };
  const deps = { client: observed, clock, random: Math.random, silenceTimeoutMs };
  const discovery = createKubernetesDiscovery({
    sources,
    follow: (source, onReport) => followEngines(deps, source, onReport),
    onTargets(targets) {
      published.push(targets.map(({ id }) => id).sort());
      onTargets?.(targets);
      wake();
    },
    onSourceChange(status) {
      changes.push(status);
      wake();
    },
  });
  const ids = (): readonly string[] => published.at(-1) ?? [];

  function once(holds: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = setTimeout(() => {
        waiting.delete(check);
        const state = { ids: ids(), sources: discovery.status() };
        reject(
          new Error(`Gave up waiting until ${holds.toString()}; now ${JSON.stringify(state, undefined, 2)}`),
        );
      }, giveUpAfterMs);
      function check(): void {
        if (!holds()) return;
        clearTimeout(giveUp);
        waiting.delete(check);
        resolve();
      }
      waiting.add(check);
      check();
    });
  }

  discovery.start();
  return {
    get ids() {
      return ids();
    },
    published,
    changes,
    get watches() {
      return watches;
    },
    status: () => discovery.status(),
    update: (next) => discovery.update(next),
    once,
    becomes: (...wanted) => once(() => ids().join(' ') === [...wanted].sort().join(' ')),
    async problem(pattern) {
      const find = (): string | undefined =>
        discovery
          .status()
          .flatMap(({ problem }) => problem ?? [])
          .find((problem) => pattern.test(problem));
      await once(() => find() !== undefined);
      return find()!;
    },
    well: () => once(() => discovery.status().every(({ problem }) => problem === undefined)),
    async stop() {
      discovery.stop();
      await client.close();
    },
  };
}
