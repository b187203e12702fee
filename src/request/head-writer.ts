/** Collects the head of a prompt as UTF-8, decoding only what fits. */
import type { SearchableBytes } from './byte-search.ts';

/** Runs shorter than this are copied byte by byte: cheaper than a native copy. */
const shortRun = 24;

export class HeadWriter {
  readonly #buffer: Buffer;
  #length = 0;

  /** @param capacity bytes kept; what is written beyond them is dropped. */
  constructor(capacity: number) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  get full(): boolean {
    return this.#length >= this.#buffer.length;
  }

  /** What was written: memory of its own, not that of the sources. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  ascii(text: string): void {
    this.#length += this.#buffer.write(text, this.#length, 'latin1');
  }

  raw(source: Buffer, start: number, end: number): void {
    const buffer = this.#buffer;
    const stop = Math.min(end, start + buffer.length - this.#length);
    if (stop - start < shortRun) {
      for (let at = start; at < stop; at++) buffer[this.#length++] = source[at]!;
    } else {
      this.#length += source.copy(buffer, this.#length, start, stop);
    }
  }

  /**
   * Writes the string whose text begins at `start` (after its quote), decoded, until its closing quote, `end`, or the
   * writer is full. Escapes that mean nothing are kept as they are; surrogates without their pair become U+FFFD.
   * @returns where it stopped: the closing quote, unless the writer became full.
   */
  jsonText(search: SearchableBytes, start: number, end: number): number {
    const bytes = search.bytes;
    let position = start;
    while (position < end && !this.full) {
      const reach = Math.min(end, position + this.#buffer.length - this.#length);
      const stop = search.nextStop(position, reach);
      this.raw(bytes, position, stop);
      position = stop;
      if (stop === reach) continue;
      if (bytes[stop] === 0x22) return stop;
      position = bytes[stop] === 0x5c ? this.#escape(bytes, stop, end) : stop + 1;
    }
    return position;
  }

  /** Writes the character of the escape at `position`; returns the position after it. */
  #escape(bytes: Buffer, position: number, end: number): number {
    const letter = bytes[position + 1];
    const simple = letter === undefined ? 0 : simpleEscapes[letter]!;
    if (simple !== 0) {
      this.#put(simple);
      return position + 2;
    }
    const unit = letter === 0x75 ? hexUnit(bytes, position + 2) : -1;
    if (unit < 0) {
      this.raw(bytes, position, Math.min(position + 2, end));
      return position + 2;
    }
    if (unit >= 0xd800 && unit < 0xdc00 && bytes[position + 6] === 0x5c && bytes[position + 7] === 0x75) {
      const low = hexUnit(bytes, position + 8);
      if (low >= 0xdc00 && low < 0xe000) {
        this.#putCodePoint(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
        return position + 12;
      }
    }
    this.#putCodePoint(unit >= 0xd800 && unit < 0xe000 ? 0xfffd : unit);
    return position + 6;
  }

  #putCodePoint(code: number): void {
    if (code < 0x80) {
      this.#put(code);
    } else if (code < 0x800) {
      this.#put(0xc0 | (code >> 6));
      this.#put(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
      this.#put(0xe0 | (code >> 12));
      this.#put(0x80 | ((code >> 6) & 0x3f));
      this.#put(0x80 | (code & 0x3f));
    } else {
      this.#put(0xf0 | (code >> 18));
      this.#put(0x80 | ((code >> 12) & 0x3f));
      this.#put(0x80 | ((code >> 6) & 0x3f));
      this.#put(0x80 | (code & 0x3f));
    }
  }

  #put(byte: number): void {
    if (!this.full) this.#buffer[this.#length++] = byte;
  }
}

/** The character of `\n` and its like by their letter; 0 for no such escape. */
const simpleEscapes = new Uint8Array(256);
for (const pair of ['""', '\\\\', '//', 'b\b', 'f\f', 'n\n', 'r\r', 't\t']) {
  simpleEscapes[pair.charCodeAt(0)] = pair.charCodeAt(1);
}

/** The UTF-16 unit of four hex digits, or -1. */
function hexUnit(bytes: Buffer, start: number): number {
  let unit = 0;
  for (let at = start; at < start + 4; at++) {
    const byte = bytes[at] ?? 0;
    const lower = byte | 0x20;
    const digit =
      byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
    if (digit < 0) return -1;
    unit = (unit << 4) | digit;
  }
  return unit;
}
