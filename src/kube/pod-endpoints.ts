/** From pods to the addresses of the engines in them. */
import type { FoundEngines } from './engine-addresses.ts';
import type { KubeObject } from './kube-object.ts';

export interface Pod extends KubeObject {
  readonly spec?: {
    readonly containers?: readonly Container[];
    readonly initContainers?: readonly Container[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

interface Container {
  readonly name: string;
  /** `Always` makes a sidecar of an init container. */
  readonly restartPolicy?: string;
  readonly ports?: readonly {
    readonly name?: string;
    readonly containerPort: number;
    readonly protocol?: string;
  }[];
}

export interface EnginePort {
  /** Numbers, each of them an engine; or the name of a container's port. */
  readonly port: string | readonly number[];
  /** The engine's container: pods without it are left out, and a name is looked for in its ports alone. */
  readonly container?: string | undefined;
}

/**
 * Where new requests may go: the pod runs, is ready, has an address and is not about to end. Undefined for any other pod,
 * since it needs no word: its state will change.
 */
export function podEndpoints(pod: Pod, { port, container }: EnginePort): FoundEngines | undefined {
  const address = pod.status?.podIP ?? '';
  if (address === '' || !isReady(pod)) return undefined;
  const containers = engineContainers(pod).filter(
    ({ name }) => container === undefined || name === container,
  );
  if (container !== undefined && containers.length === 0) return leftOut(pod, `no container "${container}"`);
  if (typeof port !== 'string')
    return { addresses: port.map((number) => ({ address, port: number })), leftOut: undefined };
  const named = containers
    .flatMap(({ ports = [] }) => ports)
    .find(({ name, protocol = 'TCP' }) => name === port && protocol === 'TCP');
  if (named === undefined) {
    const where = container === undefined ? '' : ` in container "${container}"`;
    return leftOut(pod, `no TCP port named "${port}"${where}`);
  }
  return { addresses: [{ address, port: named.containerPort }], leftOut: undefined };
}

function isReady({ metadata, status }: Pod): boolean {
  return (
    metadata.deletionTimestamp === undefined &&
    status?.phase === 'Running' &&
    status.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true
  );
}

function engineContainers({ spec }: Pod): readonly Container[] {
  const sidecars = spec?.initContainers?.filter(({ restartPolicy }) => restartPolicy === 'Always') ?? [];
  return [...(spec?.containers ?? []), ...sidecars];
}

function leftOut({ metadata }: Pod, lack: string): FoundEngines {
  return { addresses: [], leftOut: `pod "${metadata.name}" has ${lack}` };
}
