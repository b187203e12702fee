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

const restartMark = 'x-restart';

export function countsAtStartOnly(schema: z.core.$ZodType): boolean {
  return schema instanceof z.ZodType && schema.meta()?.[restartMark] === true;
}

interface StartField {
  readonly path: ConfigPath;
  readonly schema: z.core.$ZodType;
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
    (field) =>
      !isDeepStrictEqual(
        z.safeParse(field.schema, valueAt(running, field.path)).data,
        z.safeParse(field.schema, valueAt(next, field.path)).data,
      ),
  );
  return {
    written: changed.reduce((written, { path }) => withValue(written, path, valueAt(running, path)), next),
    waiting: changed.map(({ path }) => path.join('.')),
  };
}

function startFields(schema: z.core.$ZodType, path: ConfigPath, inMarked = false): StartField[] {
  const marked = inMarked || countsAtStartOnly(schema);
  const form = writtenSchema(schema);
  if (!(form instanceof z.ZodObject)) return marked ? [{ path, schema }] : [];
  const fields: Readonly<Record<string, z.core.$ZodType>> = form.shape;
  return Object.entries(fields).flatMap(([key, field]) => startFields(field, [...path, key], marked));
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
