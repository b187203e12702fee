/** What the `scheduler` section means: who filters, who scores with what share, and with which arguments. */
import type { PluginDefinition } from '../../scheduling/plugin.ts';
import type { ProfileConfig } from '../../scheduling/profile.ts';
import { createRegistry, type Registry } from '../../scheduling/registry.ts';
import { fieldsOf, parametersOf, schemaAt, type JsonSchema } from '../json-schema.ts';
import { isMapping, valueAt, type Written } from '../written.ts';
import { table, type Block } from './block.ts';
import { fieldRows, joinedPath, shownValue, valueText } from './field-rows.ts';

const lists = [
  { name: 'Filter', kind: 'filter' },
  { name: 'Score', kind: 'scorer' },
] as const;

/** `effective` and `written` are whole configurations in Sluice's own form. */
export function explainScheduler(
  form: JsonSchema,
  profile: ProfileConfig,
  effective: Written,
  written: Written,
): readonly Block[] {
  const registry = createRegistry();
  return [
    filterBlock(profile, written, registry),
    scorerBlock(profile, written, registry),
    { title: 'Arguments', lines: table(argumentRows(effective, written, registry)) },
    { title: 'Disabled', lines: disabledLines(form, written, registry) },
    { title: 'Decisions', lines: table(otherRows(form, effective, written)) },
  ];
}

function filterBlock({ filters }: ProfileConfig, written: Written, registry: Registry): Block {
  const title = `Filters${filters.length > 1 ? ', in this order' : ''}${defaultMark(written, 'Filter')}`;
  if (filters.length === 0)
    return { title, lines: ['none: every endpoint that serves the model may be chosen'] };
  return {
    title,
    lines: table(filters.map(({ type }) => [type, sentence(registry.find('filter', type))])),
  };
}

function scorerBlock({ scorers }: ProfileConfig, written: Written, registry: Registry): Block {
  const total = scorers.reduce((sum, { weight }) => sum + weight, 0);
  const rows = scorers.map(({ type, weight }) => [
    type,
    `weight ${weight}`,
    total === 0 ? 'counts nothing' : `${Math.round((weight / total) * 1000) / 10} % of the total`,
    sentence(registry.find('scorer', type)),
  ]);
  return { title: `Scorers${defaultMark(written, 'Score')}`, lines: table(rows) };
}

function defaultMark(written: Written, list: string): string {
  return pluginList(written, list, 'enabled') === undefined ? ' (default)' : '';
}

/** What the plugin does, and what else it is called. */
function sentence(definition: PluginDefinition | undefined): string {
  const { description = '', aliases = [] } = definition ?? {};
  return aliases.length === 0 ? description : `${description} The same as ${aliases.join(' and ')}.`;
}

function argumentRows(effective: Written, written: Written, registry: Registry): string[][] {
  const inEffect = listOf(valueAt(effective, ['scheduler', 'pluginConfig']));
  const configured = listOf(valueAt(written, ['scheduler', 'pluginConfig'])).map((entry) => ({
    type: registry.named(nameOf(entry))[0]?.type ?? nameOf(entry),
    given: Object.keys(argsOf(entry)).map((name) => name.toLowerCase()),
  }));
  const rows = inEffect.flatMap((entry) => {
    const type = nameOf(entry);
    const parameters = parametersOf(registry.named(type));
    const given = configured.find((candidate) => candidate.type === type)?.given ?? [];
    return Object.entries(argsOf(entry)).map(([name, value], i) => [
      i === 0 ? type : '',
      name,
      `${shownValue(parameters[name] ?? {}, value)}${given.includes(name.toLowerCase()) ? '' : ' (default)'}`,
    ]);
  });
  const running = new Set(
    lists.flatMap(({ name }) => pluginList(effective, name, 'enabled') ?? []).map(nameOf),
  );
  const idle = configured.filter(({ type, given }) => !running.has(type) && given.length > 0);
  return [...rows, ...idle.map(({ type }) => [type, 'does not run: its arguments have no effect'])];
}

function disabledLines(form: JsonSchema, written: Written, registry: Registry): readonly string[] {
  const rows = lists.flatMap(({ name: list, kind }) => {
    const typeOf = (entry: unknown): string => registry.find(kind, nameOf(entry))?.type ?? nameOf(entry);
    const ours = pluginList(written, list, 'enabled');
    const byDefault = listOf(schemaAt(form, 'scheduler', 'plugins', list, 'enabled')?.default);
    const enabled = (ours ?? byDefault).map(typeOf);
    return (pluginList(written, list, 'disabled') ?? []).map(typeOf).map((type) => {
      const removed = `removed, though it is enabled${ours === undefined ? ' by default' : ''}`;
      return [type, kind, enabled.includes(type) ? removed : 'was not enabled'];
    });
  });
  const remark = "`disabled` removes a plugin whatever enables it; Kthena's router ignores it.";
  return rows.length === 0 ? [] : [...table(rows), remark];
}

/** What the section says beside its plugins. */
function otherRows(form: JsonSchema, effective: Written, written: Written): string[][] {
  const fields = Object.entries(fieldsOf(schemaAt(form, 'scheduler') ?? {}));
  return fields
    .filter(([name]) => name !== 'plugins' && name !== 'pluginConfig')
    .flatMap(([name, schema]) =>
      fieldRows(schema, valueAt(effective, ['scheduler', name]), valueAt(written, ['scheduler', name])).map(
        (row) => [joinedPath(name, row.path), valueText(row), schema.description ?? ''],
      ),
    );
}

function pluginList(config: Written, list: string, which: string): readonly unknown[] | undefined {
  const value = valueAt(config, ['scheduler', 'plugins', list, which]);
  return value === undefined ? undefined : listOf(value);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The name of a plugin that is written as a name, or as a mapping with one. */
function nameOf(entry: unknown): string {
  const name = isMapping(entry) ? entry['name'] : entry;
  return typeof name === 'string' ? name : '';
}

function argsOf(entry: unknown): Written {
  const args = valueAt(entry, ['args']);
  return isMapping(args) ? args : {};
}
