import { describe, expect, it } from '@jest/globals';
import { maskHelmTemplates, templatesBetween } from '../../../src/config/source/helm-templates.ts';

describe('maskHelmTemplates()', () => {
  it.each([
    ['no template', 'a: {b: 1}', 'a: {b: 1}'],
    ['a word', 'a: {{ b }}-c', 'a: xxxxxxx-c'],
    ['two words', '{{a}}: "{{b}}"', 'xxxxx: "xxxxx"'],
    ['a line of its own', 'a:\n  {{ b }}\nc', 'a:\n         \nc'],
    ['lines of their own', '{{a}}\r\n{{b}} {{c}}\r\n', '     \r\n           \r\n'],
    ['a line with a comment', '{{ a }} # {{ b }}\n', '        # xxxxxxx\n'],
    ['a line with a value', '{{ a }} # b\n{{ c }} d', '        # b\nxxxxxxx d'],
    ['a comment', '# {{ a }}\n', '# xxxxxxx\n'],
    ['several lines', '{{ a\n  b }}\nc', '    \n      \nc'],
    ['a comment with braces', '{{/* }} */}}\n{{- /* }} */ -}}', '            \n                '],
    ['no end', 'a: {{ b', 'a: {{ b'],
    ['a comment without end', 'a: {{/* b }}', 'a: {{/* b }}'],
    ['braces of JSON', '{"a":{"b":{}}}', '{"a":{"b":{}}}'],
  ])('masks %s', (_, text, masked) => {
    expect(maskHelmTemplates(text).text).toBe(masked);
    expect(masked).toHaveLength(text.length);
  });

  it('tells where templates are and what stands beside them', () => {
    expect(maskHelmTemplates('a: {{ b }}\n  {{ c | nindent 4 }} {{ d }}\n').templates).toEqual([
      { start: 3, end: 10, wholeLine: false, indent: undefined },
      { start: 13, end: 32, wholeLine: true, indent: 4 },
      { start: 33, end: 40, wholeLine: true, indent: undefined },
    ]);
  });
});

describe('templatesBetween()', () => {
  const { templates } = maskHelmTemplates('{{a}}{{b}}{{c}}');

  it.each([
    [0, 15, [0, 5, 10]],
    [1, 10, [5]],
    [0, 0, []],
    [5, 6, [5]],
    [11, 99, []],
  ])('finds those that begin from %i and before %i', (from, to, starts) => {
    expect(templatesBetween(templates, from, to).map(({ start }) => start)).toEqual(starts);
  });
});
