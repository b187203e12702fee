/** What is wrong with a value, in a sentence that shows the value. */
import type { z } from 'zod';
import { nearest } from '../lib/nearest.ts';
import { valueAt } from './written.ts';

/** The sentence for one issue that zod found in `root`: the one of the schema, where it has its own. */
export function describeIssue(issue: z.core.$ZodIssue, root: unknown): string {
  if (!zodsOwnSentence.test(issue.message)) return issue.message;
  const value = valueAt(root, issue.path);
  switch (issue.code) {
    case 'invalid_type':
      return value === undefined ? 'is missing' : `${shown(value)} is not ${article(issue.expected, value)}`;
    case 'invalid_value':
      return value === undefined
        ? `is missing: it is one of ${listed(issue.values)}`
        : `${shown(value)} is not one of ${listed(issue.values)}${didYouMean(value, issue.values)}`;
    case 'too_small':
      return tooSmall(issue, value);
    case 'too_big':
      return tooBig(issue, value);
    case 'invalid_union':
      return inNoForm(issue, value);
    case 'invalid_key':
      return inKey(issue);
    case 'invalid_format':
      return issue.pattern === undefined || issue.format !== 'regex'
        ? `${shown(value)} is not a valid ${issue.format}`
        : `${shown(value)} does not match ${issue.pattern}`;
    case 'not_multiple_of':
      return `${shown(value)} is not a multiple of ${issue.divisor}`;
    case 'unrecognized_keys':
      return `there is no field ${listed(issue.keys)} here`;
    case 'invalid_element':
    case 'custom':
      return issue.message;
  }
}

/** How the sentences begin that zod makes up itself. They do not show the value. */
const zodsOwnSentence = /^(Invalid |Too (small|big):|Unrecognized key)/;

/** `; did you mean "x"?`, or nothing where no word is near. */
export function didYouMean(value: unknown, words: readonly unknown[]): string {
  if (typeof value !== 'string') return '';
  const word = nearest(
    value,
    words.filter((candidate) => typeof candidate === 'string'),
  );
  return word === undefined ? '' : `; did you mean ${shown(word)}?`;
}

/** A value as JSON, cut where it is long; a number that JSON cannot say as YAML says it. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'number' && !Number.isFinite(value))
    return Number.isNaN(value) ? '.nan' : value > 0 ? '.inf' : '-.inf';
  const text = JSON.stringify(value);
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`;
}

/** What numbers are allowed; without bounds, any. */
export interface NumberRange {
  readonly whole?: boolean;
  readonly least?: number | undefined;
  readonly greatest?: number | undefined;
}

/** The sentence for a value that is no such number. */
export function notInRange(value: unknown, { whole = false, least, greatest }: NumberRange): string {
  const what = whole ? 'a whole number' : article('number', value);
  const range =
    least !== undefined && greatest !== undefined
      ? ` from ${least} to ${greatest}`
      : least !== undefined
        ? ` of ${least} or more`
        : greatest !== undefined
          ? ` of ${greatest} or less`
          : '';
  const isQuoted = typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value);
  return `${shown(value)} is not ${what}${range}${isQuoted ? ': remove the quotes' : ''}`;
}

function listed(values: readonly unknown[]): string {
  return values.map(shown).join(', ');
}

function tooSmall({ origin, minimum, inclusive = true }: z.core.$ZodIssueTooSmall, value: unknown): string {
  switch (origin) {
    case 'string':
      return minimum <= 1
        ? 'must not be empty'
        : `${shown(value)} is too short: the least is ${minimum} characters`;
    case 'array':
      return minimum <= 1
        ? 'must not be empty'
        : `${shown(value)} has too few items: the least is ${minimum}`;
    default:
      return `${shown(value)} is too small: ${inclusive ? 'the least is' : 'it must be more than'} ${minimum}`;
  }
}

function tooBig({ origin, maximum, inclusive = true }: z.core.$ZodIssueTooBig, value: unknown): string {
  switch (origin) {
    case 'string':
      return `${shown(value)} is too long: the greatest is ${maximum} characters`;
    case 'array':
      return `${shown(value)} has too many items: the greatest is ${maximum}`;
    default:
      return `${shown(value)} is too great: ${inclusive ? 'the greatest is' : 'it must be less than'} ${maximum}`;
  }
}

/** A value that may have several forms: what keeps it from the form that it comes closest to, or what these are. */
function inNoForm(issue: z.core.$ZodIssueInvalidUnion, value: unknown): string {
  if ('options' in issue) {
    return value === undefined
      ? `is missing: it is one of ${listed(issue.options)}`
      : `${shown(value)} is not one of ${listed(issue.options)}${didYouMean(value, issue.options)}`;
  }
  if (value === undefined) return 'is missing';
  if (issue.errors.length === 0) return `${shown(value)} can be read in more than one way`;

  const [closest] = issue.errors
    .filter((faults) => !faults.some(isOfOtherForm))
    .toSorted((a, b) => a.length - b.length);
  if (closest !== undefined)
    return closest.map((fault) => `${pathPrefix(fault.path)}${describeIssue(fault, value)}`).join('; ');
  const forms = issue.errors.flatMap((faults) =>
    faults.filter(isOfOtherForm).flatMap((fault) => {
      if (fault.code === 'invalid_type') return [article(fault.expected, value)];
      return fault.code === 'invalid_value' ? fault.values.map(shown) : [];
    }),
  );
  return `${shown(value)} is not ${[...new Set(forms)].join(' or ')}`;
}

function isOfOtherForm({ code, path }: z.core.$ZodIssue): boolean {
  return path.length === 0 && (code === 'invalid_type' || code === 'invalid_value');
}

function pathPrefix(path: readonly PropertyKey[]): string {
  return path.length === 0 ? '' : `${path.map(String).join('.')}: `;
}

/** The value of such an issue is a key, which is the last step of its path. */
function inKey({ path, issues }: z.core.$ZodIssueInvalidKey): string {
  const key = path.at(-1);
  return `the key ${shown(key)} is not valid: ${issues.map((fault) => describeIssue(fault, key)).join('; ')}`;
}

function article(expected: string, value: unknown): string {
  switch (expected) {
    case 'int':
      return 'a whole number';
    case 'number':
      return value === Infinity || value === -Infinity ? 'a finite number' : 'a number';
    case 'array':
    case 'tuple':
      return 'a list';
    case 'object':
    case 'record':
      return 'a mapping';
    case 'boolean':
      return 'true or false';
    default:
      return `a ${expected}`;
  }
}

/** A mistaken URL is shown, a password in it is not. */
export function withoutUser(input: unknown): unknown {
  return typeof input === 'string' ? input.replace(/[^/]*@/, '…@') : input;
}
