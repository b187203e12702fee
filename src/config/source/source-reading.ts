/** Everything that a file holds, right or wrong: its documents, and each configuration that is in one of them. */
import { heldConfigurations, type Held, type HeldConfigurations } from './held-configurations.ts';
import { maskHelmTemplates, type HelmTemplate } from './helm-templates.ts';
import { openHeld, type OpenedConfiguration } from './open-held.ts';
import { wholeFile, type PlacedText } from './placed-text.ts';
import { outsideComments, templatesIn } from './refused-templates.ts';
import { readYamlDocuments, type YamlDocument, type YamlDocuments } from './yaml-documents.ts';

export interface SourceReading {
  /** The text as it is, and as it was parsed: without Helm templates. */
  readonly original: string;
  readonly whole: PlacedText;
  readonly templates: readonly HelmTemplate[];
  /** The templates that are not in a comment. */
  readonly unrendered: readonly HelmTemplate[];
  readonly yaml: YamlDocuments;
  /** What each document holds that is not empty. */
  readonly contents: readonly HeldConfigurations[];
  /** In the order of the file. More or less than one is a fault. */
  readonly candidates: readonly Candidate[];
}

/** A configuration that was found. */
export interface Candidate {
  readonly document: YamlDocument;
  readonly held: Held;
  readonly inner: OpenedConfiguration;
  /** The templates that it is made of: with any of these, nothing of it is known. */
  readonly refused: readonly HelmTemplate[];
}

/** Reads a text without judging it. Never throws. */
export function readSource(original: string): SourceReading {
  const { text, templates } = maskHelmTemplates(original);
  const whole = wholeFile(original, text);
  const yaml = readYamlDocuments(text, original, templates);
  const contents = yaml.documents.map(({ tree }) => heldConfigurations(tree));
  const opened = contents.flatMap(({ held }, i) =>
    held.map((one) => ({ document: yaml.documents[i]!, held: one, inner: openHeld(one, whole) })),
  );
  const comments = [...yaml.comments, ...opened.flatMap(({ inner }) => inner.comments)];
  const unrendered = outsideComments(templates, comments);
  const candidates = opened.map((one) => ({
    ...one,
    refused: templatesIn(one.held, one.document, whole, unrendered),
  }));
  return { original, whole, templates, unrendered, yaml, contents, candidates };
}
