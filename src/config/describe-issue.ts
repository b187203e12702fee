/** What is wrong with a value, in a sentence that shows the value. */
import type { z } from 'zod';
import { nearest } from '../lib/nearest.ts';

/** The sentence for one issue that zod found in `root`. */
export function describeIssue(issue: z.core.$ZodIssue, root: unknown): string {
  const value = valueAt(root, issue.path);
  switch (issue.code) {
    case 'invalid_type':
      if (value === undefined) return 'is missing';
      return `${shown(value)} is not ${article(issue.expected)}`;
    case 'invalid_value':
      return `${shown(value)} is not one of ${issue.values.map(shown).join(', ')}${didYouMean(value, issue.values)}`;
    case 'too_small':
      if (issue.origin === 'string') return 'must not be empty';
      return `${shown(value)} is too small: the least is ${issue.minimum}`;
    case 'too_big':
      return `${shown(value)} is too great: the greatest is ${issue.maximum}`;
    case 'invalid_union':
    case 'invalid_format':
    case 'not_multiple_of':
    case 'unrecognized_keys':
    case 'invalid_key':
    case 'invalid_element':
    case 'custom':
      return issue.message;
  }
}

/** `; did you mean "x"?`, or nothing where no word is near. */
export function didYouMean(value: unknown, words: readonly unknown[]): string {
  if (typeof value !== 'string') return '';
  const word = nearest(
    value,
    words.filter((candidate) => typeof candidate === 'string'),
  );
  return word === undefined ? '' : `; did you mean ${shown(word)}?`;
}

/** A value as JSON, cut where it is long. */
export function shown(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`;
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let at = root;
  for (const step of path) {
    if (typeof at !== 'object' || at === null) return undefined;
    at = Reflect.get(at, step);
  }
  return at;
}

function article(expected: string): string {
  switch (expected) {
    case 'int':
      return 'a whole number';
    case 'array':
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
