/** Which fields a schema knows at a place, for "did you mean" and for sections with nothing below them. */
import { z } from 'zod';

/** The fields that a mapping at `path` may have; undefined where the schema has no such mapping. */
export function fieldsAt(
  schema: z.core.$ZodType,
  path: readonly PropertyKey[],
): readonly string[] | undefined {
  let at: z.core.$ZodType | undefined = writtenSchema(schema);
  for (const step of path) {
    if (at instanceof z.ZodObject) at = Object.hasOwn(at.shape, step) ? shapeOf(at)[String(step)] : undefined;
    else if (at instanceof z.ZodArray) at = at.element;
    else at = undefined;
    if (at === undefined) return undefined;
    at = writtenSchema(at);
  }
  return at instanceof z.ZodObject ? Object.keys(at.shape) : undefined;
}

/** The schema of what is written in the file, without defaults and transformations around it. */
export function writtenSchema(schema: z.core.$ZodType): z.core.$ZodType {
  let at = schema;
  for (;;) {
    if (at instanceof z.ZodDefault || at instanceof z.ZodPrefault || at instanceof z.ZodOptional)
      at = at.unwrap();
    else if (at instanceof z.ZodPipe) at = at.in;
    else return at;
  }
}

function shapeOf(schema: z.ZodObject): Readonly<Record<string, z.core.$ZodType>> {
  return schema.shape;
}
