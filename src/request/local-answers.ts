/** Answers for the paths that are ours: what a client may ask without an engine. */
import type { Endpoint, EndpointSnapshot, ServedModel } from '../endpoints/endpoint.ts';
import type { LocalReply } from './exchange.ts';
import type { PathMatch } from './api-paths.ts';
import { Rejection } from './rejection.ts';
import type { ModelRenames } from './rename-model.ts';

export interface LocalAnswersDeps {
  readonly snapshot: () => EndpointSnapshot;
  readonly version: string;
  /** What `/health` says, and whether it is well. */
  readonly health: () => { readonly healthy: boolean; readonly body: object };
  /** The page for Prometheus. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly body: string }>;
  /** When this process started, in seconds since the epoch: the `created` of every model card. */
  readonly startedAtSeconds: number;
}

type LocalPath = Extract<PathMatch, { kind: 'local' }>;

/** A model that clients may ask for by this name: an engine's own, or an alias. */
interface ListedModel extends ServedModel {
  /** The model that is served under it. */
  readonly root: string;
}

/**
 * Makes the function that answers a local path. Models that the caller may not call do not exist for it. It throws a
 * Rejection `model-not-found` for a model nobody serves.
 */
export function createLocalAnswers(
  deps: LocalAnswersDeps,
): (
  path: LocalPath,
  renames: ModelRenames,
  mayCall: (model: string) => boolean,
) => LocalReply | Promise<LocalReply> {
  return (path, renames, mayCall) => {
    switch (path.name) {
      case 'health':
        return health();
      case 'metrics':
        return deps.metrics().then(({ contentType, body }) => ({
          ...json({}),
          headers: { 'content-type': contentType },
          body,
        }));
      case 'version':
        return json({ version: deps.version });
      case 'models':
        return json({
          object: 'list',
          data: [...listedModels(deps.snapshot(), renames).values()]
            .filter(({ id }) => mayCall(id))
            .map(card),
        });
      case 'engines':
        return json(deps.snapshot().endpoints.map((endpoint) => engine(endpoint, mayCall)));
      case 'model': {
        const model = listedModels(deps.snapshot(), renames).get(path.modelId);
        if (model !== undefined && mayCall(model.id)) return json(card(model));
        throw new Rejection('model-not-found', `The model "${path.modelId}" does not exist.`, {
          param: 'model',
        });
      }
      default:
        return path satisfies never;
    }
  };

  function health(): LocalReply {
    const { healthy, body } = deps.health();
    return { ...json(body), status: healthy ? 200 : 503 };
  }

  function engine(endpoint: Endpoint, mayCall: (model: string) => boolean): object {
    return {
      engine_id: endpoint.id,
      serving_models: [...modelNames(endpoint)].filter(mayCall),
      created: deps.startedAtSeconds,
    };
  }

  function card(model: ListedModel): object {
    return {
      id: model.id,
      object: 'model',
      created: deps.startedAtSeconds,
      owned_by: 'vllm',
      root: model.root,
      parent: model.parent ?? null,
      max_model_len: model.maxModelLen ?? null,
    };
  }
}

/**
 * The union over endpoints, adapters included; what an engine says of itself wins over what the operator said. Then the
 * aliases that would be served.
 */
function listedModels(snapshot: EndpointSnapshot, { aliases }: ModelRenames): Map<string, ListedModel> {
  const models = new Map<string, ListedModel>();
  for (const endpoint of snapshot.endpoints) {
    for (const model of endpoint.listedModels?.values() ?? [])
      if (!models.has(model.id)) models.set(model.id, { ...model, root: model.id });
  }
  for (const id of snapshot.models) {
    if (!models.has(id)) models.set(id, { id, root: id, parent: undefined, maxModelLen: undefined });
  }
  for (const [id, target] of aliases) {
    const served = models.get(target);
    if (served !== undefined && !models.has(id))
      models.set(id, { id, root: target, parent: target, maxModelLen: served.maxModelLen });
  }
  return models;
}

function modelNames(endpoint: Endpoint): ReadonlySet<string> {
  return new Set([...endpoint.configuredModels, ...(endpoint.listedModels?.keys() ?? [])]);
}

function json(body: object): LocalReply {
  return {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    details: 'sluice_local',
  };
}
