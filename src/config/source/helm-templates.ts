/** Expressions of Helm (`{{ … }}`) in a file that was never rendered, and the same file without them. */

import type { Span } from './placed-text.ts';

/** From `{{` to `}}`. */
export interface HelmTemplate extends Span {
  /** Whether there is nothing else on its lines but other expressions and a comment. */
  readonly wholeLine: boolean;
  /** The argument of `indent` or `nindent` in it. */
  readonly indent: number | undefined;
}

export interface MaskedText {
  /** As long as the original: an expression is blank where it has its line to itself, and a word where it has not. */
  readonly text: string;
  /** In their order. */
  readonly templates: readonly HelmTemplate[];
}

/** Takes the expressions out of a text, so that a YAML parser can read what is around them. */
export function maskHelmTemplates(text: string): MaskedText {
  const groups = neighbours(text, expressions(text));
  const templates: HelmTemplate[] = [];
  const parts: string[] = [];
  let done = 0;
  groups.forEach((group, i) => {
    const before = text.slice(groups[i - 1]?.at(-1)!.end ?? 0, group[0]!.start);
    const after = text.slice(group.at(-1)!.end, groups[i + 1]?.[0]!.start);
    const wholeLine = endsBlank(before) && /^[ \t\r]*(?:#.*)?(?:\n|$)/.test(after);
    for (const { start, end } of group) {
      const template = text.slice(start, end);
      templates.push({ start, end, wholeLine, indent: indentOf(template) });
      parts.push(text.slice(done, start), mask(template, wholeLine));
      done = end;
    }
  });
  return { text: [...parts, text.slice(done)].join(''), templates };
}

/** The templates that begin at `from` or after it and before `to`. */
export function templatesBetween(
  templates: readonly HelmTemplate[],
  from: number,
  to: number,
): readonly HelmTemplate[] {
  const first = firstFrom(templates, from);
  return templates.slice(first, firstFrom(templates, to));
}

function expressions(text: string): Span[] {
  const found: Span[] = [];
  let at = 0;
  for (;;) {
    const start = text.indexOf('{{', at);
    if (start === -1) return found;
    const comment = text.startsWith('/*', start + 2) || text.startsWith('- /*', start + 2);
    // A comment may hold braces of its own.
    const inner = comment ? text.indexOf('*/', start + 4) : start + 2;
    const closing = inner === -1 ? -1 : text.indexOf('}}', inner);
    if (closing === -1) return found;
    at = closing + 2;
    found.push({ start, end: at });
  }
}

/** Puts together what stands on one line with nothing but blanks between. */
function neighbours(text: string, spans: readonly Span[]): Span[][] {
  const groups: Span[][] = [];
  for (const span of spans) {
    const last = groups.at(-1)?.at(-1);
    if (last !== undefined && /^[ \t]*$/.test(text.slice(last.end, span.start))) groups.at(-1)!.push(span);
    else groups.push([span]);
  }
  return groups;
}

function endsBlank(before: string): boolean {
  return /^[ \t]*$/.test(before.slice(before.lastIndexOf('\n') + 1));
}

function indentOf(template: string): number | undefined {
  const spaces = /\bn?indent +(\d{1,3})\b/.exec(template)?.[1];
  return spaces === undefined ? undefined : Number(spaces);
}

function mask(template: string, wholeLine: boolean): string {
  return wholeLine ? template.replaceAll(/[^\r\n]/g, ' ') : 'x'.repeat(template.length);
}

function firstFrom(templates: readonly HelmTemplate[], offset: number): number {
  let low = 0;
  let high = templates.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (templates[middle]!.start < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
