/** The one name that the schema drops without a word wherever users choose names: of models, groups and arguments. */
import type { ConfigPath, Finding } from './dialects/dialect.ts';
import { fieldsAt } from './fields-at.ts';
import { configSchema } from './schema.ts';
import { isMapping } from './written.ts';

const dropped = '__proto__';

/** Where it is written in Sluice's own form, as faults. Where it would have to be a field, the schema itself complains. */
export function droppedNames(written: unknown, path: ConfigPath = []): Finding[] {
  if (Array.isArray(written)) return written.flatMap((item, i) => droppedNames(item, [...path, i]));
  if (!isMapping(written)) return [];
  const below = Object.entries(written).flatMap(([key, value]) => droppedNames(value, [...path, key]));
  if (!Object.hasOwn(written, dropped) || fieldsAt(configSchema, path) !== undefined) return below;
  return [
    { path, key: dropped, message: `"${dropped}" cannot be a name here: choose another one` },
    ...below,
  ];
}
