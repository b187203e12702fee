/** Which configurations a document holds: it is one itself, or a Kubernetes manifest with some inside. */
import type { ConfigPath } from '../dialects/dialect.ts';
import { configKeys } from './config-keys.ts';
import type { Mistake } from './mistake.ts';
import type { Field, MappingTree, ValueTree } from './value-tree.ts';

/** One configuration: a mapping, or the text of one. */
export interface Held {
  /** For people; empty for a document that is the configuration itself. */
  readonly form: string;
  /** Where it is in the document. */
  readonly path: ConfigPath;
  /** What holds it; absent for a document that is the configuration itself. */
  readonly field: Field | undefined;
  readonly tree: ValueTree;
  /** Why it cannot be read. */
  readonly problem: string | undefined;
}

/** A Kubernetes object that configures nothing here. */
export interface Skipped {
  /** `Deployment "x"`. */
  readonly name: string;
  readonly at: number;
  /** The keys of a ConfigMap, one of which may be mistyped. */
  readonly keys: readonly string[];
}

export interface HeldConfigurations {
  readonly held: readonly Held[];
  readonly skipped: readonly Skipped[];
  readonly mistakes: readonly Mistake[];
  /** The mappings that are Kubernetes objects. */
  readonly manifests: readonly MappingTree[];
}

/** Looks through a document that is not empty. */
export function heldConfigurations(document: ValueTree): HeldConfigurations {
  const held: Held[] = [];
  const skipped: Skipped[] = [];
  const mistakes: Mistake[] = [];
  const manifests: MappingTree[] = [];

  function readManifest(manifest: MappingTree, path: ConfigPath): void {
    manifests.push(manifest);
    const kind = manifest.fields.get('kind')?.tree.value;
    const items = manifest.fields.get('items');
    if (typeof kind !== 'string') {
      mistakes.push({ at: manifest.start, path, message: 'is a Kubernetes object without a kind' });
    } else if (kind === 'List' && items !== undefined) {
      readItems(items.tree, [...path, 'items']);
    } else if (kind === 'ConfigMap') {
      readConfigMap(manifest, path);
    } else if (kind === 'StaticRoute' && isOfProductionStack(manifest)) {
      held.push(specOf(manifest, path));
    } else skip(manifest);
  }

  function readItems(items: ValueTree, path: ConfigPath): void {
    (items.kind === 'list' ? items.items : []).forEach((item, i) => {
      const at = [...path, i];
      if (item.kind === 'mapping' && isManifest(item)) readManifest(item, at);
      else mistakes.push({ at: item.start, path: at, message: 'is not a Kubernetes object' });
    });
  }

  function readConfigMap(manifest: MappingTree, path: ConfigPath): void {
    const data = manifest.fields.get('data')?.tree;
    const dataPath = [...path, 'data'];
    if (data !== undefined && data.kind !== 'mapping' && data.value !== null) {
      mistakes.push({ at: data.start, path: dataPath, message: 'is not a mapping of keys to texts' });
      return;
    }
    const fields = data?.kind === 'mapping' ? [...data.fields] : [];
    const ours = fields.filter(([key]) => configKeys.includes(key));
    for (const [key, field] of ours) {
      const form = `key ${key} of ${nameOf(manifest)}`;
      held.push({
        form,
        path: [...dataPath, key],
        field,
        tree: field.tree,
        problem: problemOfText(field.tree, key),
      });
    }
    if (ours.length === 0)
      skip(
        manifest,
        fields.map(([key]) => key),
      );
  }

  function skip(manifest: MappingTree, keys: readonly string[] = []): void {
    skipped.push({ name: nameOf(manifest), at: manifest.start, keys });
  }

  if (document.kind === 'mapping' && isManifest(document)) readManifest(document, []);
  else {
    const problem = document.kind === 'mapping' ? undefined : notAMapping(document);
    held.push({ form: '', path: [], field: undefined, tree: document, problem });
  }
  return { held, skipped, mistakes, manifests };
}

/** What is wrong with a configuration that is no mapping. The value is not shown: the wrong file may hold a secret. */
export function notAMapping(tree: ValueTree): string {
  const what = tree.kind === 'list' ? 'a list' : typeof tree.value === 'string' ? 'a text' : 'a single value';
  return `${what} is no configuration: write a mapping of sections`;
}

function isManifest({ fields }: MappingTree): boolean {
  return fields.has('kind') || fields.has('apiVersion');
}

function isOfProductionStack({ fields }: MappingTree): boolean {
  const version = fields.get('apiVersion')?.tree.value;
  return typeof version === 'string' && version.startsWith('production-stack.vllm.ai/');
}

function specOf(manifest: MappingTree, path: ConfigPath): Held {
  const form = nameOf(manifest);
  const field = manifest.fields.get('spec');
  if (field === undefined)
    return { form, path, field, tree: manifest, problem: 'is a StaticRoute without a spec' };
  const problem = field.tree.kind === 'mapping' ? undefined : 'the spec is not a mapping';
  return { form, path: [...path, 'spec'], field, tree: field.tree, problem };
}

function problemOfText(tree: ValueTree, key: string): string | undefined {
  if (tree.kind === 'mapping')
    return `a ConfigMap holds texts, and this is a mapping: write "${key}: |-" and leave the lines below as they are`;
  if (typeof tree.value !== 'string')
    return `a ConfigMap holds texts, and this is none: write the configuration below "${key}: |-"`;
  return undefined;
}

function nameOf(manifest: MappingTree): string {
  const kind = String(manifest.fields.get('kind')?.tree.value);
  const metadata = manifest.fields.get('metadata')?.tree;
  const name = metadata?.kind === 'mapping' ? metadata.fields.get('name')?.tree.value : undefined;
  return typeof name === 'string' ? `${kind} "${name.slice(0, longestName)}"` : `${kind} without a name`;
}

/** Names of Kubernetes objects are no longer. */
const longestName = 253;
