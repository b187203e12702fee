/** From the configuration to the sources that are followed. */
import type { KubernetesSource } from './kubernetes.ts';

/** As the configuration has it. */
export interface KubernetesSettings {
  readonly pods: readonly {
    /** Empty: Sluice's own. */
    readonly namespaces: readonly string[];
    /** Empty: all pods. */
    readonly labelSelectors: readonly string[];
    readonly port: number | string;
    readonly container?: string | undefined;
    readonly tls: boolean;
  }[];
  readonly inferencePools: readonly {
    readonly namespace?: string | undefined;
    readonly name: string;
    readonly tls: boolean;
  }[];
  readonly services: readonly {
    readonly namespace?: string | undefined;
    readonly name: string;
    readonly port?: number | string | undefined;
    readonly tls: boolean;
  }[];
}

/** One source for every namespace and selector. */
export function kubernetesSources(
  { pods, inferencePools, services }: KubernetesSettings,
  ownNamespace: string,
): readonly KubernetesSource[] {
  return [
    ...pods.flatMap(({ namespaces, labelSelectors, ...rest }) =>
      orElse(namespaces, ownNamespace).flatMap((namespace) =>
        orElse(labelSelectors, '').map((labelSelector) => ({
          kind: 'pods' as const,
          ...rest,
          namespace,
          labelSelector,
        })),
      ),
    ),
    ...inferencePools.map(({ namespace = ownNamespace, ...rest }) => ({
      kind: 'pool' as const,
      ...rest,
      namespace,
    })),
    ...services.map(({ namespace = ownNamespace, ...rest }) => ({
      kind: 'service' as const,
      ...rest,
      namespace,
    })),
  ];
}

function orElse(list: readonly string[], fallback: string): readonly string[] {
  return list.length === 0 ? [fallback] : list;
}
