import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { chatTokens } from '../../src/engine-sim/chat-template.ts';
import { decode, encode } from '../../src/engine-sim/tokenizer.ts';

describe('encode()', () => {
  it('makes a token of every four bytes', () => {
    expect(encode('abcdefgh')).toHaveLength(2);
    expect(encode('abcde')).toHaveLength(2);
    expect(encode('')).toEqual([]);
  });

  it('gives equal beginnings equal tokens', () => {
    expect(encode('the same beginning, one end').slice(0, 4)).toEqual(
      encode('the same beginning').slice(0, 4),
    );
  });
});

describe('decode()', () => {
  it('gives back any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(decode(encode(text))).toBe(text);
      }),
      { seed: 1 },
    );
  });

  it('names the marks of a chat and ignores ids it does not know', () => {
    expect(decode(chatTokens([{ role: 'user', content: 'Hi' }]))).toBe(
      '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n',
    );
    expect(decode([0, 255, ...encode('x'), 2 ** 50])).toBe('x');
  });
});
