/** `/debug/…`: what Sluice knows about endpoints, why it decided as it did, and what it was told. */
import type { EngineMetrics, Endpoint, EndpointSnapshot, Health } from '../endpoints/endpoint.ts';
import type { Clock } from '../lib/clock.ts';
import type { AdminReply, AdminRoute } from './http.ts';

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

const defaultLimit = 20;
const maxLimit = 1000;

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
      answer: (query) => decisionsPage(deps.decisions(), query),
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

function decisionsPage(decisions: readonly DecisionRecord[], query: URLSearchParams): AdminReply {
  const limitText = query.get('limit') ?? String(defaultLimit);
  if (!/^[1-9]\d{0,3}$/.test(limitText) || Number(limitText) > maxLimit) {
    return { status: 400, body: { error: `Cannot use limit "${limitText}": it must be 1 to ${maxLimit}` } };
  }
  const model = query.get('model');
  const request = query.get('request');
  const matching = decisions.filter(
    (decision) =>
      (model === null || decision.model === model) && (request === null || decision.id === request),
  );
  return { status: 200, body: { total: matching.length, decisions: matching.slice(0, Number(limitText)) } };
}
