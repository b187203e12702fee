/** The JSON Schema of Sluice's own form, for editors: every field with its default as people write it. */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { PluginDefinition } from '../scheduling/plugin.ts';
import { createRegistry, type Registry } from '../scheduling/registry.ts';
import { formatDuration, formatSize, unitOf, type Unit } from './explain/written-units.ts';
import { configSchema } from './schema.ts';

/** A schema of draft 2020-12, or a part of one. */
export type JsonSchema = z.core.JSONSchema.BaseSchema;

/**
 * The schema for an editor: it says in its descriptions what only counts at a start. It is stricter than the loader in
 * two things: arguments of plugins are to be spelled as in the docs, upper and lower case included, and a section is to
 * have something below it.
 */
export function configJsonSchema(): JsonSchema {
  const { $schema = 'https://json-schema.org/draft/2020-12/schema', ...form } = configForm();
  return { $schema, $id: 'urn:sluice:configuration', title: 'Sluice configuration', ...withRestarts(form) };
}

/**
 * What may be written: names, types, ranges, choices, defaults and descriptions. `x-restart` marks what only counts at a
 * start, `x-unit` what is a `duration` or a `size`.
 */
export function configForm(
  schema: z.ZodType = configSchema,
  registry: Registry = createRegistry(),
): JsonSchema {
  const form = plainSchema(schema);
  addPlugins(form, registry);
  return form;
}

/** Says in the descriptions what `x-restart` says. */
function withRestarts(schema: JsonSchema): JsonSchema {
  const properties = Object.fromEntries(
    Object.entries(fieldsOf(schema)).map(([name, field]) => [name, withRestarts(field)]),
  );
  const items = itemsOf(schema);
  return {
    ...schema,
    ...(schema.properties === undefined ? {} : { properties }),
    ...(items === undefined ? {} : { items: withRestarts(items) }),
    ...(schema['x-restart'] === true
      ? { description: `${schema.description ?? ''} A change takes effect after a restart.`.trim() }
      : {}),
  };
}

/** The schema at a path of field names, `items` being what is in a list; undefined where there is none. */
export function schemaAt(root: JsonSchema, ...path: readonly string[]): JsonSchema | undefined {
  let at: JsonSchema | undefined = root;
  for (const step of path) at = step === 'items' ? itemsOf(at) : at && fieldsOf(at)[step];
  return at;
}

/** The fields of a mapping; none where the schema is not one of a mapping with known fields. */
export function fieldsOf({ properties }: JsonSchema): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(
    Object.entries(properties ?? {}).flatMap(([name, field]) =>
      typeof field === 'object' ? [[name, field]] : [],
    ),
  );
}

/** What a list consists of; undefined where the schema is not one of a list. */
export function itemsOf(schema: JsonSchema | undefined): JsonSchema | undefined {
  const items = schema?.items;
  return typeof items === 'object' && !Array.isArray(items) ? items : undefined;
}

/** The parameters of all plugins that share a name, as fields. */
export function parametersOf(definitions: readonly PluginDefinition[]): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(
    definitions.flatMap(({ params }) => Object.entries(fieldsOf(plainSchema(params)))),
  );
}

function plainSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => improve(zodSchema, jsonSchema),
  });
}

/** Adds what zod cannot know because it is behind a transformation, and takes out what nobody wrote. */
function improve(zodSchema: z.core.$ZodType, jsonSchema: JsonSchema): void {
  const unit = unitOf(zodSchema);
  if (unit !== undefined) {
    delete jsonSchema.anyOf;
    Object.assign(jsonSchema, unitSchema(unit, z.safeParse(zodSchema, 0).success));
  }
  if (zodSchema instanceof z.ZodDefault) {
    const written = writtenDefault(zodSchema, unit);
    if (written !== undefined) jsonSchema.default = written;
  }
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
}

function unitSchema(unit: Unit, zero: boolean): JsonSchema {
  // A pattern says nothing about numbers, and a minimum nothing about strings.
  switch (unit) {
    case 'duration':
      return {
        type: ['string', 'number'],
        pattern: '^(0|(\\d+(\\.\\d+)?(ms|s|m|h))+)$',
        ...(zero ? { minimum: 0 } : { exclusiveMinimum: 0 }),
        examples: ['250ms', '10s', '1m30s', 5],
        'x-unit': 'duration',
      };
    case 'size':
      return {
        type: ['string', 'integer'],
        pattern: '^\\d+(\\.\\d+)? ?(B|KB|MB|GB|KiB|MiB|GiB)?$',
        minimum: 1,
        examples: ['16MiB', '500KB', 65_536],
        'x-unit': 'size',
      };
  }
}

/** The default as it would be written; undefined where that cannot be told from what it becomes. */
function writtenDefault({ def }: z.ZodDefault, unit: Unit | undefined): unknown {
  const { defaultValue, innerType } = def;
  if (unit !== undefined && typeof defaultValue === 'number')
    return unit === 'duration' ? formatDuration(defaultValue) : formatSize(defaultValue);
  const again = z.safeParse(innerType, defaultValue);
  return again.success && isDeepStrictEqual(again.data, defaultValue) ? defaultValue : undefined;
}

/** Names the plugins where they are listed, and types the arguments of each. */
function addPlugins(whole: JsonSchema, registry: Registry): void {
  for (const [list, kind] of [
    ['Filter', 'filter'],
    ['Score', 'scorer'],
  ] as const) {
    const definitions = registry.definitions.filter((definition) => definition.kind === kind);
    for (const which of ['enabled', 'disabled'])
      addNames(schemaAt(whole, 'scheduler', 'plugins', list, which, 'items'), kind, definitions);
  }
  const configured = schemaAt(whole, 'scheduler', 'pluginConfig');
  if (configured !== undefined) configured.items = { oneOf: byName(registry).map(argumentsSchema) };
}

/** A name is a string, or the `name` of a mapping, or either. */
function addNames(
  schema: JsonSchema | undefined,
  kind: string,
  definitions: readonly PluginDefinition[],
): void {
  if (schema === undefined) return;
  if (schema.type === 'string') {
    Object.assign(schema, {
      title: kind,
      enum: definitions.flatMap(namesOf),
      description: `The ${kind}.`,
      markdownDescription: definitions
        .map(({ type, description }) => `- \`${type}\`: ${description}`)
        .join('\n'),
    });
  }
  addNames(schemaAt(schema, 'name'), kind, definitions);
  for (const branch of schema.anyOf ?? [])
    if (typeof branch === 'object') addNames(branch, kind, definitions);
}

function argumentsSchema(definitions: readonly PluginDefinition[]): JsonSchema {
  const names = [...new Set(definitions.flatMap(namesOf))];
  return {
    type: 'object',
    title: names[0] ?? '',
    description: definitions.map(({ description }) => description).join(' '),
    properties: {
      name: { type: 'string', enum: names, description: 'The plugin.' },
      args: {
        type: ['object', 'null'],
        description: 'Its parameters.',
        properties: { ...parametersOf(definitions) },
        additionalProperties: false,
      },
    },
    required: ['name'],
    additionalProperties: false,
  };
}

/** `least-request` is a filter and a scorer: one entry of `pluginConfig` is for both. */
function byName(registry: Registry): readonly (readonly PluginDefinition[])[] {
  const types = new Set(registry.definitions.map(({ type }) => type));
  return [...types].map((type) => registry.named(type));
}

function namesOf({ type, aliases = [] }: PluginDefinition): readonly string[] {
  return [type, ...aliases];
}
