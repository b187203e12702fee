/** The values of a YAML document, each with its place, and what is wrong with them as such. */
import { isAlias, isMap, isScalar, isSeq, type Alias, type Scalar, type YAMLMap, type YAMLSeq } from 'yaml';
import { shown } from '../describe-issue.ts';
import type { ConfigPath } from '../dialects/dialect.ts';
import { templatesBetween, type HelmTemplate } from './helm-templates.ts';
import type { Mistake } from './mistake.ts';
import { maxDepth } from './parse-yaml.ts';
import type { Span } from './placed-text.ts';

/** Where the value is; of an alias, where the alias is. */
interface Located extends Span {
  /** How many levels there are below it. */
  readonly height: number;
  /** How many values it is made of, itself and those behind aliases included. */
  readonly count: number;
}

export interface MappingTree extends Located {
  readonly kind: 'mapping';
  readonly value: Readonly<Record<string, unknown>>;
  readonly fields: ReadonlyMap<string, Field>;
}

export interface ListTree extends Located {
  readonly kind: 'list';
  readonly value: readonly unknown[];
  readonly items: readonly ValueTree[];
}

export interface ScalarTree extends Located {
  readonly kind: 'scalar';
  readonly value: unknown;
  /** Where the text is; of an alias, where its anchor is. */
  readonly written: Span;
  /** Whether it is a literal block scalar. */
  readonly literal: boolean;
}

export type ValueTree = MappingTree | ListTree | ScalarTree;

export interface Field {
  readonly keyStart: number;
  readonly keyEnd: number;
  readonly tree: ValueTree;
}

/** A key that a mapping has already. */
export interface DuplicateKey {
  /** The fields of the mapping: the first of each name. */
  readonly fields: ReadonlyMap<string, Field>;
  readonly path: ConfigPath;
  readonly key: string;
  readonly first: Field;
  readonly second: Field;
}

export interface TreeReading {
  readonly tree: ValueTree;
  readonly mistakes: readonly Mistake[];
  readonly duplicates: readonly DuplicateKey[];
}

/** What aliases may add to a document, in values: more is a bomb. */
const maxAliasedValues = 10_000;

/**
 * Reads the content of one document. Scalars with a Helm template in them have the text of `original`; the document was
 * parsed from another of the same length.
 */
export function readTree(
  contents: unknown,
  original: string,
  templates: readonly HelmTemplate[],
): TreeReading {
  const mistakes: Mistake[] = [];
  const duplicates: DuplicateKey[] = [];
  /** In the order of the document, so that an alias finds the last anchor before it; undefined until it is complete. */
  const anchors = new Map<string, ValueTree | undefined>();
  let aliasedValues = 0;

  function read(node: unknown, path: ConfigPath, at: number): ValueTree {
    if (isAlias(node)) return readAlias(node, path, at);
    const anchor = isScalar(node) || isMap(node) || isSeq(node) ? node.anchor : undefined;
    if (anchor !== undefined) anchors.set(anchor, undefined);
    const tree = readPlain(node, path, at);
    if (anchor !== undefined) anchors.set(anchor, tree);
    return tree;
  }

  function readPlain(node: unknown, path: ConfigPath, at: number): ValueTree {
    if (isMap(node)) return readMapping(node, path, at);
    if (isSeq(node)) return readList(node, path, at);
    return isScalar(node) ? readScalar(node, at) : scalar({ start: at, end: at });
  }

  function readScalar(node: Scalar, at: number): ScalarTree {
    const [start, end] = node.range ?? [at, at];
    const block = node.type === 'BLOCK_LITERAL' || node.type === 'BLOCK_FOLDED';
    const masked = !block && templatesBetween(templates, start, end).length > 0;
    const value = masked ? original.slice(start, end).replace(/^(["'])(.*)\1$/s, '$2') : node.value;
    return scalar({ start, end }, value, node.type === 'BLOCK_LITERAL');
  }

  function readList(node: YAMLSeq, path: ConfigPath, at: number): ListTree {
    const [start, end] = node.range ?? [at, at];
    const items = node.items.map((item, i) => read(item, [...path, i], start));
    return { kind: 'list', start, end, ...extent(items), value: items.map(({ value }) => value), items };
  }

  function readMapping(node: YAMLMap, path: ConfigPath, at: number): MappingTree {
    const [start, end] = node.range ?? [at, at];
    const fields = new Map<string, Field>();
    const merged: ValueTree[] = [];
    for (const pair of node.items) {
      const keyTree = read(pair.key, path, start);
      const key = keyText(keyTree, path);
      const tree = read(pair.value, key === undefined ? path : [...path, key], keyTree.start);
      if (key === undefined) continue;
      if (key === '<<' && isScalar(pair.key) && pair.key.type === 'PLAIN') {
        merged.push(...mergeSources(tree, path));
        continue;
      }
      const field: Field = { keyStart: keyTree.start, keyEnd: keyTree.end, tree };
      const first = fields.get(key);
      if (first === undefined) fields.set(key, field);
      else duplicates.push({ fields, path, key, first, second: field });
    }
    // What the mapping says itself counts; of what it merges, the first.
    for (const source of merged) {
      if (source.kind !== 'mapping') continue;
      for (const [key, field] of source.fields) if (!fields.has(key)) fields.set(key, field);
    }
    const value = Object.fromEntries([...fields].map(([key, { tree }]) => [key, tree.value]));
    const trees = [...fields.values()].map(({ tree }) => tree);
    return { kind: 'mapping', start, end, ...extent(trees), value, fields };
  }

  function keyText(key: ValueTree, path: ConfigPath): string | undefined {
    if (key.kind === 'scalar' && typeof key.value === 'string') return key.value;
    const written = original.slice(key.start, key.end);
    const message =
      key.kind !== 'scalar'
        ? `a ${key.kind} cannot be a key: write a text`
        : written === ''
          ? 'a key is missing here'
          : `the key ${shown(key.value)} is not a text: put it in quotes`;
    mistakes.push({ at: key.start, path, message });
    return undefined;
  }

  function mergeSources(tree: ValueTree, path: ConfigPath): readonly ValueTree[] {
    const sources = tree.kind === 'list' ? tree.items : [tree];
    for (const { kind, start } of sources)
      if (kind !== 'mapping')
        mistakes.push({ at: start, path, message: '<< can merge nothing but mappings' });
    return sources;
  }

  function readAlias(alias: Alias, path: ConfigPath, at: number): ValueTree {
    const [start, end] = alias.range ?? [at, at];
    const target = anchors.get(alias.source);
    const mistake = (message: string): ValueTree => {
      mistakes.push({ at: start, path, message });
      return scalar({ start, end });
    };
    if (target === undefined) {
      return mistake(
        anchors.has(alias.source)
          ? `the alias *${alias.source} is inside of what it stands for`
          : `there is no anchor &${alias.source} before its alias`,
      );
    }
    if (path.length + target.height > maxDepth) return mistake(`is nested deeper than ${maxDepth} levels`);
    if (aliasedValues > maxAliasedValues) return scalar({ start, end });
    aliasedValues += target.count;
    if (aliasedValues > maxAliasedValues)
      return mistake(`aliases stand for more than ${maxAliasedValues} values: write less with them`);
    return { ...target, start, end };
  }

  return { tree: read(contents, [], 0), mistakes, duplicates };
}

/** Where the value at the path is, or the closest thing around it that is written; with `key`, that key in it. */
export function locate(root: ValueTree, path: ConfigPath, key?: string): number {
  let tree = root;
  for (const step of path) {
    const below =
      tree.kind === 'mapping'
        ? tree.fields.get(String(step))?.tree
        : tree.kind === 'list'
          ? tree.items[Number(step)]
          : undefined;
    if (below === undefined) return tree.start;
    tree = below;
  }
  const field = key === undefined || tree.kind !== 'mapping' ? undefined : tree.fields.get(key);
  return field?.keyStart ?? tree.start;
}

function scalar({ start, end }: Span, value: unknown = null, literal = false): ScalarTree {
  return { kind: 'scalar', start, end, height: 0, count: 1, value, written: { start, end }, literal };
}

function extent(trees: readonly ValueTree[]): { height: number; count: number } {
  return {
    height: trees.reduce((height, tree) => Math.max(height, tree.height + 1), 0),
    count: trees.reduce((count, tree) => count + tree.count, 1),
  };
}
