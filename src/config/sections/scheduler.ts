/** The `scheduler` section, as Kthena writes it, and the profile that it asks for. */
import { z } from 'zod';
import type { PluginDefinition } from '../../scheduling/plugin.ts';
import type { PluginConfig, ProfileConfig } from '../../scheduling/profile.ts';
import { notInRange, shown } from '../describe-issue.ts';
import { addRepairs, withRepairs, type IssueParams } from '../lenient.ts';
import { isMapping } from '../written.ts';
import { argFaults, paramsOf, withDefaults } from './plugin-args.ts';
import { listFaults } from './plugin-lists.ts';
import { pluginName, registry, typeOf } from './plugin-names.ts';

/** What runs where a list is not given. */
const defaultFilters = ['least-request'];
const defaultScorers = ['least-request', 'kv-cache', 'least-latency', 'prefix-cache'].map((name) => ({
  name,
  weight: 1,
}));

const weight = withRepairs(
  z
    .number({
      error: ({ input }) =>
        input === undefined ? 'is missing: write a number of 0 or more' : notInRange(input, { least: 0 }),
    })
    .min(0)
    // The sum of all has to stay a number.
    .max(Number.MAX_SAFE_INTEGER, {
      error: ({ input }) => `${shown(input)} is too great: the greatest is ${Number.MAX_SAFE_INTEGER}`,
    }),
  // What Kthena cannot read as a whole number keeps it from starting.
  (input) =>
    input === undefined || input === null || (Number.isInteger(input) && Number(input) < 0)
      ? [{ up: 0, value: 0 }]
      : undefined,
).describe('How much the score counts: 0 or more.');

const pluginConfig = z
  .strictObject({
    name: pluginName(undefined, { skips: 1 }).describe('The plugin.'),
    args: z
      .record(z.string(), z.unknown())
      .nullish()
      .describe('Its parameters; their names are matched without regard to case.'),
  })
  .superRefine(checkArgs, { when: () => true });

/** The section with its faults found, and turned into a profile. */
export const schedulerSection = z
  .strictObject({
    pluginConfig: list(pluginConfig).default([]).describe('Parameters of plugins, wherever these are used.'),
    plugins: z
      .strictObject({
        Filter: z
          .strictObject({
            enabled: list(pluginName('filter', { skips: 0 }))
              .default(defaultFilters)
              .describe('Filters in the order in which they run, instead of the default list.'),
            disabled: list(pluginName('filter', { skips: 0 }))
              .default([])
              .describe('Filters that do not run even if they are enabled.'),
          })
          .prefault({})
          .describe('Who can serve a request at all.'),
        Score: z
          .strictObject({
            enabled: list(enabledScorer())
              .default(defaultScorers)
              .describe('Scorers and their weights, instead of the default list.'),
            disabled: list(z.union([pluginName('scorer', { skips: 0 }), disabledScorer()]))
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
  .superRefine(
    (section, context) => {
      for (const { path, message, repairs } of listFaults(section)) {
        const params: IssueParams = { repairs };
        context.addIssue({ code: 'custom', path: [...path], message, params });
      }
    },
    // Also where something else is wrong: whoever corrects a file wants to know all of it.
    { when: () => true },
  )
  .transform(({ pluginConfig: configured, plugins: { Filter, Score }, maxEndpoints }) => {
    const params = new Map(
      configured.map(({ name, args }) => [typeOf(undefined, name), paramsOf(name, args ?? {})]),
    );
    const plugin = (definition: PluginDefinition): PluginConfig => ({
      type: definition.type,
      params: withDefaults(definition, params.get(definition.type)),
    });
    const noFilters = Filter.disabled.map((name) => typeOf('filter', name));
    const noScorers = Score.disabled.map((item) =>
      typeOf('scorer', typeof item === 'string' ? item : item.name),
    );
    const profile: ProfileConfig = {
      filters: Filter.enabled
        .map((name) => found('filter', name))
        .filter(({ type }) => !noFilters.includes(type))
        .map(plugin),
      scorers: Score.enabled
        .map(({ name, weight }) => ({ ...plugin(found('scorer', name)), weight }))
        .filter(({ type }) => !noScorers.includes(type)),
      picker: plugin(found('picker', 'max-score')),
    };
    return { profile, maxEndpoints };
  });

/** A list; one without anything below it could mean none as well as the default. */
function list<Item extends z.ZodType>(item: Item) {
  return withRepairs(
    z.array(item, {
      error: ({ input }) =>
        input === null ? 'has nothing below it: write [] for none, or remove it for the default' : undefined,
    }),
    (input) => (input === null ? [{ up: 0, value: [] }] : undefined),
  );
}

function enabledScorer() {
  return z.strictObject(
    { name: pluginName('scorer', { skips: 1, runs: true }), weight },
    {
      error: ({ code, input }) =>
        code === 'invalid_type' && typeof input === 'string'
          ? `${shown(input)} has no weight: write { name: ${input}, weight: 1 }`
          : undefined,
    },
  );
}

function disabledScorer() {
  return z.strictObject({ name: pluginName('scorer', { skips: 1 }), weight: weight.optional() });
}

function checkArgs(entry: unknown, context: z.core.$RefinementCtx): void {
  if (!isMapping(entry)) return;
  const { name, args } = entry;
  if (typeof name !== 'string' || typeOf(undefined, name) === undefined) return;
  if (isMapping(args)) {
    for (const { path, message, params } of argFaults(name, args))
      context.addIssue({ code: 'custom', path: ['args', ...path], message, params });
    return;
  }
  // Kthena takes the defaults, except of the one plugin whose arguments must be right.
  if (typeOf(undefined, name) === 'least-latency') return;
  addRepairs(context.issues, ['args'], () => [{ up: 0 }]);
}

/** Names are checked before. */
function found(kind: PluginDefinition['kind'], name: string): PluginDefinition {
  const definition = registry.find(kind, name);
  if (definition === undefined) throw new Error(`Cannot find the ${kind} "${name}"`);
  return definition;
}
