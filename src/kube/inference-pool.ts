/** From an InferencePool to the pods and the ports that it means. */
import type { KubeObject } from './kube-object.ts';

export interface InferencePool extends KubeObject {
  readonly spec: {
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly targetPorts: readonly { readonly number: number }[];
  };
}

/** What is kept of a pool. */
export interface PoolMembers {
  readonly labelSelector: string;
  /** One to eight; each of them is an engine in every pod. */
  readonly ports: readonly number[];
}

/** Sorted, so that a pool that is only written in another order means no new watch. */
export function poolMembers({ spec: { selector, targetPorts } }: InferencePool): PoolMembers {
  const labels = Object.entries(selector.matchLabels).map(([name, value]) => `${name}=${value}`);
  const ports = targetPorts.map(({ number }) => number);
  return { labelSelector: labels.sort().join(','), ports: ports.sort((a, b) => a - b) };
}
