/** Mutations of a text by way of what it says as YAML. */
import {
  Document,
  isCollection,
  isMap,
  isPair,
  isScalar,
  Pair,
  parseAllDocuments,
  Scalar,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import type { Dice } from './dice.ts';
import type { Edit } from './edit-text.ts';

/** A field of a mapping, or an item of a list. */
export interface Place {
  readonly collection: YAMLMap | YAMLSeq;
  readonly at: number;
}

/** What the documents of a text say, the configurations that are texts in a manifest included. */
export interface Tree {
  /** As they are now. */
  places(): readonly Place[];
  collections(): readonly (YAMLMap | YAMLSeq)[];
  /** A node that is written as the text is. */
  raw(text: string): Scalar;
}

/** An edit that changes the tree; a text that cannot be read, or written again, stays as it is. */
export function editTree(change: (tree: Tree, dice: Dice) => void): Edit {
  return (text, dice) => {
    const rendered = text.replaceAll(/\{\{.*?\}\}/gs, 'x');
    try {
      const documents = parseAllDocuments(rendered, { uniqueKeys: false, logLevel: 'silent' });
      const inner = new Map<Scalar, Document>(
        documents.flatMap((document) => heldTexts(document).map((scalar) => [scalar, innerDocument(scalar)])),
      );
      const raws: string[] = [];
      const collections = () => [...documents, ...inner.values()].flatMap(collectionsIn);
      change(
        {
          collections,
          places: () =>
            collections().flatMap((collection) => collection.items.map((_, at) => ({ collection, at }))),
          raw: (written) => new Scalar(`RAW${raws.push(written) - 1}RAW`),
        },
        dice,
      );
      for (const [scalar, document] of inner) scalar.value = String(document);
      const written = documents.map((document) => document.toString({ lineWidth: 0 })).join('---\n');
      // The library's word for a node that it could not read, and one that no fault may have.
      if (written.includes('undefined')) return text;
      return written.replaceAll(/RAW(\d+)RAW/g, (_, i: string) => raws[Number(i)]!);
    } catch {
      return text;
    }
  };
}

/** What is there: the value of the field, or the item. */
export function valueAt({ collection, at }: Place): unknown {
  const item: unknown = collection.items[at];
  return isPair(item) ? item.value : item;
}

/** Puts another value there. */
export function setValue({ collection, at }: Place, value: unknown): void {
  const item: unknown = collection.items[at];
  if (isPair(item)) item.value = value;
  else collection.items[at] = value;
}

/** Adds a value or field to a collection; `key` is for a value in a mapping. */
export function insert(collection: YAMLMap | YAMLSeq, at: number, item: unknown, key: unknown): void {
  const taken = isMap(collection)
    ? isPair(item)
      ? item
      : new Pair(key, item)
    : isPair(item)
      ? item.value
      : item;
  collection.items.splice(at, 0, taken as Pair);
}

/** A copy that shares nothing. */
export function copied(item: unknown): unknown {
  if (isPair(item)) return new Pair(copied(item.key), copied(item.value));
  return isScalar(item) || isCollection(item) ? item.clone() : item;
}

/** The texts of many lines in a ConfigMap. */
function heldTexts(document: Document): Scalar[] {
  const found: Scalar[] = [];
  visit(document, {
    Scalar: (_, scalar) => {
      if (scalar.type === 'BLOCK_LITERAL') found.push(scalar);
    },
  });
  return found;
}

function innerDocument({ value }: Scalar): Document {
  const [document] = parseAllDocuments(String(value), { uniqueKeys: false, logLevel: 'silent' });
  return document ?? new Document();
}

function collectionsIn(document: Document): (YAMLMap | YAMLSeq)[] {
  const found: (YAMLMap | YAMLSeq)[] = [];
  visit(document, { Collection: (_, collection) => void found.push(collection) });
  return found;
}
