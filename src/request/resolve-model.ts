/** From a model name to the endpoints that serve it. */
import type { Endpoint, EndpointSnapshot } from '../endpoints/endpoint.ts';
import { Rejection } from './rejection.ts';

const retryAfterSeconds = 1;

/**
 * The ready endpoints of a model; never empty. `requested` is what the client called it.
 * @throws Rejection `model-not-found` when no endpoint serves it; `model-unavailable` when those that do are not ready,
 * or when an engine has not yet said what it serves.
 */
export function resolveModel(
  model: string,
  snapshot: EndpointSnapshot,
  requested = model,
): readonly Endpoint[] {
  const ready = snapshot.readyByModel.get(model);
  if (ready !== undefined && ready.length > 0) return ready;
  const undecided = snapshot.endpoints.some(
    (endpoint) => endpoint.listedModels === undefined && endpoint.configuredModels.length === 0,
  );
  const named = requested === model ? `"${model}"` : `"${requested}" (served as "${model}")`;
  if (!snapshot.models.has(model) && !undecided) {
    throw new Rejection(
      'model-not-found',
      `The model ${named} does not exist. Available models are listed at /v1/models.`,
      {
        param: 'model',
      },
    );
  }
  throw new Rejection(
    'model-unavailable',
    `The model ${named} is temporarily unavailable. Please try again later.`,
    {
      retryAfterSeconds,
    },
  );
}
