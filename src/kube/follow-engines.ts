/** Follows where engines are: the pods of a selector, of an InferencePool, or the EndpointSlices of a Service. */
import { serviceEngines, sliceEngines, type EndpointSlice, type SliceEngines } from './endpoint-slices.ts';
import { allEngines, type EngineReport, type FoundEngines } from './engine-addresses.ts';
import { poolMembers, type InferencePool, type PoolMembers } from './inference-pool.ts';
import { podEndpoints, type EnginePort, type Pod } from './pod-endpoints.ts';
import type { KubeObject } from './kube-object.ts';
import {
  createReflector,
  type ReflectorDeps,
  type ReflectorOptions,
  type ReflectorStatus,
} from './reflector.ts';

/** A source of engines, in one namespace. */
export type EngineSource =
  | {
      readonly kind: 'pods';
      readonly namespace: string;
      /** Empty: all pods of the namespace. */
      readonly labelSelector: string;
      /** Its number, or the name of a container's port. */
      readonly port: number | string;
      /** Pods without this container are left out, and a port's name is looked for in it alone. */
      readonly container?: string | undefined;
    }
  | { readonly kind: 'pool'; readonly namespace: string; readonly name: string }
  | {
      readonly kind: 'service';
      readonly namespace: string;
      readonly name: string;
      /** Its name, or its number at the pods; undefined: the only one. */
      readonly port?: number | string | undefined;
    };

export interface EngineFollower {
  /** Nothing is reported after this. */
  stop(): void;
  /** Of every watch that it takes. */
  watches(): readonly ReflectorStatus[];
}

export interface FollowDeps extends ReflectorDeps {
  /** Without a sign of life for so long, a connection to the API server is given up. Default 30,000. */
  readonly silenceTimeoutMs?: number | undefined;
}

/** Called whenever something of the report changed; `addresses` is the same list where they did not. Must not throw. */
export type OnEngines = (report: EngineReport) => void;

const none: FoundEngines = { addresses: [], leftOut: undefined };

/** Follows a source until it is stopped. Never fails: problems are in the reports. */
export function followEngines(deps: FollowDeps, source: EngineSource, onReport: OnEngines): EngineFollower {
  switch (source.kind) {
    case 'pods': {
      const { port, container } = source;
      return followPods(
        deps,
        source,
        { port: typeof port === 'number' ? [port] : port, container },
        onReport,
      );
    }
    case 'pool':
      return followPool(deps, source, onReport);
    case 'service':
      return followService(deps, source, onReport);
  }
}

interface PodChoice {
  readonly namespace: string;
  readonly labelSelector: string;
}

function followPods(
  deps: FollowDeps,
  { namespace, labelSelector }: PodChoice,
  port: EnginePort,
  onReport: OnEngines,
): EngineFollower {
  return followObjects<Pod, FoundEngines>(
    deps,
    {
      resource: { group: '', version: 'v1', plural: 'pods', namespace, labelSelector },
      project: (pod) => podEndpoints(pod, port),
      find: (items) => allEngines(items.values()),
    },
    onReport,
  );
}

/** While the pool's pods are looked for anew, because it changed, the last known addresses stay. */
function followPool(
  deps: FollowDeps,
  { namespace, name }: Extract<EngineSource, { kind: 'pool' }>,
  onReport: OnEngines,
): EngineFollower {
  const { silenceTimeoutMs, ...reflectorDeps } = deps;
  let exists = false;
  let pods: EngineFollower | undefined;
  let ofPods: EngineReport = { ...none, listed: false, problem: undefined };
  const pool = createReflector<InferencePool, PoolMembers>(reflectorDeps, {
    resource: {
      group: 'inference.networking.k8s.io',
      version: 'v1',
      plural: 'inferencepools',
      namespace,
      name,
    },
    project: poolMembers,
    onItems: (items) => followMembers(items.get(name)),
    onProblem: report,
    silenceTimeoutMs,
  });

  function followMembers(members: PoolMembers | undefined): void {
    pods?.stop();
    exists = members !== undefined;
    if (members === undefined) {
      pods = undefined;
      ofPods = { ...none, listed: false, problem: undefined };
    } else {
      const { labelSelector, ports } = members;
      pods = followPods(deps, { namespace, labelSelector }, { port: ports }, (next) => {
        ofPods = next.listed ? next : { ...ofPods, problem: next.problem };
        report();
      });
    }
    report();
  }

  function report(): void {
    const status = pool.status();
    const missing =
      status.listed && !exists
        ? `Cannot find the InferencePool "${name}" in namespace "${namespace}": there is none of this name`
        : undefined;
    onReport({
      ...ofPods,
      listed: status.listed && (!exists || ofPods.listed),
      problem: status.problem ?? missing ?? ofPods.problem,
    });
  }

  pool.start();
  return {
    stop() {
      pool.stop();
      pods?.stop();
    },
    watches: () => [pool.status(), ...(pods?.watches() ?? [])],
  };
}

function followService(
  deps: FollowDeps,
  { namespace, name, port }: Extract<EngineSource, { kind: 'service' }>,
  onReport: OnEngines,
): EngineFollower {
  const without = `Service "${name}" has no EndpointSlices: is there such a Service, and does it select pods?`;
  return followObjects<EndpointSlice, SliceEngines>(
    deps,
    {
      resource: {
        group: 'discovery.k8s.io',
        version: 'v1',
        plural: 'endpointslices',
        namespace,
        labelSelector: `kubernetes.io/service-name=${name}`,
      },
      project: (slice) => sliceEngines(slice, port),
      find: (items) => (items.size === 0 ? { ...none, leftOut: without } : serviceEngines(items.values())),
    },
    onReport,
  );
}

/** Objects, and what they say together of where engines are. */
interface EngineObjects<O extends KubeObject, T> extends Pick<
  ReflectorOptions<O, T>,
  'resource' | 'project'
> {
  readonly find: (items: ReadonlyMap<string, T>) => FoundEngines;
}

function followObjects<O extends KubeObject, T>(
  { silenceTimeoutMs, ...deps }: FollowDeps,
  { resource, project, find }: EngineObjects<O, T>,
  onReport: OnEngines,
): EngineFollower {
  let found = none;
  const objects = createReflector<O, T>(deps, {
    resource,
    project,
    onItems(items) {
      found = find(items);
      report();
    },
    onProblem: report,
    silenceTimeoutMs,
  });

  function report(): void {
    const { listed, problem } = objects.status();
    onReport({ ...found, listed, problem });
  }

  objects.start();
  return { stop: () => objects.stop(), watches: () => [objects.status()] };
}
