/** From the model name that a client uses to the one that engines are asked for. */
import type { EndpointSnapshot } from '../endpoints/endpoint.ts';

/** Both from the client's name to the engines'. No target is renamed itself: one step is all there is. */
export interface ModelRenames {
  /** Additional names of served models, listed under `/v1/models`. An engine's own model of that name wins over them. */
  readonly aliases: ReadonlyMap<string, string>;
  /** Models that requests are sent to in place of the one that they name, even where an engine serves that. Not listed. */
  readonly rewrites: ReadonlyMap<string, string>;
}

/** Every name means itself. */
export const noRenames: ModelRenames = { aliases: new Map(), rewrites: new Map() };

/** The model that engines are asked for where a client asks for `requested`: itself, unless it is renamed. */
export function renameModel(
  requested: string,
  { aliases, rewrites }: ModelRenames,
  snapshot: Pick<EndpointSnapshot, 'models'>,
): string {
  const rewritten = rewrites.get(requested);
  if (rewritten !== undefined) return rewritten;
  const target = aliases.get(requested);
  return target === undefined || snapshot.models.has(requested) ? requested : target;
}
