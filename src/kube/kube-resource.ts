/** What is listed and watched: a kind of object in a namespace, or some of them. */

export interface KubeResource {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  /** As in paths and in RBAC rules, e.g. `pods`. */
  readonly plural: string;
  readonly namespace: string;
  /** Only objects with these labels; empty or absent means all. */
  readonly labelSelector?: string;
  /** Only the object of this name. RBAC rules may then be for this name alone. */
  readonly name?: string;
}

export type KubeVerb = 'list' | 'watch';

/** Where the API server has it, below the server's own URL. */
export function resourcePath({ group, version, plural, namespace }: KubeResource): string {
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  return `${root}/namespaces/${encodeURIComponent(namespace)}/${plural}`;
}

/** The parameters that choose objects. */
export function selectionOf({ labelSelector = '', name }: KubeResource): Readonly<Record<string, string>> {
  return {
    ...(labelSelector === '' ? {} : { labelSelector }),
    ...(name === undefined ? {} : { fieldSelector: `metadata.name=${name}` }),
  };
}

/** As RBAC rules and `kubectl` name it: `pods`, `inferencepools.inference.networking.k8s.io`. */
export function resourceName({ group, plural }: KubeResource): string {
  return group === '' ? plural : `${plural}.${group}`;
}

/** For sentences: `pods with "app=vllm" in namespace "default"`. */
export function resourceText(resource: KubeResource): string {
  const { labelSelector = '', name, namespace } = resource;
  const named = name === undefined ? '' : ` "${name}"`;
  const labelled = labelSelector === '' ? '' : ` with "${labelSelector}"`;
  return `${resourceName(resource)}${named}${labelled} in namespace "${namespace}"`;
}
