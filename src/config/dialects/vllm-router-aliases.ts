/** The `static_aliases` of vllm-router: `alias:model,alias:model`, or a mapping. */
import { shown } from '../describe-issue.ts';
import { isMapping, type Written } from '../written.ts';
import type { Finding } from './dialect.ts';
import { commaList, notAList } from './vllm-router-values.ts';

/**
 * The `models` section that does the same: as there, an alias counts before a served model of its name, and is not
 * listed. One that stands for itself does nothing and is left out.
 */
export function aliasedModels(aliases: unknown): Written | undefined {
  if (aliases === undefined) return undefined;
  const pairs = isMapping(aliases)
    ? Object.entries(aliases)
    : (commaList(aliases) ?? []).map(aliasAndModel).filter((pair) => pair !== undefined);
  return { rewrites: Object.fromEntries(pairs.filter(([alias, model]) => alias !== model)) };
}

/** What is wrong with the text, at paths that begin with the field. */
export function aliasFaults(aliases: unknown): Finding[] {
  if (aliases === undefined || isMapping(aliases)) return [];
  const items = commaList(aliases);
  if (items === undefined) return [notAList(['static_aliases'], aliases)];
  return items.flatMap((item, i) => {
    if (aliasAndModel(item) !== undefined) return [];
    const message = `${shown(item)} is not an alias and a model with one ":" between them; a mapping can have names with more`;
    return [{ path: ['static_aliases', i], message }];
  });
}

function aliasAndModel(item: unknown): readonly [string, string] | undefined {
  const [alias, model, ...more] = typeof item === 'string' ? item.split(':') : [];
  return alias === undefined || model === undefined || more.length > 0
    ? undefined
    : [alias.trim(), model.trim()];
}
