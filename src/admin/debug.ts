/** `/debug/…`: what Sluice knows about endpoints, why it decided as it did, and what it was told. */
import type { EngineMetrics, Endpoint, EndpointSnapshot, Health } from '../endpoints/endpoint.ts';
import type { Clock } from '../lib/clock.ts';
import type { AdminReply, AdminRoute } from './http.ts';
import { withLimit } from './page-limit.ts';

/** What `/debug/decisions` can be narrowed by; the records themselves may hold much more. */
export interface DecisionRecord {
  /** The exchange id. */
  readonly id: string;
  readonly model: string;
}

export interface DebugDeps {
  readonly clock: Clock;
  readonly snapshot: () => EndpointSnapshot;
  /** What is wrong with an endpoint besides its health. */
  readonly problems: (endpoint: Endpoint) => Readonly<Record<string, unknown>> | undefined;
  /** The last decisions, newest first; a bounded list. */
  readonly decisions: () => readonly DecisionRecord[];
  /** The effective configuration, secrets left out. */
  readonly config: () => unknown;
}

/** Creates the debug pages. */
export function createDebugRoutes(deps: DebugDeps): readonly AdminRoute[] {
  return [
    {
      path: '/debug/endpoints',
      description: 'Endpoints: health, models, in flight, scraped metrics and their age',
      answer() {
        const { generation, endpoints } = deps.snapshot();
        const nowMs = deps.clock.nowMs();
        const list = endpoints.map((endpoint) => describe(endpoint, nowMs, deps.problems(endpoint)));
        return { status: 200, body: { generation, endpoints: list } };
      },
    },
    {
      path: '/debug/decisions',
      description: 'The last decisions, newest first; ?limit= ?model= ?request=',
      answer: (query) => withLimit(query, (limit) => decisionsPage(deps.decisions(), query, limit)),
    },
    {
      path: '/debug/config',
      description: 'The configuration in effect',
      answer: () => ({ status: 200, body: deps.config() }),
    },
  ];
}

/** Clock readings mean nothing outside of the process; ages do. */
function describe(
  endpoint: Endpoint,
  nowMs: number,
  problems: Readonly<Record<string, unknown>> | undefined,
): unknown {
  const { id, url, hostname, slot, configuredModels, listedModels, inFlight } = endpoint;
  return {
    id,
    url,
    hostname,
    slot,
    health: describeHealth(endpoint.health, nowMs),
    inFlight,
    configuredModels,
    listedModels: listedModels === undefined ? undefined : [...listedModels.values()],
    metrics: describeMetrics(endpoint.metrics, nowMs),
    ...problems,
  };
}

function describeHealth(health: Health, nowMs: number): object {
  if (health.kind !== 'unhealthy') return health;
  return { kind: health.kind, reason: health.reason, forSeconds: seconds(nowMs - health.sinceMs) };
}

function describeMetrics(metrics: EngineMetrics | undefined, nowMs: number): object | undefined {
  if (metrics === undefined) return undefined;
  const { takenAtMs, ...values } = metrics;
  return { ageSeconds: seconds(nowMs - takenAtMs), ...values };
}

function seconds(milliseconds: number): number {
  return Math.round(milliseconds) / 1000;
}

function decisionsPage(
  decisions: readonly DecisionRecord[],
  query: URLSearchParams,
  limit: number,
): AdminReply {
  const model = query.get('model');
  const request = query.get('request');
  const matching = decisions.filter(
    (decision) =>
      (model === null || decision.model === model) && (request === null || decision.id === request),
  );
  return { status: 200, body: { total: matching.length, decisions: matching.slice(0, limit) } };
}
