/**
 * Finding the bytes that matter inside JSON strings, four at a time.
 *
 * A word holds a byte below `n` (n ≤ 128) exactly when `(word - n·0x01010101) & ~word & 0x80808080` is not zero, and a
 * byte equal to `b` when the same holds for `word ^ b·0x01010101` and n = 1 (Sean Eron Anderson, Bit Twiddling Hacks,
 * "Determine if a word has a byte less than n"). Only whether a word has one is used, never which: that is right on either
 * byte order.
 */

const high = 0x80808080;
const ones = 0x01010101;
const spaces = 0x20202020;
const quotes = 0x22222222;
const backslashes = 0x5c5c5c5c;

/** Bytes that end a run of plain text inside a JSON string: quote, backslash and control characters. */
const isStop = new Uint8Array(256);
isStop.fill(1, 0, 0x20);
isStop[0x22] = 1;
isStop[0x5c] = 1;

/** Keys, roles and code end or escape within this many words; after it, a native search for the next quote is faster. */
const wordsBeforeJump = 16;

function hasStop(word: number): boolean {
  const q = word ^ quotes;
  const b = word ^ backslashes;
  return ((((word - spaces) & ~word) | ((q - ones) & ~q) | ((b - ones) & ~b)) & high) !== 0;
}

/** A buffer that can also be read by words. Positions are those of the buffer. */
export class SearchableBytes {
  readonly bytes: Buffer;
  /** The aligned words that hold the buffer; the first may begin up to three bytes before it. */
  readonly #words: Int32Array;
  /** How many bytes before the buffer the first word begins. */
  readonly #skew: number;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.#skew = bytes.byteOffset & 3;
    this.#words = new Int32Array(
      bytes.buffer,
      bytes.byteOffset - this.#skew,
      (this.#skew + bytes.length) >> 2,
    );
  }

  /** The position of the next quote, backslash or control character in [from, end), or `end`. */
  nextStop(from: number, end: number): number {
    const bytes = this.bytes;
    const words = this.#words;
    const skew = this.#skew;
    let position = from;
    while (position < end && ((position + skew) & 3) !== 0) {
      if (isStop[bytes[position]!] !== 0) return position;
      position++;
    }
    const lastWord = (end + skew) >> 2;
    let word = (position + skew) >> 2;
    for (; word < lastWord; word++) {
      if (hasStop(words[word]!)) break;
    }
    // The position can already be past the last whole word: then the loop above did nothing.
    position = Math.max(position, word * 4 - skew);
    while (position < end && isStop[bytes[position]!] === 0) position++;
    return position;
  }

  /**
   * From inside a string to its closing quote, stepping over escapes, or to a control character before it. Where neither is
   * in [from, end): the first position at or after `end` that is not escaped.
   */
  closingQuote(from: number, end: number): number {
    const bytes = this.bytes;
    let position = from;
    while (position < end) {
      position = this.#stepThrough(position, end);
      if (position >= end) return position;
      const byte = bytes[position]!;
      if (byte === 0x22 || byte < 0x20) return position;
      // Plain text for a while: jump to the next quote, then look for control characters on the way.
      const found = (end < bytes.length ? bytes.subarray(0, end) : bytes).indexOf(0x22, position);
      const reach = found < 0 ? end : found;
      const control = this.#nextControl(position, reach);
      if (control < reach) return control;
      let firstBackslash = reach;
      while (firstBackslash > position && bytes[firstBackslash - 1] === 0x5c) firstBackslash--;
      const escaped = ((reach - firstBackslash) & 1) === 1;
      if (!escaped) return reach;
      position = reach + 1;
    }
    return position;
  }

  /** Like closingQuote, but stops after a run of plain text that is long enough to make a jump worth while. */
  #stepThrough(from: number, end: number): number {
    const bytes = this.bytes;
    const words = this.#words;
    const skew = this.#skew;
    const lastWord = (end + skew) >> 2;
    let position = from;
    while (position < end) {
      const byte = bytes[position]!;
      if (isStop[byte] === 0) {
        position++;
        if (((position + skew) & 3) !== 0) continue;
        let word = (position + skew) >> 2;
        const far = word + wordsBeforeJump;
        const stop = far < lastWord ? far : lastWord;
        while (word < stop && !hasStop(words[word]!)) word++;
        position = word * 4 - skew;
        if (word === far) return position;
      } else if (byte === 0x5c) {
        position += 2;
      } else {
        return position;
      }
    }
    return position;
  }

  /** The position of the next control character in [from, end), or `end`. */
  #nextControl(from: number, end: number): number {
    const bytes = this.bytes;
    const words = this.#words;
    const skew = this.#skew;
    let position = from;
    while (position < end && ((position + skew) & 3) !== 0) {
      if (bytes[position]! < 0x20) return position;
      position++;
    }
    const lastWord = (end + skew) >> 2;
    let word = (position + skew) >> 2;
    for (; word + 4 <= lastWord; word += 4) {
      const a = words[word]!;
      const b = words[word + 1]!;
      const c = words[word + 2]!;
      const d = words[word + 3]!;
      if (
        ((((a - spaces) & ~a) | ((b - spaces) & ~b) | ((c - spaces) & ~c) | ((d - spaces) & ~d)) & high) !==
        0
      )
        break;
    }
    position = Math.max(position, word * 4 - skew);
    while (position < end && bytes[position]! >= 0x20) position++;
    return position;
  }
}
