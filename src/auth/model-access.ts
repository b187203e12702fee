/** Which models a principal may call. */
import type { Principal } from './principal.ts';

/**
 * Models by group. A model is written as its name, or as the beginning of names with `*` at the end. The group `*` is
 * everybody. Undefined: everybody may call every model.
 */
export type ModelsByGroup = Readonly<Record<string, readonly string[]>>;

/** Whether this principal may call a model by this name. */
export type MayCall = (principal: Principal, model: string) => boolean;

interface ModelList {
  readonly exact: ReadonlySet<string>;
  readonly prefixes: readonly string[];
}

/** Makes the test. What no group of the principal lists is not allowed. */
export function createModelAccess(models: ModelsByGroup | undefined): MayCall {
  if (models === undefined) return () => true;
  const byGroup = new Map(Object.entries(models).map(([group, list]) => [group, readList(list)]));
  const everybody = byGroup.get('*');
  return (principal, model) =>
    allows(everybody, model) || principal.groups.some((group) => allows(byGroup.get(group), model));
}

function readList(models: readonly string[]): ModelList {
  return {
    exact: new Set(models.filter((model) => !model.endsWith('*'))),
    prefixes: models.filter((model) => model.endsWith('*')).map((model) => model.slice(0, -1)),
  };
}

function allows(list: ModelList | undefined, model: string): boolean {
  return (
    list !== undefined && (list.exact.has(model) || list.prefixes.some((prefix) => model.startsWith(prefix)))
  );
}
