/** The documents of a text as trees of values, and all that is wrong with them as YAML. */
import type { HelmTemplate } from './helm-templates.ts';
import type { Mistake } from './mistake.ts';
import { parseYaml } from './parse-yaml.ts';
import type { Span } from './placed-text.ts';
import { readTree, type DuplicateKey, type ValueTree } from './value-tree.ts';

export interface YamlDocument {
  readonly tree: ValueTree;
  /** Offset after the document before it. */
  readonly from: number;
  /** Offset after it and all that belongs to no other document. */
  readonly to: number;
}

export interface YamlDocuments {
  /** Those that are not empty. */
  readonly documents: readonly YamlDocument[];
  readonly comments: readonly Span[];
  /** With any of these, the documents are a guess. */
  readonly syntaxMistakes: readonly Mistake[];
  /** What is YAML and yet not taken. */
  readonly mistakes: readonly Mistake[];
  readonly duplicates: readonly DuplicateKey[];
}

/** Parses a text; where Helm templates are masked in it, `original` is the text without masks. Never throws. */
export function readYamlDocuments(
  text: string,
  original = text,
  templates: readonly HelmTemplate[] = [],
): YamlDocuments {
  const parsed = parseYaml(text);
  const last = parsed.documents.length - 1;
  const readings = parsed.documents.map((document, i) => ({
    ...readTree(document.contents, original, templates),
    from: parsed.documents[i - 1]?.range[2] ?? 0,
    to: i === last ? text.length : document.range[2],
  }));
  return {
    documents: readings.filter(({ tree }) => tree.value !== null),
    comments: parsed.comments,
    syntaxMistakes: parsed.mistakes,
    mistakes: readings.flatMap(({ mistakes }) => mistakes),
    duplicates: readings.flatMap(({ duplicates }) => duplicates),
  };
}
