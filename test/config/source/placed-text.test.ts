import { describe, expect, it } from '@jest/globals';
import { literalBlock, wholeFile, wrappedText } from '../../../src/config/source/placed-text.ts';

describe('wholeFile()', () => {
  it.each([
    [0, 1, 1],
    [2, 1, 3],
    [3, 2, 1],
    [4, 3, 1],
    [5, 3, 2],
  ])('places offset %i in line %i, column %i', (offset, line, column) => {
    const file = wholeFile('ab\n\nc');
    expect(file.positionAt(offset)).toEqual({ line, column });
    expect(file.lineAt(offset)).toBe(`line ${line}`);
  });
});

describe('literalBlock()', () => {
  const text = 'a:\n\n  b\n';

  it.each([
    ['the first character', 0, '3:3'],
    ['the end of a line', 2, '3:5'],
    ['an empty line', 3, '4:1'],
    ['a line that is indented more', 6, '5:5'],
    ['the end', 7, '5:6'],
    ['the line break at the end', 8, '5:6'],
  ])('places %s', (_, offset, expected) => {
    for (const newline of ['\n', '\r\n']) {
      const file = wholeFile(`x: 1\ny: | # c\n  a:\n\n    b\nz: 2\n`.replaceAll('\n', newline));
      const block = literalBlock(file, file.text.indexOf('|'), text);
      const { line, column } = block.positionAt(offset);
      expect(`${line}:${column}`).toBe(expected);
      expect(block.lineAt(offset)).toBe(`line ${line}`);
      expect(block.exact).toBe(true);
    }
  });

  it('places an empty text after its header', () => {
    const file = wholeFile('y: |');
    expect(literalBlock(file, 3, '').positionAt(0)).toEqual({ line: 1, column: 5 });
  });
});

describe('wrappedText()', () => {
  it('places everything where it begins, and names its own lines', () => {
    const placed = wrappedText(wholeFile('y: "a\\nb"'), 3, 'a\nb');
    expect(placed.positionAt(2)).toEqual({ line: 1, column: 4 });
    expect(placed.lineAt(2)).toBe('line 2 of the text');
    expect(placed.exact).toBe(false);
  });
});
