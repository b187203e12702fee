/** Tells the operator of aliases that do nothing. */
import type { EndpointSnapshot } from '../endpoints/endpoint.ts';
import type { ModelRenames } from './rename-model.ts';

/**
 * Makes the function to call with every snapshot and every configuration: `onShadowed` is told of each alias once when an
 * engine begins to serve a model of that name, and again only after it had ceased to.
 */
export function createAliasWatch(
  onShadowed: (alias: string, target: string) => void,
): (renames: ModelRenames, snapshot: Pick<EndpointSnapshot, 'models'>) => void {
  let shadowed: ReadonlySet<string> = new Set();
  return ({ aliases }, { models }) => {
    const before = shadowed;
    shadowed = new Set([...aliases.keys()].filter((alias) => models.has(alias)));
    for (const alias of shadowed) if (!before.has(alias)) onShadowed(alias, aliases.get(alias)!);
  };
}
