/** Fields that only count when Sluice starts: ports, files, and what Envoy was started with. */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { ConfigPath } from './dialects/dialect.ts';
import { writtenSchema } from './fields-at.ts';
import { isMapping, valueAt, type Written } from './written.ts';

/** Marks a field, or a whole section, that takes effect after a restart and not before. */
export function atStart<T extends z.ZodType>(schema: T): T {
  return schema.meta({ ...schema.meta(), [restartMark]: true });
}

/**
 * Marks a section that stays as it is, as a whole, until a restart, where this field of it becomes another one: as it
 * is once parsed, for what is not written may follow from the rest.
 */
export function wholeAtStart<T extends z.ZodType>(schema: T, field: string): T {
  return schema.meta({ ...schema.meta(), [restartMark]: field });
}

const restartMark = 'x-restart';

export function countsAtStartOnly(schema: z.core.$ZodType): boolean {
  return schema instanceof z.ZodType && schema.meta()?.[restartMark] === true;
}

function decidingField(schema: z.core.$ZodType): string | undefined {
  const mark = schema instanceof z.ZodType ? schema.meta()?.[restartMark] : undefined;
  return typeof mark === 'string' ? mark : undefined;
}

interface StartField {
  readonly path: ConfigPath;
  readonly schema: z.core.$ZodType;
  /** The field of it that decides; absent: all of it. */
  readonly by?: string;
}

/**
 * What becomes of a new configuration in a Sluice that runs already: the fields that only count at a start stay as they
 * are.
 *
 * @returns the configuration that can take effect now, and the paths of the fields that wait for a restart.
 */
export function atRunTime(
  schema: z.core.$ZodType,
  running: Written,
  next: Written,
): { readonly written: Written; readonly waiting: readonly string[] } {
  const changed = startFields(schema, []).filter(
    (field) => !isDeepStrictEqual(meantBy(field, running), meantBy(field, next)),
  );
  // What is in a section that stays is not looked at: the section comes before its fields.
  const staying = changed.filter(({ path }, i) => !changed.slice(0, i).some((other) => isIn(path, other)));
  return {
    written: staying.reduce((written, { path }) => withValue(written, path, valueAt(running, path)), next),
    waiting: staying.map(({ path, by }) => [...path, ...(by === undefined ? [] : [by])].join('.')),
  };
}

function meantBy({ path, schema, by }: StartField, written: Written): unknown {
  const { data } = z.safeParse(schema, valueAt(written, path));
  return by === undefined ? data : valueAt(data, [by]);
}

function isIn(path: ConfigPath, section: StartField): boolean {
  return section.by !== undefined && section.path.every((step, i) => step === path[i]);
}

function startFields(schema: z.core.$ZodType, path: ConfigPath, inMarked = false): StartField[] {
  const marked = inMarked || countsAtStartOnly(schema);
  const form = writtenSchema(schema);
  if (!(form instanceof z.ZodObject)) return marked ? [{ path, schema }] : [];
  const fields: Readonly<Record<string, z.core.$ZodType>> = form.shape;
  const by = decidingField(schema);
  const below = Object.entries(fields)
    .filter(([key]) => key !== by)
    .flatMap(([key, field]) => startFields(field, [...path, key], marked));
  return by === undefined ? below : [{ path, schema, by }, ...below];
}

function withValue(written: Written, path: ConfigPath, value: unknown): Written {
  const [key, ...rest] = path.map(String);
  if (key === undefined) return written;
  if (rest.length > 0) {
    const below = written[key];
    return { ...written, [key]: withValue(isMapping(below) ? below : {}, rest, value) };
  }
  const others = Object.entries(written).filter(([name]) => name !== key);
  return Object.fromEntries(value === undefined ? others : [...others, [key, value]]);
}
