/** Plugins by kind and name. */
import { nearest } from '../lib/nearest.ts';
import type { FilterDefinition, PickerDefinition, PluginDefinition, ScorerDefinition } from './plugin.ts';
import { pluginDefinitions } from './plugins/index.ts';

interface DefinitionByKind {
  filter: FilterDefinition;
  scorer: ScorerDefinition;
  picker: PickerDefinition;
}

/** What plugins there are, and what they are called. */
export interface Registry {
  /** All of them, in the order of the docs. */
  readonly definitions: readonly PluginDefinition[];
  /** Finds a plugin of one kind by its name or alias. */
  find<Kind extends PluginDefinition['kind']>(kind: Kind, name: string): DefinitionByKind[Kind] | undefined;
  /** All plugins of that name or alias: `least-request` is a filter and a scorer. */
  named(name: string): readonly PluginDefinition[];
  /** The name that `name` was probably meant to be. */
  nearest(name: string, kind?: PluginDefinition['kind']): string | undefined;
}

/** The registry of `definitions`, by default of every plugin in plugins/index.ts. */
export function createRegistry(definitions: readonly PluginDefinition[] = pluginDefinitions): Registry {
  const named = (name: string) =>
    definitions.filter(({ type, aliases }) => type === name || aliases?.includes(name) === true);
  return {
    definitions,
    named,
    find: <Kind extends PluginDefinition['kind']>(kind: Kind, name: string) =>
      named(name).find((definition) => isOfKind(definition, kind)),
    nearest(name, kind) {
      const names = definitions
        .filter((definition) => kind === undefined || definition.kind === kind)
        .flatMap(({ type, aliases }) => [type, ...(aliases ?? [])]);
      return nearest(name, names);
    },
  };
}

function isOfKind<Kind extends PluginDefinition['kind']>(
  definition: PluginDefinition,
  kind: Kind,
): definition is PluginDefinition & DefinitionByKind[Kind] {
  return definition.kind === kind;
}
