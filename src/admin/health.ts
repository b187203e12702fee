/** `/healthz`, `/readyz` and `/health`: alive, able to serve, and the whole story. */
import type { AdminRoute } from './http.ts';

/** A condition for readiness: returns why it does not hold, or undefined where it does. */
export type ReadinessCheck = () => string | undefined;

export interface HealthDeps {
  /** Asked in this order at each request: cheap, and must not throw. */
  readonly checks: readonly ReadinessCheck[];
  /** What does not work and does not keep Sluice from serving, e.g. a dependency that is away. Default: nothing. */
  readonly degraded?: () => readonly string[];
  /** Sections of `/health` besides status and reasons: versions, counts, refused configurations. No secrets. */
  readonly summary: () => Readonly<Record<string, unknown>>;
}

/** Creates the health pages. `/healthz` tells that the process answers and nothing more: restarting cures no dependency. */
export function createHealthRoutes({
  checks,
  degraded = () => [],
  summary,
}: HealthDeps): readonly AdminRoute[] {
  const reasonsNotReady = (): readonly string[] =>
    checks.map((check) => check()).filter((reason) => reason !== undefined);
  return [
    {
      path: '/healthz',
      description: 'Liveness: 200 while the process answers',
      answer: () => ({ status: 200, body: { status: 'ok' } }),
    },
    {
      path: '/readyz',
      description: 'Readiness: 200, or 503 with the reasons; what is degraded all the same',
      answer() {
        const reasons = reasonsNotReady();
        const problems = degraded();
        const more = problems.length === 0 ? {} : { degraded: problems };
        return reasons.length === 0
          ? { status: 200, body: { status: 'ready', ...more } }
          : { status: 503, body: { status: 'not ready', reasons, ...more } };
      },
    },
    {
      path: '/health',
      description: 'Summary of every part, always 200',
      answer() {
        const reasons = reasonsNotReady();
        const status = reasons.length === 0 ? 'healthy' : 'not ready';
        return { status: 200, body: { status, reasons, ...summary() } };
      },
    },
  ];
}

/** Fails until some endpoint is ready. */
export function someEndpointReady(readyByModel: () => ReadonlyMap<string, unknown>): ReadinessCheck {
  return () => (readyByModel().size > 0 ? undefined : 'no endpoint is ready');
}
