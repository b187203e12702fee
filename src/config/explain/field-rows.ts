/** Fields of a configuration one by one, each with its value for people. */
import { fieldsOf, itemsOf, type JsonSchema } from '../json-schema.ts';
import { isMapping, valueAt } from '../written.ts';
import { branchFor, valuesOf } from './effective-config.ts';
import { inUsualForm } from './written-units.ts';

/** One field. */
export interface FieldRow {
  /** Where it is, like `static.backends[0].url`. */
  readonly path: string;
  readonly value: string;
  /** Nobody wrote it. */
  readonly isDefault: boolean;
  /** The default, where there is one. */
  readonly defaultValue: string | undefined;
}

/**
 * Every field below `effective`, in the order of the schema. Lists of plain values are one field, and so are empty
 * lists and mappings. `written` is what somebody wrote of it.
 */
export function fieldRows(schema: JsonSchema, effective: unknown, written: unknown): readonly FieldRow[] {
  return rowsBelow(schema, effective, written, '');
}

function rowsBelow(schema: JsonSchema, effective: unknown, written: unknown, path: string): FieldRow[] {
  const form = branchFor(schema, effective);
  if (isMapping(effective) && Object.keys(effective).length > 0 && !isJwks(effective)) {
    const fields = fieldsOf(form);
    return Object.entries(effective).flatMap(([name, member]) =>
      rowsBelow(fields[name] ?? valuesOf(form), member, valueAt(written, [name]), joinedPath(path, name)),
    );
  }
  if (Array.isArray(effective) && effective.some((item) => isMapping(item) || Array.isArray(item))) {
    return effective.flatMap((item, i) =>
      rowsBelow(itemsOf(form) ?? {}, item, valueAt(written, [i]), `${path}[${i}]`),
    );
  }
  const defaultValue = schema.default === undefined ? undefined : shownValue(schema, schema.default);
  return [{ path, value: shownValue(schema, effective), isDefault: written === undefined, defaultValue }];
}

/** A value without anything below it: durations and sizes in their usual form, lists with commas. */
export function shownValue(schema: JsonSchema, value: unknown): string {
  if (Array.isArray(value)) {
    const item = itemsOf(branchFor(schema, value)) ?? {};
    return value.length === 0 ? 'none' : value.map((element) => shownValue(item, element)).join(', ');
  }
  if (isJwks(value)) return `${value.keys.length} ${value.keys.length === 1 ? 'key' : 'keys'}, given here`;
  if (isMapping(value)) return Object.keys(value).length === 0 ? 'none' : JSON.stringify(value);
  const unit = schema['x-unit'];
  if (unit === 'duration' || unit === 'size') return inUsualForm(unit, value) ?? String(value);
  return typeof value === 'string' && isPlain(value) ? value : JSON.stringify(value);
}

/** The value of a field, and whether it is the default. */
export function valueText({ value, isDefault }: FieldRow): string {
  return isDefault ? `${value} (default)` : value;
}

/** A path and what comes below it, a field or a place in a list. */
export function joinedPath(path: string, below: string): string {
  return path === '' || below === '' || below.startsWith('[') ? `${path}${below}` : `${path}.${below}`;
}

/** Keys for tokens: nobody wants to read their numbers. */
function isJwks(value: unknown): value is { readonly keys: readonly unknown[] } {
  const keys = valueAt(value, ['keys']);
  return Array.isArray(keys) && keys.some((key) => valueAt(key, ['kty']) !== undefined);
}

function isPlain(text: string): boolean {
  return text !== '' && text === text.trim() && !/\p{Cc}/u.test(text);
}
