/** Endpoints from Kubernetes: what several sources of engines report, as one membership. */
import { endpointId, type EndpointTarget } from '../endpoints/endpoint.ts';

/** Some pods of a namespace. */
export interface PodSource {
  readonly kind: 'pods';
  readonly namespace: string;
  /** Empty: all pods of the namespace. */
  readonly labelSelector: string;
  /** Its number, or the name of a container's port. */
  readonly port: number | string;
  /** The engine's container; absent: any. */
  readonly container?: string | undefined;
  readonly tls: boolean;
}

/** The pods of an InferencePool, at its target ports. */
export interface PoolSource {
  readonly kind: 'pool';
  readonly namespace: string;
  readonly name: string;
  readonly tls: boolean;
}

/** What is behind a Service. */
export interface ServiceSource {
  readonly kind: 'service';
  readonly namespace: string;
  readonly name: string;
  /** Its name, or its number at the pods; absent: the only one. */
  readonly port?: number | string | undefined;
  readonly tls: boolean;
}

export type KubernetesSource = PodSource | PoolSource | ServiceSource;

/** What a follower knows of a source. */
export interface SourceReport {
  /** The same list as before where nothing changed in it. */
  readonly addresses: readonly { readonly address: string; readonly port: number }[];
  /** Whether the API server ever told the whole of it. */
  readonly listed: boolean;
  /** Why the API server cannot be asked; the addresses are the last known ones then. */
  readonly problem: string | undefined;
  /** Why something that is ready cannot be used. */
  readonly leftOut: string | undefined;
}

/** One watch of the API server, for pages and metrics. */
export interface WatchStatus {
  /** What is watched, for people. */
  readonly resource: string;
  readonly listed: boolean;
  readonly problem: string | undefined;
  readonly objects: number;
  /** Whole lists, events and failures since the start; failures by kind. */
  readonly lists: number;
  readonly events: number;
  readonly failures: Readonly<Partial<Record<string, number>>>;
}

export interface SourceFollower {
  /** Nothing is reported after this. */
  stop(): void;
  watches(): readonly WatchStatus[];
}

/** Follows one source. Never fails: problems are in the reports, which come after it has returned. */
export type FollowSource = (
  source: KubernetesSource,
  onReport: (report: SourceReport) => void,
) => SourceFollower;

/** One source, for people. */
export interface SourceStatus {
  /** `pods with "app=vllm" in namespace "default"`. */
  readonly source: string;
  readonly endpoints: number;
  readonly listed: boolean;
  readonly problem: string | undefined;
  readonly leftOut: string | undefined;
  readonly watches: readonly WatchStatus[];
}

export interface KubernetesDiscoveryDeps {
  readonly sources: readonly KubernetesSource[];
  readonly follow: FollowSource;
  /** Called with the whole membership whenever it changed. */
  readonly onTargets: (targets: readonly EndpointTarget[]) => void;
  /** Called when what a source can or cannot do begins, changes or ends; not for each attempt. */
  readonly onSourceChange?: (status: SourceStatus) => void;
}

export interface KubernetesDiscovery {
  /** Never fails: a source that cannot be followed yet is tried again. */
  start(): void;
  stop(): void;
  /**
   * Follows other sources from now on. Those that stay keep what is known of them. Endpoints of those that are dropped
   * stay until all new ones were listed: a changed selector is no gap.
   */
  update(sources: readonly KubernetesSource[]): void;
  /** The sources that are configured. */
  status(): readonly SourceStatus[];
}

interface Followed {
  readonly source: KubernetesSource;
  readonly follower: SourceFollower;
  report: SourceReport;
  targets: readonly EndpointTarget[];
}

const nothingYet: SourceReport = { addresses: [], listed: false, problem: undefined, leftOut: undefined };

/** Creates the discovery. An endpoint that several sources report is one endpoint. */
export function createKubernetesDiscovery(deps: KubernetesDiscoveryDeps): KubernetesDiscovery {
  const { follow, onTargets, onSourceChange } = deps;
  let { sources } = deps;
  const followed = new Map<string, Followed>();
  /** Dropped, and still in use. */
  const leaving = new Map<string, Followed>();
  let running = false;

  function publish(): void {
    const targets = new Map<string, EndpointTarget>();
    for (const each of [...followed.values(), ...leaving.values()])
      for (const target of each.targets) targets.set(target.id, target);
    onTargets([...targets.values()]);
  }

  function add(source: KubernetesSource): Followed {
    const entry: Followed = {
      source,
      follower: follow(source, (report) => {
        const before = entry.report;
        entry.report = report;
        let isNews =
          report.addresses !== before.addresses && report.addresses.length + before.addresses.length > 0;
        if (isNews)
          entry.targets = report.addresses.map(({ address, port }) => toTarget(address, port, source.tls));
        if (report.listed && !before.listed) isNews = release() || isNews;
        if (isNews) publish();
        if (report.problem !== before.problem || report.leftOut !== before.leftOut)
          onSourceChange?.(statusOf(entry));
      }),
      report: nothingYet,
      targets: [],
    };
    return entry;
  }

  /** Lets dropped sources go once nobody needs them. Returns whether any went. */
  function release(): boolean {
    if (leaving.size === 0 || [...followed.values()].some(({ report }) => !report.listed)) return false;
    for (const { follower } of leaving.values()) follower.stop();
    leaving.clear();
    return true;
  }

  /** Begins to follow new sources and drops others. Returns whether the membership may have changed. */
  function followSources(): boolean {
    const listed = new Map(sources.map((source) => [keyOf(source), source]));
    for (const [key, entry] of followed) {
      if (listed.has(key)) continue;
      followed.delete(key);
      leaving.set(key, entry);
    }
    for (const [key, source] of listed) {
      if (followed.has(key)) continue;
      followed.set(key, leaving.get(key) ?? add(source));
      leaving.delete(key);
    }
    return release();
  }

  return {
    start() {
      if (running) return;
      running = true;
      followSources();
    },
    stop() {
      running = false;
      for (const { follower } of [...followed.values(), ...leaving.values()]) follower.stop();
      followed.clear();
      leaving.clear();
    },
    update(next) {
      sources = next;
      if (running && followSources()) publish();
    },
    status: () => [...followed.values()].map(statusOf),
  };
}

function statusOf({ source, follower, report, targets }: Followed): SourceStatus {
  const { listed, problem, leftOut } = report;
  return {
    source: sourceText(source),
    endpoints: targets.length,
    listed,
    problem,
    leftOut,
    watches: follower.watches(),
  };
}

/** For sentences. */
export function sourceText(source: KubernetesSource): string {
  const { namespace } = source;
  switch (source.kind) {
    case 'pods': {
      const labelled = source.labelSelector === '' ? '' : ` with "${source.labelSelector}"`;
      return `pods${labelled} in namespace "${namespace}"`;
    }
    case 'pool':
      return `InferencePool "${source.name}" in namespace "${namespace}"`;
    case 'service':
      return `Service "${source.name}" in namespace "${namespace}"`;
  }
}

function keyOf(source: KubernetesSource): string {
  const { kind, namespace, tls } = source;
  const rest = kind === 'pods' ? [source.labelSelector, source.container] : [source.name];
  return JSON.stringify([kind, namespace, tls, ...rest, kind === 'pool' ? undefined : source.port]);
}

function toTarget(address: string, port: number, tls: boolean): EndpointTarget {
  return { id: endpointId(address, port), address, port, tls, hostname: undefined, configuredModels: [] };
}
