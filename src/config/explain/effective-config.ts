/** A configuration with nothing left unsaid: what is written, and every default, in the written form. */
import { fieldsOf, itemsOf, type JsonSchema } from '../json-schema.ts';
import type { LoadedConfig } from '../load.ts';
import type { ProfileConfig } from '../../scheduling/profile.ts';
import { isMapping, type Written } from '../written.ts';

/**
 * What is in effect, in Sluice's own form: loaded again, it means the same. Plugins have their proper names, what is
 * disabled is left out, and so are arguments of plugins that do not run. Secrets are still in it.
 */
export function effectiveConfig(
  form: JsonSchema,
  { config, written }: Pick<LoadedConfig, 'config' | 'written'>,
): Written {
  const complete = completed(form, written);
  if (!isMapping(complete)) return {};
  const { scheduler } = complete;
  return isMapping(scheduler)
    ? { ...complete, scheduler: { ...scheduler, ...asWritten(config.scheduler.profile) } }
    : complete;
}

/** The value, or the default where there is none, and the same for everything in it. */
function completed(schema: JsonSchema, value: unknown = schema.default): unknown {
  const form = branchFor(schema, value);
  if (Array.isArray(value)) {
    const item = itemsOf(form);
    return item === undefined ? value : value.map((element) => completed(item, element));
  }
  if (!isMapping(value)) return value;
  const fields = fieldsOf(form);
  const known = Object.entries(fields).map(([name, field]) => [
    name,
    completed(field, Object.hasOwn(value, name) ? value[name] : undefined),
  ]);
  const others = Object.entries(value)
    .filter(([name]) => !Object.hasOwn(fields, name))
    .map(([name, member]) => [name, completed(valuesOf(form), member)]);
  return Object.fromEntries([...known, ...others].filter(([, member]) => member !== undefined));
}

/** Of several forms that a value may have, the one that has its fields. */
export function branchFor(schema: JsonSchema, value: unknown): JsonSchema {
  const branches = [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])].filter(
    (branch): branch is JsonSchema => typeof branch === 'object',
  );
  if (branches.length === 0) return schema;
  const fits = branches.find((branch) =>
    Array.isArray(value)
      ? itemsOf(branch) !== undefined
      : isMapping(value) && branch.type === 'object' && hasFieldsOf(branch, value),
  );
  return fits === undefined ? {} : branchFor(fits, value);
}

function hasFieldsOf(branch: JsonSchema, value: Written): boolean {
  const fields = fieldsOf(branch);
  return (
    (branch.required ?? []).every((name) => Object.hasOwn(value, name)) &&
    Object.entries(value).every(([name, member]) => {
      const field = fields[name];
      if (field === undefined) return branch.additionalProperties !== false;
      if (field.const !== undefined) return field.const === member;
      return field.enum === undefined || field.enum.some((allowed) => allowed === member);
    })
  );
}

/** What a mapping of any names consists of. */
export function valuesOf({ additionalProperties }: JsonSchema): JsonSchema {
  return typeof additionalProperties === 'object' ? additionalProperties : {};
}

function asWritten({ filters, scorers }: ProfileConfig): Written {
  const args = new Map<string, Written>();
  for (const { type, params } of [...filters, ...scorers]) {
    if (Object.keys(params).length > 0) args.set(type, { ...args.get(type), ...params });
  }
  return {
    pluginConfig: [...args].map(([name, params]) => ({ name, args: params })),
    plugins: {
      Filter: { enabled: filters.map(({ type }) => type), disabled: [] },
      Score: { enabled: scorers.map(({ type, weight }) => ({ name: type, weight })), disabled: [] },
    },
  };
}
