/** What inference checks found out about the models of one endpoint, and what follows from it for its health. */
import type { Health } from './endpoint.ts';

export interface CheckedModels {
  /** Why a model failed its last check, by model; undefined where it passed. */
  readonly problems: ReadonlyMap<string, string | undefined>;
  /** Whether models that are not listed there may be used all the same. */
  readonly trustOthers: boolean;
}

/** Whether requests for the model may go to the endpoint. Where nobody checks they may. */
export function mayServe(checks: CheckedModels | undefined, model: string): boolean {
  if (checks === undefined) return true;
  return checks.problems.has(model) ? checks.problems.get(model) === undefined : checks.trustOthers;
}

/** Whether both let the same models through. */
export function serveAlike(a: CheckedModels | undefined, b: CheckedModels | undefined): boolean {
  const models = [...(a?.problems.keys() ?? []), ...(b?.problems.keys() ?? [])];
  return (
    (a?.trustOthers ?? true) === (b?.trustOthers ?? true) &&
    models.every((model) => mayServe(a, model) === mayServe(b, model))
  );
}

/**
 * The health of the engine, unless checks leave a healthy one no model to serve: unhealthy from `nowMs` on where one
 * failed, unknown where none was checked yet.
 */
export function combinedHealth(engine: Health, checks: CheckedModels | undefined, nowMs: number): Health {
  if (engine.kind !== 'healthy' || checks === undefined || checks.trustOthers) return engine;
  const problems = [...checks.problems.values()];
  if (problems.includes(undefined)) return engine;
  const [first, ...others] = problems;
  if (first === undefined) return { kind: 'unknown' };
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
  return { kind: 'unhealthy', reason: `${first}${more}`, sinceMs: nowMs };
}
