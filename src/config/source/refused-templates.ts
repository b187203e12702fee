/** Helm templates where no value can be known without them. */
import { templatesBetween, type HelmTemplate } from './helm-templates.ts';
import type { Held } from './held-configurations.ts';
import type { Mistake } from './mistake.ts';
import type { PlacedText, Span } from './placed-text.ts';
import type { ValueTree } from './value-tree.ts';
import type { YamlDocument } from './yaml-documents.ts';

/** The templates that are not in a comment. */
export function outsideComments(
  templates: readonly HelmTemplate[],
  comments: readonly Span[],
): readonly HelmTemplate[] {
  const commented = new Set(comments.flatMap(({ start, end }) => templatesBetween(templates, start, end)));
  return templates.filter((template) => !commented.has(template));
}

/**
 * The templates that a configuration is made of: those between its key and its end, those that its aliases bring in, and
 * those below it that write more of it. All of a document that is the configuration itself.
 */
export function templatesIn(
  { field, tree }: Held,
  document: YamlDocument,
  file: PlacedText,
  templates: readonly HelmTemplate[],
): readonly HelmTemplate[] {
  if (templates.length === 0) return [];
  if (field === undefined) return templatesBetween(templates, document.from, document.to);
  const end = field.keyEnd + file.text.slice(field.keyEnd, tree.end).trimEnd().length;
  const blank = file.text.slice(end).search(/\S/);
  const next = blank === -1 ? file.text.length : end + blank;
  const keyColumn = file.positionAt(field.keyStart).column;
  const below = templatesBetween(templates, end, next);
  const inside = new Set([
    ...templatesBetween(templates, field.keyEnd, end),
    ...writtenSpans(tree)
      .filter(({ start }) => start < field.keyEnd || start >= tree.end)
      .flatMap((span) => templatesBetween(templates, span.start, span.end)),
    ...below.filter((template) => isEmpty(tree) || writtenColumn(template, file) > keyColumn),
  ]);
  return [...inside].sort((a, b) => a.start - b.start);
}

/** Where the keys and scalars are written, those behind aliases too. */
function writtenSpans(tree: ValueTree): Span[] {
  switch (tree.kind) {
    case 'scalar':
      return [tree.written];
    case 'list':
      return tree.items.flatMap(writtenSpans);
    case 'mapping':
      return [...tree.fields.values()].flatMap((field) => [
        { start: field.keyStart, end: field.keyEnd },
        ...writtenSpans(field.tree),
      ]);
  }
}

function isEmpty({ value }: ValueTree): boolean {
  return value === null || (typeof value === 'string' && value.trim() === '');
}

/** The column of what a template writes: `{{ toYaml .Values.x | indent 4 }}` may begin anywhere. */
function writtenColumn({ start, indent }: HelmTemplate, file: PlacedText): number {
  return indent === undefined ? file.positionAt(start).column : indent + 1;
}

/** What is said of them, at the first; nothing where there are none. */
export function templateMistakes(
  [first, ...others]: readonly HelmTemplate[],
  path: Mistake['path'],
  original: string,
): Mistake[] {
  if (first === undefined) return [];
  const written = original.slice(first.start, first.end);
  const shown = written.length > 60 ? `${written.slice(0, 60)}…` : written;
  const more = others.length === 0 ? '' : ` (and ${others.length} more below)`;
  const message = `${shown}${more} is a Helm template expression: render the chart first (helm template) and use what it prints`;
  return [{ at: first.start, path, message }];
}
