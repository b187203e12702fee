/** The mapping in a configuration that was found, which may be a text of its own. */
import { duplicateMistake } from './duplicate-keys.ts';
import { notAMapping, type Held } from './held-configurations.ts';
import type { Mistake } from './mistake.ts';
import { literalBlock, wrappedText, type PlacedText, type Span } from './placed-text.ts';
import type { MappingTree } from './value-tree.ts';
import { readYamlDocuments } from './yaml-documents.ts';

export interface OpenedConfiguration {
  /** The text that its offsets belong to. */
  readonly text: PlacedText;
  /** Undefined where it is empty, or no mapping. */
  readonly tree: MappingTree | undefined;
  readonly mistakes: readonly Mistake[];
  /** Its comments, as offsets in the file. */
  readonly comments: readonly Span[];
}

/** Reads a configuration of the file; the text of one is read as YAML, in its place. Never throws. */
export function openHeld({ tree, problem }: Held, file: PlacedText): OpenedConfiguration {
  if (problem !== undefined || tree.kind === 'list')
    return { text: file, tree: undefined, mistakes: [], comments: [] };
  if (tree.kind === 'mapping') return { text: file, tree, mistakes: [], comments: [] };

  const value = typeof tree.value === 'string' ? tree.value : '';
  const text = tree.literal
    ? literalBlock(file, tree.written.start, value)
    : wrappedText(file, tree.start, value);
  const { documents, comments, syntaxMistakes, mistakes, duplicates } = readYamlDocuments(value);
  const [first, second] = documents;
  const found: Mistake[] = [...mistakes, ...duplicates.map((duplicate) => duplicateMistake(duplicate, text))];
  if (first !== undefined && first.tree.kind !== 'mapping')
    found.push({ at: first.tree.start, path: [], message: notAMapping(first.tree) });
  if (second !== undefined) {
    const message = `is a second document; the first is in ${text.lineAt(first!.tree.start)}: keep one of them`;
    found.push({ at: second.tree.start, path: [], message });
  }
  return {
    text,
    tree: first?.tree.kind === 'mapping' ? first.tree : undefined,
    mistakes: (syntaxMistakes.length > 0 ? syntaxMistakes : found).toSorted((a, b) => a.at - b.at),
    comments: text.exact
      ? comments.map(({ start, end }) => ({ start: text.inFile(start), end: text.inFile(end - 1) + 1 }))
      : [],
  };
}
