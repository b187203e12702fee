/** Keys that are written twice: which ones are let pass, and what is said of the others. */
import { isDeepStrictEqual } from 'node:util';
import { configKeys } from './config-keys.ts';
import { templatesBetween, type HelmTemplate } from './helm-templates.ts';
import type { Mistake } from './mistake.ts';
import type { PlacedText } from './placed-text.ts';
import type { DuplicateKey, MappingTree } from './value-tree.ts';

/** The fault of a duplicate key, at the second one. */
export function duplicateMistake({ path, key, first, second }: DuplicateKey, text: PlacedText): Mistake {
  const message = `is written a second time; the first is in ${text.lineAt(first.keyStart)}`;
  return { at: second.keyStart, path: [...path, key], message };
}

/**
 * Whether a duplicate key does no harm: the header of a manifest, printed twice with the same content, as in Kthena's
 * documentation; a key that a Helm template makes; or one that a template, standing between the two, writes only once.
 */
export function isHarmless(
  duplicate: DuplicateKey,
  manifests: readonly MappingTree[],
  templates: readonly HelmTemplate[],
): boolean {
  const { fields, key, first, second } = duplicate;
  if (headerKeys.includes(key) && manifests.some((manifest) => manifest.fields === fields))
    return isDeepStrictEqual(first.tree.value, second.tree.value);
  const between = templatesBetween(templates, first.keyEnd, second.keyStart);
  return key.includes('{{') || (!configKeys.includes(key) && between.some(({ wholeLine }) => wholeLine));
}

const headerKeys = ['apiVersion', 'kind', 'metadata'];
