/** Plugins by kind and name. */
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
  /** All names and aliases, of one kind or of all. */
  names(kind?: PluginDefinition['kind']): readonly string[];
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
    names(kind) {
      const wanted = definitions.filter((definition) => kind === undefined || definition.kind === kind);
      return [...new Set(wanted.flatMap(({ type, aliases }) => [type, ...(aliases ?? [])]))];
    },
  };
}

function isOfKind<Kind extends PluginDefinition['kind']>(
  definition: PluginDefinition,
  kind: Kind,
): definition is PluginDefinition & DefinitionByKind[Kind] {
  return definition.kind === kind;
}
