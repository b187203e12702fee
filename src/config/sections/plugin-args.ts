/** The `args` of a plugin: what is wrong with them, and the parameters that they give. */
import { z } from 'zod';
import type { PluginDefinition } from '../../scheduling/plugin.ts';
import type { PluginConfig } from '../../scheduling/profile.ts';
import { describeIssue, didYouMean, notInRange, shown, type NumberRange } from '../describe-issue.ts';
import { writtenSchema } from '../fields-at.ts';
import type { IssueParams, RelativeRepair } from '../lenient.ts';
import type { Written } from '../written.ts';
import { registry } from './plugin-names.ts';

type Params = PluginConfig['params'];

interface ArgFault {
  /** From the arguments on. */
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly params: IssueParams;
}

/** Checks arguments against every plugin of the name: `least-request` is a filter and a scorer. */
export function argFaults(name: string, args: Written): ArgFault[] {
  const definitions = registry.named(name);
  const parameters = [...new Set(definitions.flatMap(parametersOf))];
  const { params, keyOf } = spelledRight(parameters, args);
  const keys = new Set(keyOf.values());
  const faults = Object.keys(args)
    .filter((key) => !keys.has(key))
    .map((key) => strayFault(name, key, parameters));
  for (const definition of definitions) {
    const own = ownParams(definition, params);
    for (const issue of definition.params.safeParse(own).error?.issues ?? []) {
      const path = issue.path.map((step, i) => (i === 0 ? (keyOf.get(String(step)) ?? step) : step));
      const message = valueSentence(definition, issue, own);
      if (faults.some((known) => known.message === message && known.path[0] === path[0])) continue;
      const repairs = path.length === 1 ? repairsFor(definition.type, String(issue.path[0]), own) : undefined;
      faults.push({ path, message, params: { repairs } });
    }
  }
  return faults;
}

/** What arguments without faults give: the parameters in their own spelling. */
export function paramsOf(name: string, args: Written): Params {
  return spelledRight([...new Set(registry.named(name).flatMap(parametersOf))], args).params;
}

/** The parameters of one plugin, complete: what is not configured has its default. */
export function withDefaults(definition: PluginDefinition, params: Params = {}): Params {
  const complete = definition.params.safeParse(ownParams(definition, params)).data;
  return typeof complete === 'object' && complete !== null ? { ...complete } : params;
}

/** Upper and lower case do not count; of two spellings the first does. */
function spelledRight(parameters: readonly string[], args: Written) {
  const params: Record<string, unknown> = {};
  const keyOf = new Map<string, string>();
  for (const [key, value] of Object.entries(args)) {
    const parameter = named(parameters, key);
    if (parameter === undefined || keyOf.has(parameter)) continue;
    params[parameter] = value;
    keyOf.set(parameter, key);
  }
  return { params, keyOf };
}

function named(parameters: readonly string[], key: string): string | undefined {
  return parameters.find((candidate) => candidate.toLowerCase() === key.toLowerCase());
}

/** An argument that is of no parameter, or of one that has its argument. */
function strayFault(name: string, key: string, parameters: readonly string[]): ArgFault {
  const parameter = named(parameters, key);
  if (parameter !== undefined)
    return { path: [], message: `the parameter ${shown(parameter)} is given twice`, params: { key } };
  const hint = didYouMean(key, parameters);
  const all = parameters.length === 0 ? '; it has none' : `; there are ${parameters.join(', ')}`;
  return {
    path: [],
    message: `${shown(name)} has no parameter ${shown(key)}${hint === '' ? all : hint}`,
    params: { key, repairs: [{ up: 0, path: [key] }] },
  };
}

function valueSentence(definition: PluginDefinition, issue: z.core.$ZodIssue, own: Written): string {
  const parameter = String(issue.path[0]);
  const range = issue.path.length === 1 ? rangeOf(shapeOf(definition)[parameter]) : undefined;
  return range === undefined ? describeIssue(issue, own) : notInRange(own[parameter], range);
}

/** Undefined where the values are no numbers. */
function rangeOf(schema: z.core.$ZodType | undefined): NumberRange | undefined {
  const number = schema === undefined ? undefined : writtenSchema(schema);
  if (!(number instanceof z.ZodNumber)) return undefined;
  return {
    whole: number.format?.includes('int') === true,
    least: bound(number.minValue),
    greatest: bound(number.maxValue),
  };
}

/** A whole number has the range of safe integers for bounds where its schema has none. */
function bound(value: number | null): number | undefined {
  return value !== null && Math.abs(value) < Number.MAX_SAFE_INTEGER ? value : undefined;
}

/** The arguments that Kthena reads as whole numbers. All others of its own are fatal there if they are wrong. */
const integersOfKthena: Readonly<Record<string, readonly string[]>> = {
  'least-request': ['maxWaitingRequests'],
  'prefix-cache': ['blockSizeToHash', 'maxBlocksToMatch', 'maxHashCacheSize', 'topKMatches'],
};

/** What Kthena makes of a value that is refused here. The path of the issue is that of the argument. */
function repairsFor(type: string, parameter: string, params: Params): readonly RelativeRepair[] | undefined {
  if (integersOfKthena[type]?.includes(parameter) !== true) return undefined;
  const value = params[parameter];
  if (value === null || value === 0) return onlyThis;
  if (!isInt64(value)) return allOfThePlugin;
  return value < 0 && type === 'prefix-cache' ? onlyThis : undefined;
}

const onlyThis: readonly RelativeRepair[] = [{ up: 0 }];
const allOfThePlugin: readonly RelativeRepair[] = [{ up: 1 }];

function isInt64(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && Math.abs(value) < 2 ** 63;
}

function ownParams(definition: PluginDefinition, params: Params): Written {
  const own = parametersOf(definition);
  return Object.fromEntries(Object.entries(params).filter(([parameter]) => own.includes(parameter)));
}

function parametersOf(definition: PluginDefinition): string[] {
  return Object.keys(shapeOf(definition));
}

function shapeOf({ params }: PluginDefinition): Readonly<Record<string, z.core.$ZodType>> {
  return params instanceof z.ZodObject ? params.shape : {};
}
