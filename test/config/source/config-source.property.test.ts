import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { ConfigError } from '../../../src/config/config-error.ts';
import type { ConfigPath } from '../../../src/config/dialects/dialect.ts';
import { parseConfigSource, type ConfigSource } from '../../../src/config/source/config-source.ts';

const fixtures = path.join(import.meta.dirname, '../fixtures');
const examples = globSync('*.txt', { cwd: fixtures })
  .sort()
  .map((name) => readFileSync(path.join(fixtures, name), 'utf8'));

const fragment = fc.oneof(
  fc.constantFrom(
    ...['\n', ' ', '\t', '  ', ':', ': ', '- ', '? ', '|', '|-\n', '>', '"', "'", '#', '---\n', '...\n'],
    ...['[', ']', '{', '}', '{{', '}}', '{{ x }}', '{{/*', ',', '&a ', '*a', '<<: *a\n', '!!str ', '!x '],
    ...['%YAML 1.1\n', '\r\n', '\uFEFF', '\0', '\\', '@', '`', 'kind: ConfigMap\n', 'data:\n', '\u{1F600}'],
    ...['sluice.yaml: |\n', '__proto__: 1\n', 'null', '~', '1e999', '0x', '.inf', 'kind: List\nitems:\n'],
  ),
  fc.string({ unit: 'binary', maxLength: 3 }),
);

type Edit = (text: string) => string;
const at = fc.double({ min: 0, max: 1, noNaN: true });
const inside = (text: string, share: number) => Math.floor(share * text.length);
const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.tuple(at, fragment).map(([where, added]): Edit => (text) => {
    const i = inside(text, where);
    return text.slice(0, i) + added + text.slice(i);
  }),
  fc.tuple(at, fc.nat(12)).map(([where, count]): Edit => (text) => {
    const i = inside(text, where);
    return text.slice(0, i) + text.slice(i + count);
  }),
  fc.tuple(at, at, fc.nat(3), fc.nat(3)).map(([from, to, taken, left]): Edit => (text) => {
    const lines = text.split('\n');
    const moved = lines.splice(Math.floor(from * lines.length), taken);
    const i = Math.floor(to * lines.length);
    return [...lines.slice(0, i), ...moved, ...moved.slice(left), ...lines.slice(i)].join('\n');
  }),
  fc.constant<Edit>((text) => text.replaceAll('\n', '\r\n')),
);

function isInside({ line, column }: { line: number; column: number }, text: string): boolean {
  const lines = text.split('\n');
  return line >= 1 && line <= lines.length && column >= 1 && column <= lines[line - 1]!.length + 1;
}

function pathsIn(value: unknown, to: ConfigPath = []): ConfigPath[] {
  if (typeof value !== 'object' || value === null) return [to];
  return [to, ...Object.entries(value).flatMap(([key, item]) => pathsIn(item, [...to, key]))];
}

describe('parseConfigSource()', () => {
  it('answers whatever is done to an example, with positions in the file', () => {
    let taken = 0;
    let refused = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...examples),
        fc.array(edit, { minLength: 1, maxLength: 6 }),
        (example, edits) => {
          const text = edits.reduce((before, apply) => apply(before), example);
          let source: ConfigSource;
          try {
            source = parseConfigSource(text, 'f');
          } catch (error) {
            if (!(error instanceof ConfigError)) throw error;
            refused++;
            expect(error.faults).not.toEqual([]);
            for (const fault of error.faults) expect(fault.line === 0 || isInside(fault, text)).toBe(true);
            return;
          }
          taken++;
          for (const to of pathsIn(source.root)) expect(isInside(source.position(to), text)).toBe(true);
        },
      ),
      { numRuns: 1000 },
    );
    expect(Math.min(taken, refused)).toBeGreaterThan(20);
  });

  const value = fc.letrec((tie) => ({
    mapping: fc.dictionary(fc.stringMatching(/^[a-z]{1,6}$/), tie('any'), { minKeys: 1, maxKeys: 4 }),
    any: fc.oneof(
      { maxDepth: 3 },
      fc.integer(),
      // Without line breaks at the end: the header of the block decides about those.
      fc.stringMatching(/^[!-z|~]([ \n]?[!-z|~]){0,5}$/),
      fc.array(tie('any'), { maxLength: 3 }),
      tie('mapping'),
    ),
  })).mapping;

  it('places values of a literal block as deep in the file as the block is', () => {
    fc.assert(
      fc.property(
        value,
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom('|', '|-', '|+'),
        fc.constantFrom('\n', '\r\n'),
        fc.nat(3),
        (root, indent, header, newline, blank) => {
          const inner = stringify(root);
          const indented = inner
            .split('\n')
            .map((line) => (line === '' ? '' : ' '.repeat(2 + indent) + line));
          const lines = ['kind: ConfigMap', 'data:', `  sluice.yaml: ${header}`];
          const text = [...lines, ...Array<string>(blank).fill(''), ...indented].join(newline);
          const source = parseConfigSource(text, 'f');
          const bare = parseConfigSource(inner, 'f');
          expect(source.root).toEqual(bare.root);
          for (const to of pathsIn(root)) {
            const { line, column } = bare.position(to);
            expect(source.position(to)).toEqual({
              line: line + lines.length + blank,
              column: column + 2 + indent,
            });
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
