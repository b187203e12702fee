import { describe, expect, it } from '@jest/globals';
import { blockText, table } from '../../../src/config/explain/block.ts';

describe('table()', () => {
  it('puts cells one below the other, without spaces at the end', () => {
    expect(
      table([
        ['a', '1', 'first'],
        ['long', '22', ''],
        ['', 'x'],
      ]),
    ).toEqual(['a     1   first', 'long  22', '      x']);
  });

  it('does not let the last cell of a short row push others away', () => {
    expect(table([['a', '1'], ['b', 'x', 'y'], ['none of them does anything']])).toEqual([
      'a  1',
      'b  x  y',
      'none of them does anything',
    ]);
  });
});

describe('blockText()', () => {
  it('indents lines below their title, and leaves out what has none', () => {
    expect(
      blockText([
        { title: 'One', lines: ['a', 'b'] },
        { title: 'Two', lines: [] },
        { title: 'Three', lines: ['c'] },
      ]),
    ).toBe('One\n  a\n  b\n\nThree\n  c');
  });
});
