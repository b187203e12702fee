/** Runs one scorer by itself. */
import type { Endpoint } from '../../src/endpoints/endpoint.ts';
import type { InferenceRequest, PluginDeps, Scorer, ScorerDefinition } from '../../src/scheduling/plugin.ts';
import { aRequest } from './endpoints.ts';
import { FakeClock } from './fake-clock.ts';

/** Dependencies under control: time stands still, and chance always says one half. */
export const fakeDeps: PluginDeps = { clock: new FakeClock(), random: () => 0.5 };

/** A scorer with the given parameters and defaults for the others. */
export function createScorer(
  definition: ScorerDefinition,
  params: Record<string, unknown> = {},
  deps = fakeDeps,
): Scorer {
  return definition.create(definition.params.parse(params), deps);
}

/** The scores of the candidates, rounded to four decimals. */
export function scoresOf(
  scorer: Scorer,
  candidates: readonly Endpoint[],
  request: InferenceRequest = aRequest(),
): number[] {
  const scores = new Float64Array(candidates.length);
  scorer.score(request, candidates, scores);
  return [...scores].map((score) => Math.round(score * 1e4) / 1e4);
}
