/** The one owner of all endpoints: takes what discovery, scraping and checks found, publishes immutable snapshots. */
import type { Clock } from '../lib/clock.ts';
import { combinedHealth, mayServe, serveAlike, type CheckedModels } from './checked-models.ts';
import type {
  EngineMetrics,
  Endpoint,
  EndpointId,
  EndpointSnapshot,
  EndpointTarget,
  Health,
  ServedModel,
} from './endpoint.ts';

/** What happened to membership and trust since the last call of the listener. */
export interface EndpointChange {
  readonly added: readonly Endpoint[];
  readonly removed: readonly Endpoint[];
  /** Removed, became unhealthy, or restarted: what was learned about them no longer holds. */
  readonly lost: readonly Endpoint[];
}

/** Called after every published snapshot, and when an endpoint was lost without one (a restart). Must not throw. */
export type EndpointListener = (snapshot: EndpointSnapshot, change: EndpointChange) => void;

/**
 * Reports about an endpoint that is no longer in the store are ignored: an answer may arrive after its removal.
 * A snapshot is published when membership, health or model sets change, never for mere metrics.
 */
export interface EndpointStore {
  readonly snapshot: EndpointSnapshot;
  /**
   * Makes the targets the whole membership. Endpoints that stay keep their object, those whose `tls` or `hostname`
   * changed are replaced. One id given twice is one endpoint with both lists of models.
   */
  setTargets(targets: readonly EndpointTarget[]): void;
  /** Adds a listener; call the result to remove it. */
  subscribe(listener: EndpointListener): () => void;
  /**
   * Adds a listener for metrics, which are no snapshot's business: it is called whenever `reportMetrics` has replaced
   * those of an endpoint, also by nothing. It must not throw. Call the result to remove it. Metrics that vanish with
   * health or membership do so under a snapshot.
   */
  onMetrics(listener: (endpoint: Endpoint) => void): () => void;
  /** Replaces the last scrape; undefined where none is young enough to believe. */
  reportMetrics(endpoint: Endpoint, metrics: EngineMetrics | undefined): void;
  /** Replaces what the engine lists. */
  reportModels(endpoint: Endpoint, models: readonly ServedModel[]): void;
  /** The engine answered: the endpoint is ready from now on, as far as checks let it. */
  reportHealthy(endpoint: Endpoint): void;
  /** The engine cannot be used; forgets its metrics. */
  reportUnhealthy(endpoint: Endpoint, reason: string): void;
  /**
   * Replaces what inference checks say of its models; undefined where nobody checks. A model that they do not let through
   * is not ready here. An endpoint without any model that they let through is not healthy, and lost once one failed.
   */
  reportChecks(endpoint: Endpoint, checks: CheckedModels | undefined): void;
  /** The engine behind the endpoint is a new process: its caches are empty. */
  reportRestart(endpoint: Endpoint): void;
  /** What `reportHealthy` and `reportUnhealthy` said, whatever the checks say. Its changes are published. */
  engineHealth(endpoint: Endpoint): Health;
}

export interface EndpointStoreOptions {
  /**
   * How long a model is known of which the last endpoint left, e.g. because its pods are restarted: who asks for it learns
   * that nobody is ready, and not that there is no such model. Default 0.
   */
  readonly modelMemoryMs?: number;
}

/** Far more than anybody serves. */
const maxRememberedModels = 1000;

/** The store's own view of an endpoint: the operator's model list may change while the record lives. */
type EndpointRecord = Endpoint & {
  configuredModels: readonly string[];
  /** What probes say; `health` is what follows from it and the checks. */
  engineHealth: Health;
  checks: CheckedModels | undefined;
};

const nothing: readonly Endpoint[] = [];

/**
 * Creates an empty store. An endpoint is ready (listed in `readyByModel`) from its first answered probe on, and not
 * before: an address nobody has spoken to yet would only cost a client its first attempt.
 */
export function createEndpointStore(
  { clock }: { readonly clock: Clock },
  { modelMemoryMs = 0 }: EndpointStoreOptions = {},
): EndpointStore {
  const records = new Map<EndpointId, EndpointRecord>();
  /** Removed endpoints with exchanges still running: they keep their slot, and their record should they come back. */
  const departed = new Set<EndpointRecord>();
  const takenSlots = new Set<number>();
  const listeners = new Set<EndpointListener>();
  const metricsListeners = new Set<(endpoint: Endpoint) => void>();
  /** The models of endpoints that left, and until when they are remembered; the last one to leave is the last. */
  const remembered = new Map<string, number>();
  /** Below it all slots are taken. */
  let firstFreeSlot = 0;
  let snapshot = buildSnapshot(0, [], []);

  /** Undefined where the endpoint left, even if another one has its address now. */
  function find(endpoint: Endpoint): EndpointRecord | undefined {
    const record = records.get(endpoint.id);
    return record === endpoint ? record : undefined;
  }

  function publish(change: Partial<EndpointChange>): void {
    snapshot = buildSnapshot(snapshot.generation + 1, [...records.values()], rememberedModels());
    notify(change);
  }

  function notify({ added = nothing, removed = nothing, lost = nothing }: Partial<EndpointChange>): void {
    for (const listener of [...listeners]) listener(snapshot, { added, removed, lost });
  }

  /** A returning endpoint with exchanges still in flight is the same record; anyone else gets the lowest free slot. */
  function admit(target: EndpointTarget): EndpointRecord {
    let returning: EndpointRecord | undefined;
    for (const record of departed) {
      if (record.inFlight === 0) release(record);
      else if (record.id === target.id && sameIdentity(record, target)) returning = record;
    }
    if (returning !== undefined) {
      departed.delete(returning);
      return returning;
    }
    while (takenSlots.has(firstFreeSlot)) firstFreeSlot++;
    takenSlots.add(firstFreeSlot);
    return createRecord(target, firstFreeSlot);
  }

  /** Forgets what was observed; the slot is free once no exchange can settle on it any more. */
  function retire(record: EndpointRecord): void {
    remember(record);
    record.metrics = undefined;
    record.health = record.engineHealth = { kind: 'unknown' };
    record.checks = undefined;
    record.listedModels = undefined;
    departed.add(record);
    if (record.inFlight === 0) release(record);
  }

  function remember(record: EndpointRecord): void {
    if (modelMemoryMs === 0) return;
    const untilMs = clock.nowMs() + modelMemoryMs;
    for (const model of servedModels(record)) {
      remembered.delete(model);
      remembered.set(model, untilMs);
    }
  }

  function rememberedModels(): readonly string[] {
    const nowMs = clock.nowMs();
    for (const [model, untilMs] of remembered) {
      if (untilMs > nowMs && remembered.size <= maxRememberedModels) break;
      remembered.delete(model);
    }
    return [...remembered.keys()];
  }

  function release(record: EndpointRecord): void {
    departed.delete(record);
    takenSlots.delete(record.slot);
    firstFreeSlot = Math.min(firstFreeSlot, record.slot);
  }

  function setTargets(given: readonly EndpointTarget[]): void {
    const targets = mergeById(given);
    const removed: Endpoint[] = [];
    for (const record of [...records.values()]) {
      const target = targets.get(record.id);
      if (target !== undefined && sameIdentity(record, target)) continue;
      records.delete(record.id);
      removed.push(record);
      retire(record);
    }
    const added: Endpoint[] = [];
    let changed = removed.length > 0;
    for (const target of targets.values()) {
      let record = records.get(target.id);
      if (record === undefined) {
        record = admit(target);
        records.set(target.id, record);
        added.push(record);
        changed = true;
      }
      if (!sameList(record.configuredModels, target.configuredModels)) {
        record.configuredModels = target.configuredModels;
        changed = true;
      }
    }
    if (changed) publish({ added, removed, lost: removed });
  }

  function setEngineHealth(record: EndpointRecord, health: Health): void {
    const isNews = record.engineHealth.kind !== health.kind;
    record.engineHealth = health;
    refreshHealth(record, isNews);
  }

  /** Publishes what is news, or makes the endpoint another kind of healthy. Mere words are published by nobody. */
  function refreshHealth(record: EndpointRecord, isNews: boolean): void {
    const before = record.health;
    const next = combinedHealth(record.engineHealth, record.checks, clock.nowMs());
    const stillUnhealthy = before.kind === 'unhealthy' && next.kind === 'unhealthy';
    record.health = stillUnhealthy ? { ...next, sinceMs: before.sinceMs } : next;
    if (!isNews && before.kind === next.kind) return;
    publish({ lost: next.kind === 'unhealthy' && !stillUnhealthy ? [record] : nothing });
  }

  return {
    get snapshot() {
      return snapshot;
    },
    setTargets,
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    onMetrics(listener) {
      metricsListeners.add(listener);
      return () => void metricsListeners.delete(listener);
    },
    reportMetrics(endpoint, metrics) {
      if (find(endpoint) === undefined) return;
      endpoint.metrics = metrics;
      for (const listener of [...metricsListeners]) listener(endpoint);
    },
    reportModels(endpoint, models) {
      if (find(endpoint) === undefined || sameModels(endpoint.listedModels, models)) return;
      endpoint.listedModels = new Map(models.map((model) => [model.id, model]));
      publish({});
    },
    reportHealthy(endpoint) {
      const record = find(endpoint);
      if (record !== undefined) setEngineHealth(record, { kind: 'healthy' });
    },
    reportUnhealthy(endpoint, reason) {
      const record = find(endpoint);
      if (record === undefined) return;
      record.metrics = undefined;
      setEngineHealth(record, { kind: 'unhealthy', reason, sinceMs: clock.nowMs() });
    },
    reportChecks(endpoint, checks) {
      const record = find(endpoint);
      if (record === undefined) return;
      const before = record.checks;
      record.checks = checks;
      // Who is not healthy is not ready for any model.
      refreshHealth(record, record.health.kind === 'healthy' && !serveAlike(before, checks));
    },
    reportRestart(endpoint) {
      if (find(endpoint) !== undefined) notify({ lost: [endpoint] });
    },
    engineHealth: (endpoint) => find(endpoint)?.engineHealth ?? { kind: 'unknown' },
  };
}

function createRecord(target: EndpointTarget, slot: number): EndpointRecord {
  return {
    ...target,
    slot,
    url: `${target.tls ? 'https' : 'http'}://${target.id}`,
    inFlight: 0,
    metrics: undefined,
    health: { kind: 'unknown' },
    listedModels: undefined,
    engineHealth: { kind: 'unknown' },
    checks: undefined,
  };
}

function mergeById(targets: readonly EndpointTarget[]): Map<EndpointId, EndpointTarget> {
  const merged = new Map<EndpointId, EndpointTarget>();
  for (const target of targets) {
    const first = merged.get(target.id);
    merged.set(target.id, {
      ...(first ?? target),
      configuredModels: [...new Set([...(first?.configuredModels ?? []), ...target.configuredModels])],
    });
  }
  return merged;
}

function sameIdentity(a: EndpointTarget, b: EndpointTarget): boolean {
  return a.address === b.address && a.port === b.port && a.tls === b.tls && a.hostname === b.hostname;
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

function sameModels(
  known: ReadonlyMap<string, ServedModel> | undefined,
  models: readonly ServedModel[],
): boolean {
  if (known === undefined) return false;
  const ids = new Set(models.map((model) => model.id));
  if (known.size !== ids.size) return false;
  return models.every((model) => {
    const before = known.get(model.id);
    return before !== undefined && before.parent === model.parent && before.maxModelLen === model.maxModelLen;
  });
}

function servedModels({ configuredModels, listedModels }: Endpoint): ReadonlySet<string> {
  return new Set([...configuredModels, ...(listedModels?.keys() ?? [])]);
}

function buildSnapshot(
  generation: number,
  endpoints: readonly EndpointRecord[],
  rememberedModels: readonly string[],
): EndpointSnapshot {
  const readyByModel = new Map<string, Endpoint[]>();
  const models = new Set<string>();
  for (const endpoint of endpoints) {
    for (const model of servedModels(endpoint)) {
      models.add(model);
      if (endpoint.health.kind !== 'healthy' || !mayServe(endpoint.checks, model)) continue;
      const ready = readyByModel.get(model);
      if (ready === undefined) readyByModel.set(model, [endpoint]);
      else ready.push(endpoint);
    }
  }
  for (const model of rememberedModels) models.add(model);
  return { generation, endpoints, readyByModel, models };
}
