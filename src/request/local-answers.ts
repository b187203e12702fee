/** Answers for the paths that are ours: what a client may ask without an engine. */
import type { Endpoint, EndpointSnapshot, ServedModel } from '../endpoints/endpoint.ts';
import type { LocalReply } from './exchange.ts';
import type { PathMatch } from './api-paths.ts';
import { Rejection } from './rejection.ts';

export interface LocalAnswersDeps {
  readonly snapshot: () => EndpointSnapshot;
  readonly version: string;
  /** When this process started, in seconds since the epoch: the `created` of every model card. */
  readonly startedAtSeconds: number;
}

type LocalPath = Extract<PathMatch, { kind: 'local' }>;

/** Makes the function that answers a local path. It throws a Rejection `model-not-found` for a model nobody serves. */
export function createLocalAnswers(deps: LocalAnswersDeps): (path: LocalPath) => LocalReply {
  return (path) => {
    switch (path.name) {
      case 'health':
        return json({ status: 'healthy' });
      case 'version':
        return json({ version: deps.version });
      case 'models':
        return json({ object: 'list', data: [...servedModels(deps.snapshot()).values()].map(card) });
      case 'engines':
        return json(deps.snapshot().endpoints.map(engine));
      case 'model': {
        const model = servedModels(deps.snapshot()).get(path.modelId);
        if (model !== undefined) return json(card(model));
        throw new Rejection('model-not-found', `The model "${path.modelId}" does not exist.`, {
          param: 'model',
        });
      }
      default:
        return path satisfies never;
    }
  };

  function engine(endpoint: Endpoint): object {
    return {
      engine_id: endpoint.id,
      serving_models: [...modelNames(endpoint)],
      created: deps.startedAtSeconds,
    };
  }

  function card(model: ServedModel): object {
    return {
      id: model.id,
      object: 'model',
      created: deps.startedAtSeconds,
      owned_by: 'vllm',
      root: model.id,
      parent: model.parent ?? null,
      max_model_len: model.maxModelLen ?? null,
    };
  }
}

/** The union over endpoints, adapters included; what an engine says of itself wins over what the operator said. */
function servedModels(snapshot: EndpointSnapshot): Map<string, ServedModel> {
  const models = new Map<string, ServedModel>();
  for (const endpoint of snapshot.endpoints) {
    for (const model of endpoint.listedModels?.values() ?? [])
      if (!models.has(model.id)) models.set(model.id, model);
  }
  for (const id of snapshot.models) {
    if (!models.has(id)) models.set(id, { id, parent: undefined, maxModelLen: undefined });
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
