/** Values as vllm-router's configuration writes them, and what to say where they are not. */
import { didYouMean, shown } from '../describe-issue.ts';
import type { Written } from '../written.ts';
import type { ConfigPath, Finding } from './dialect.ts';

/** The value of a field, known by its name in the JSON file; undefined where nothing is said. */
export type ReadField = (field: string) => unknown;

/** The items of `a,b,c` without surrounding blanks, or of a list as they are. A trailing comma is no item. */
export function commaList(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value.map((item: unknown) => item);
  if (typeof value !== 'string') return undefined;
  const items = value.split(',').map((item) => item.trim());
  if (items.at(-1) === '') items.pop();
  return items;
}

/** What to say where `commaList` finds none. */
export function notAList(path: ConfigPath, value: unknown): Finding {
  return { path, message: `${shown(value)} is neither a list nor a string with commas between its items` };
}

/** What to say of a choice that there is not. */
export function notOneOf(value: unknown, choices: readonly string[]): string {
  const listed = choices.map(shown).join(', ');
  if (value === undefined) return `is missing: it is one of ${listed}`;
  return `${shown(value)} is not one of ${listed}${didYouMean(value, choices)}`;
}

/** Fields of the mapping at the path that it does not have here. */
export function unknownFields(path: ConfigPath, mapping: Written, fields: readonly string[]): Finding[] {
  return Object.keys(mapping)
    .filter((key) => !fields.includes(key))
    .map((key) => {
      const hint = didYouMean(key, fields);
      const ending = hint === '' ? `; there are ${fields.join(', ')}` : hint;
      return { path, key, message: `there is no field ${shown(key)} here${ending}` };
    });
}

/** Without fields that say nothing. */
export function stated(fields: Written): Written {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
