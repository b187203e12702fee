import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SearchableBytes } from '../../src/request/byte-search.ts';

const text = fc.array(
  fc.constantFrom(
    'a',
    '"',
    '#',
    '!',
    '\\',
    ']',
    '[',
    '\n',
    ' ',
    '\x7f',
    'é',
    '\u0080',
    'plain text '.repeat(9),
  ),
  { maxLength: 30 },
);
const skew = fc.nat({ max: 3 });

/** The text's bytes, beginning `offset` bytes after an address that is a multiple of four, amid stops. */
function searchable(pieces: readonly string[], offset: number): SearchableBytes {
  const bytes = Buffer.from(pieces.join(''));
  const around = Buffer.from(new ArrayBuffer(bytes.length + 12)).fill(0x22);
  bytes.copy(around, 4 + offset);
  return new SearchableBytes(around.subarray(4 + offset, 4 + offset + bytes.length));
}

describe('nextStop()', () => {
  it('finds what a byte by byte search finds', () => {
    fc.assert(
      fc.property(text, skew, fc.nat(), fc.nat(), (pieces, offset, a, b) => {
        const search = searchable(pieces, offset);
        const { bytes } = search;
        const from = a % (bytes.length + 1);
        const end = from + (b % (bytes.length - from + 1));
        const expected = bytes.findIndex(
          (byte, index) => index >= from && index < end && (byte < 0x20 || byte === 0x22 || byte === 0x5c),
        );
        expect(search.nextStop(from, end)).toBe(expected < 0 ? end : expected);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('closingQuote()', () => {
  it('finds what a byte by byte search finds', () => {
    fc.assert(
      fc.property(text, skew, fc.nat(), fc.nat(), (pieces, offset, a, b) => {
        const search = searchable(pieces, offset);
        const { bytes } = search;
        const from = a % (bytes.length + 1);
        const end = from + (b % (bytes.length - from + 1));
        let expected = from;
        let afterBackslash = false;
        while (expected < end) {
          const byte = bytes[expected]!;
          if (!afterBackslash && (byte === 0x22 || byte < 0x20)) break;
          // Whether a control character may follow a backslash is left open: no valid string has one there.
          if (afterBackslash && byte < 0x20) return;
          afterBackslash = !afterBackslash && byte === 0x5c;
          expected++;
        }
        expect(search.closingQuote(from, end)).toBe(expected === end && afterBackslash ? end + 1 : expected);
      }),
      { numRuns: 2000 },
    );
  });
});
