/** What Kthena makes of faults that it ignores or only logs, for those who ask to be lenient. */
import type { z } from 'zod';
import type { ConfigPath } from './dialects/dialect.ts';
import { isMapping, type Written } from './written.ts';

/** A change to the written configuration after which a fault is gone: the value at `path` is set, or removed where `value` is absent. */
export interface Repair {
  readonly path: ConfigPath;
  readonly value?: unknown;
}

/** The same where the section does not know where it is: the path starts `up` steps above that of the issue. */
export interface RelativeRepair extends Omit<Repair, 'path'> {
  readonly up: number;
  readonly path?: ConfigPath;
}

/** What an issue may carry as its `params`. */
export interface IssueParams {
  /** The field of the mapping at the issue's path that this is about, where it is about the field and not its value. */
  readonly key?: string;
  readonly repairs?: readonly RelativeRepair[] | undefined;
}

/** What Kthena would make of this fault without a word; undefined where it would not start, or do something else. */
export function repairOf(issue: z.core.$ZodIssue): readonly Repair[] | undefined {
  if (issue.code === 'unrecognized_keys') {
    // Kthena checks tokens. Where this is not the place to ask for it, the wish must not get lost.
    if (issue.keys.includes('auth')) return undefined;
    return issue.keys.map((key) => ({ path: [...issue.path, key] }));
  }
  const params: unknown = 'params' in issue ? issue.params : undefined;
  if (!hasRepairs(params)) return undefined;
  return params.repairs.map(({ up, path = [], ...change }) => ({
    path: [...issue.path.slice(0, issue.path.length - up), ...path],
    ...change,
  }));
}

function hasRepairs(params: unknown): params is { readonly repairs: readonly RelativeRepair[] } {
  return isMapping(params) && Array.isArray(params['repairs']);
}

type RepairsOf = (input: unknown) => readonly RelativeRepair[] | undefined;

/** The schema, whose own issues (not those of its parts) carry the repairs that `repairsOf` names for the value. */
export function withRepairs<Schema extends z.ZodType>(schema: Schema, repairsOf: RepairsOf): Schema {
  return schema.superRefine((_, { issues }) => addRepairs(issues, [], repairsOf), { when: () => true });
}

/** For checks: lets the issues found so far at a path below the checked value carry repairs. */
export function addRepairs(issues: z.core.$ZodRawIssue[], path: ConfigPath, repairsOf: RepairsOf): void {
  issues.forEach((issue, i) => {
    if (JSON.stringify(issue.path ?? []) !== JSON.stringify(path)) return;
    const repairs = repairsOf(issue.input);
    if (repairs !== undefined) issues[i] = { ...issue, params: { repairs } satisfies IssueParams };
  });
}

/** The same configuration with all repairs done at once (list items removed last to first; nothing is mutated). */
export function repaired(written: Written, repairs: readonly Repair[]): Written {
  // Two faults of one value may ask for the same: removed twice, it would take its neighbour along.
  const byPath = new Map(repairs.map((repair) => [JSON.stringify(repair.path), repair]));
  const inOrder = [...byPath.values()].toSorted(innerAndLastFirst);
  const result = inOrder.reduce((whole: unknown, repair) => changed(whole, repair.path, repair), written);
  return isMapping(result) ? result : written;
}

/** Paths are those before any repair: what is done first must not move what is done later. */
function innerAndLastFirst(a: Repair, b: Repair): number {
  return b.path.length - a.path.length || itemOf(b) - itemOf(a);
}

function itemOf({ path }: Repair): number {
  const last = path.at(-1);
  return typeof last === 'number' ? last : -1;
}

function changed(at: unknown, [step, ...rest]: ConfigPath, repair: Repair): unknown {
  /** Nothing where the value is removed. */
  const change = (value: unknown): readonly unknown[] => {
    if (rest.length > 0) return [changed(value, rest, repair)];
    return Object.hasOwn(repair, 'value') ? [repair.value] : [];
  };
  if (Array.isArray(at)) return at.flatMap((item: unknown, i) => (i === step ? change(item) : [item]));
  if (!isMapping(at)) return at;
  const fields = Object.entries(Object.hasOwn(at, String(step)) ? at : { ...at, [String(step)]: undefined });
  return Object.fromEntries(
    fields.flatMap(([field, value]) =>
      field === String(step) ? change(value).map((after) => [field, after]) : [[field, value]],
    ),
  );
}
