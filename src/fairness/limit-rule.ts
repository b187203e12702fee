/** The rules of token limits, and which of them a request counts against. */
import type { Caller } from './caller.ts';

/** What a rule can limit over time. */
export const quantities = ['inputTokens', 'outputTokens', 'totalTokens', 'requests'] as const;

export type Quantity = (typeof quantities)[number];

/** So much of each. */
export type Quantities = Readonly<Record<Quantity, number>>;

/** What callers may use. Amounts are 1 or more, and are for each `perMs`; what is not there is not limited. */
export interface LimitRule {
  /** Unlike that of any other rule. */
  readonly name: string;
  /** Who has amounts of their own: each caller, each group that a caller is in, or each model. */
  readonly scope: 'principal' | 'group' | 'model';
  /** Only requests of these callers count; absent: those of all, and so below. */
  readonly subjects?: readonly string[];
  /** Only requests of callers in one of these groups count; in scope `group` in each of these that the caller is in. */
  readonly groups?: readonly string[];
  readonly models?: readonly string[];
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly totalTokens?: number;
  readonly requests?: number;
  readonly perMs: number;
  readonly concurrentRequests?: number;
}

/** A rule made ready for use. */
export interface Limit {
  /** The same for the same name and scope, whatever the amounts are. */
  readonly id: string;
  readonly rule: LimitRule;
  /** What of it is limited over time. */
  readonly limited: readonly Quantity[];
  /** Of the limited ones; 0 for others. */
  readonly amounts: Quantities;
}

/** One bucket that a request takes from. */
export interface Charge {
  readonly limit: Limit;
  /** Whose bucket it is: a caller's id, a group or a model. */
  readonly owner: string;
  /** The same for the same rule, scope and owner in every process, different for any two. */
  readonly key: string;
}

/** The buckets a request takes from; undefined where no rule is about it. */
export type MatchLimits = (caller: Caller, model: string) => readonly Charge[] | undefined;

interface Matcher {
  readonly limit: Limit;
  readonly subjects: ReadonlySet<string> | undefined;
  readonly groups: ReadonlySet<string> | undefined;
  readonly models: ReadonlySet<string> | undefined;
}

/** Makes a rule ready. */
export function createLimit(rule: LimitRule): Limit {
  const { inputTokens = 0, outputTokens = 0, totalTokens = 0, requests = 0 } = rule;
  return {
    // Without a colon in the name, what comes after the id can be anything.
    id: `${encodeURIComponent(rule.name)}:${rule.scope}`,
    rule,
    limited: quantities.filter((quantity) => rule[quantity] !== undefined),
    amounts: { inputTokens, outputTokens, totalTokens, requests },
  };
}

/** Creates what finds the buckets of a request, in the order of the limits. */
export function createLimitMatcher(limits: readonly Limit[]): MatchLimits {
  const matchers = limits.map(createMatcher);
  return (caller, model) => {
    let charges: Charge[] | undefined;
    for (const matcher of matchers) {
      if (isAbout(matcher, caller, model)) {
        charges ??= [];
        addCharges(charges, matcher, caller, model);
      }
    }
    // A caller in no group counts against no rule for groups.
    return charges === undefined || charges.length === 0 ? undefined : charges;
  };
}

function createMatcher(limit: Limit): Matcher {
  const { subjects, groups, models } = limit.rule;
  return {
    limit,
    subjects: subjects && new Set(subjects),
    groups: groups && new Set(groups),
    models: models && new Set(models),
  };
}

function isAbout({ subjects, groups, models }: Matcher, caller: Caller, model: string): boolean {
  if (models !== undefined && !models.has(model)) return false;
  if (subjects !== undefined && (caller.subject === undefined || !subjects.has(caller.subject))) return false;
  return groups === undefined || caller.groups.some((group) => groups.has(group));
}

function addCharges(charges: Charge[], matcher: Matcher, caller: Caller, model: string): void {
  const { limit, groups } = matcher;
  const add = (owner: string): void => void charges.push({ limit, owner, key: `${limit.id}:${owner}` });
  const { scope } = limit.rule;
  switch (scope) {
    case 'principal':
      add(caller.id);
      break;
    case 'model':
      add(model);
      break;
    case 'group':
      // A token may name a group twice.
      for (const group of new Set(caller.groups)) if (groups === undefined || groups.has(group)) add(group);
      break;
    default:
      scope satisfies never;
  }
}
