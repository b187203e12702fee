/** The `scheduler` section, as Kthena writes it, and the profile that it asks for. */
import { z } from 'zod';
import type { PluginDefinition } from '../../scheduling/plugin.ts';
import type { PluginConfig, ProfileConfig } from '../../scheduling/profile.ts';
import { createRegistry } from '../../scheduling/registry.ts';
import { describeIssue, didYouMean, shown } from '../describe-issue.ts';

const registry = createRegistry();

/** What runs where a list is not given. */
const defaultFilters = ['least-request'];
const defaultScorers = ['least-request', 'kv-cache', 'least-latency', 'prefix-cache'].map((name) => ({
  name,
  weight: 1,
}));

type Kind = PluginDefinition['kind'];

const weight = z.number().min(0).describe('How much the score counts: 0 or more.');

const pluginConfig = z
  .strictObject({
    name: z
      .string()
      .refine((name) => registry.named(name).length > 0, { error: ({ input }) => noSuch('plugin', input) })
      .describe('The plugin.'),
    args: z
      .record(z.string(), z.unknown())
      .nullish()
      .describe('Its parameters; their names are matched without regard to case.'),
  })
  .transform(({ name, args }, context) => {
    const { params, faults } = readArgs(name, args ?? {});
    for (const { path, message } of faults)
      context.addIssue({ code: 'custom', path: ['args', ...path], message });
    return { type: registry.named(name)[0]?.type ?? name, params };
  });

/** The section with its faults found, and turned into a profile. */
export const schedulerSection = z
  .strictObject({
    pluginConfig: z
      .array(pluginConfig)
      .default([])
      .describe('Parameters of plugins, wherever these are used.'),
    plugins: z
      .strictObject({
        Filter: z
          .strictObject({
            enabled: z
              .array(pluginName('filter'))
              .default(defaultFilters)
              .describe('Filters in the order in which they run, instead of the default list.'),
            disabled: z
              .array(pluginName('filter'))
              .default([])
              .describe('Filters that do not run even if they are enabled.'),
          })
          .prefault({})
          .describe('Who can serve a request at all.'),
        Score: z
          .strictObject({
            enabled: z
              .array(z.strictObject({ name: pluginName('scorer'), weight }))
              .default(defaultScorers)
              .describe('Scorers and their weights, instead of the default list.'),
            disabled: z
              .array(
                z.union([pluginName('scorer'), disabledScorer()], {
                  error: 'is neither a name nor a mapping with a name',
                }),
              )
              .default([])
              .describe(
                'Scorers that do not run even if they are enabled, each as a name or as a mapping with a name.',
              ),
          })
          .prefault({})
          .describe('Who of them should.'),
      })
      .prefault({})
      .describe('Which plugins run.'),
    maxEndpoints: z
      .int()
      .min(1)
      .max(16)
      .default(3)
      .describe('How many endpoints a decision names: one to go to, the others to fail over to.'),
  })
  .transform(({ pluginConfig: configured, plugins: { Filter, Score }, maxEndpoints }, context) => {
    const fault = (message: string, ...path: PropertyKey[]) =>
      context.addIssue({ code: 'custom', path, message });
    const paramsOf = new Map<string, PluginConfig['params']>();
    configured.forEach(({ type, params }, i) => {
      if (paramsOf.has(type)) fault(`${shown(type)} is configured twice`, 'pluginConfig', i, 'name');
      paramsOf.set(type, params);
    });

    const twice = (types: readonly string[], ...path: readonly PropertyKey[]) => {
      types.forEach((type, i) => {
        if (types.indexOf(type) < i) fault(`${shown(type)} is listed twice`, ...path, i);
      });
    };
    const filters = Filter.enabled.map((name) => typeOf('filter', name));
    twice(filters, 'plugins', 'Filter', 'enabled');
    const scorers = Score.enabled.map(({ name, weight }) => ({ type: typeOf('scorer', name), weight }));
    twice(
      scorers.map(({ type }) => type),
      'plugins',
      'Score',
      'enabled',
    );

    const noFilters = Filter.disabled.map((name) => typeOf('filter', name));
    const noScorers = Score.disabled.map((entry) =>
      typeOf('scorer', typeof entry === 'string' ? entry : entry.name),
    );
    const usedScorers = scorers.filter(({ type }) => !noScorers.includes(type));
    if (usedScorers.length === 0) {
      fault(
        'leaves no scorer: enable at least one',
        'plugins',
        'Score',
        ...(scorers.length === 0 ? ['enabled'] : ['disabled']),
      );
    }
    for (const { type } of usedScorers) {
      if (usedScorers.length === 1 || registry.find('scorer', type)?.exclusive !== true) continue;
      const at = scorers.findIndex((scorer) => scorer.type === type);
      fault(`${shown(type)} must be the only scorer`, 'plugins', 'Score', 'enabled', at, 'name');
    }

    const plugin = (kind: Kind, type: string): PluginConfig => ({
      type,
      params: withDefaults(kind, type, paramsOf.get(type)),
    });
    const profile: ProfileConfig = {
      filters: filters.filter((type) => !noFilters.includes(type)).map((type) => plugin('filter', type)),
      scorers: usedScorers.map(({ type, weight }) => ({ ...plugin('scorer', type), weight })),
      picker: plugin('picker', 'max-score'),
    };
    return { profile, maxEndpoints };
  });

/** A name of one kind of plugin, with a hint where it is of another kind or mistyped. */
function pluginName(kind: 'filter' | 'scorer') {
  return z.string().refine((name) => registry.find(kind, name) !== undefined, {
    error: ({ input }) => {
      const other = typeof input === 'string' ? registry.named(input)[0] : undefined;
      if (other === undefined) return noSuch(kind, input);
      return `${shown(input)} is a ${other.kind}, not a ${kind}`;
    },
  });
}

function disabledScorer() {
  return z.strictObject({ name: pluginName('scorer'), weight: weight.optional() });
}

function noSuch(kind: Kind | 'plugin', name: unknown): string {
  const names = registry.names(kind === 'plugin' ? undefined : kind);
  const hint = didYouMean(name, names);
  return `there is no ${kind} ${shown(name)}${hint === '' ? `; there are ${names.join(', ')}` : hint}`;
}

function typeOf(kind: Kind, name: string): string {
  return registry.find(kind, name)?.type ?? name;
}

interface ArgFault {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** Checks arguments against all plugins of that name and gives them the spelling of their parameters. */
function readArgs(
  name: string,
  args: Readonly<Record<string, unknown>>,
): { params: PluginConfig['params']; faults: ArgFault[] } {
  const definitions = registry.named(name);
  const parameters = [...new Set(definitions.flatMap(parametersOf))];
  const params: Record<string, unknown> = {};
  const writtenAs = new Map<string, string>();
  const faults: ArgFault[] = [];
  for (const [key, value] of Object.entries(args)) {
    const parameter = parameters.find((candidate) => candidate.toLowerCase() === key.toLowerCase());
    if (parameter === undefined) {
      faults.push({
        path: [key],
        message: `${shown(name)} has no parameter ${shown(key)}${didYouMean(key, parameters)}`,
      });
    } else if (Object.hasOwn(params, parameter)) {
      faults.push({ path: [key], message: `the parameter ${shown(parameter)} is given twice` });
    } else {
      params[parameter] = value;
      writtenAs.set(parameter, key);
    }
  }
  for (const definition of definitions) {
    const own = ownParams(definition, params);
    for (const issue of definition.params.safeParse(own).error?.issues ?? []) {
      const [parameter, ...rest] = issue.path;
      const path = [writtenAs.get(String(parameter)) ?? String(parameter), ...rest];
      const message = describeIssue(issue, own);
      if (!faults.some((known) => known.message === message && known.path[0] === path[0]))
        faults.push({ path, message });
    }
  }
  return { params, faults };
}

/** The parameters of one plugin, complete: what is not configured has its default. */
function withDefaults(kind: Kind, type: string, params: PluginConfig['params'] = {}): PluginConfig['params'] {
  const definition = registry.find(kind, type);
  if (definition === undefined) return params;
  const complete = definition.params.safeParse(ownParams(definition, params)).data;
  return typeof complete === 'object' && complete !== null ? { ...complete } : params;
}

function ownParams(definition: PluginDefinition, params: PluginConfig['params']): Record<string, unknown> {
  const own = parametersOf(definition);
  return Object.fromEntries(Object.entries(params).filter(([parameter]) => own.includes(parameter)));
}

function parametersOf({ params }: PluginDefinition): string[] {
  return params instanceof z.ZodObject ? Object.keys(params.shape) : [];
}
