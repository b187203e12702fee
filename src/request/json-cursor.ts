/**
 * Walks JSON as bytes, member by member, without building anything. Made for JSON that was checked before; on anything else
 * it ends early, and never throws or runs past the end.
 */
import type { SearchableBytes } from './byte-search.ts';

/** A place in a JSON text. `enter` a container, then ask for its members or elements; each may be skipped or entered. */
export class JsonCursor {
  /** Where the last member's key is, without quotes. */
  keyStart = 0;
  keyEnd = 0;
  /** Where the next thing is: after `nextMember` or `nextElement`, the value. */
  position: number;
  readonly search: SearchableBytes;
  readonly #bytes: Buffer;
  /** Nothing is seen from here on. */
  readonly end: number;

  /** Sees the bytes in [start, end) and nothing else: a value that is cut there ends there. */
  constructor(search: SearchableBytes, start: number, end: number) {
    this.search = search;
    this.#bytes = search.bytes;
    this.position = start;
    this.end = Math.min(end, search.bytes.length);
  }

  /** Another cursor over the same bytes. */
  at(position: number): JsonCursor {
    return new JsonCursor(this.search, position, this.end);
  }

  /** The first byte of the next value; NaN at the end. */
  peek(): number {
    this.#skipBlank();
    return this.position < this.end ? this.#bytes[this.position]! : NaN;
  }

  /** Steps into the object or array at the position. */
  enter(): void {
    this.#skipBlank();
    this.position++;
  }

  /** To the value of the next member of the object that was entered, or, when there is none, past its end. */
  nextMember(): boolean {
    this.#skipBlankAndCommas();
    if (this.position >= this.end || this.#bytes[this.position] !== 0x22) {
      this.position++;
      return false;
    }
    this.keyStart = this.position + 1;
    this.keyEnd = this.stringEnd(this.keyStart);
    this.position = this.keyEnd + 1;
    this.#skipBlank();
    if (this.#bytes[this.position] !== 0x3a) return false;
    this.position++;
    this.#skipBlank();
    return this.position < this.end;
  }

  /** To the next element of the array that was entered, or, when there is none, past its end. */
  nextElement(): boolean {
    this.#skipBlankAndCommas();
    if (this.position < this.end && this.#bytes[this.position] !== 0x5d) return true;
    this.position++;
    return false;
  }

  /** Whether the last member's key is `name` (ASCII), however it is written. */
  keyIs(name: string): boolean {
    const bytes = this.#bytes;
    const length = this.keyEnd - this.keyStart;
    if (length < name.length) return false;
    if (length > name.length) return this.#keyHasEscapes() && this.key() === name;
    for (let index = 0; index < length; index++) {
      if (bytes[this.keyStart + index] !== name.charCodeAt(index)) return false;
    }
    return true;
  }

  /** The last member's key, decoded. */
  key(): string {
    const key = this.#bytes.toString('utf8', this.keyStart, this.keyEnd);
    return key.includes('\\') ? (decodeString(`"${key}"`) ?? key) : key;
  }

  /** Past the value at the position; returns where it ends. */
  skip(): number {
    const bytes = this.#bytes;
    const end = this.end;
    const first = this.peek();
    if (first === 0x22) {
      this.position = Math.min(this.stringEnd(this.position + 1) + 1, end);
      return this.position;
    }
    let position = this.position;
    if (first === 0x7b || first === 0x5b) {
      let depth = 0;
      while (position < end) {
        const byte = bytes[position]!;
        if (byte === 0x22) position = this.stringEnd(position + 1);
        else if (byte === 0x7b || byte === 0x5b) depth++;
        else if (byte === 0x7d || byte === 0x5d) depth--;
        position++;
        if (depth === 0) break;
      }
    } else {
      while (position < end && !endsScalar(bytes[position]!)) position++;
    }
    this.position = Math.min(position, end);
    return this.position;
  }

  /** The position of the closing quote of the string whose text begins at `from`. */
  stringEnd(from: number): number {
    const end = this.end;
    let position = this.search.closingQuote(from, end);
    while (position < end && this.#bytes[position] !== 0x22)
      position = this.search.closingQuote(position + 1, end);
    return Math.min(position, end);
  }

  #keyHasEscapes(): boolean {
    for (let at = this.keyStart; at < this.keyEnd; at++) {
      if (this.#bytes[at] === 0x5c) return true;
    }
    return false;
  }

  #skipBlank(): void {
    const bytes = this.#bytes;
    while (this.position < this.end && isBlank(bytes[this.position]!)) this.position++;
  }

  #skipBlankAndCommas(): void {
    const bytes = this.#bytes;
    while (this.position < this.end && (bytes[this.position] === 0x2c || isBlank(bytes[this.position]!)))
      this.position++;
  }
}

/** A JSON string's value, or undefined where its escapes are wrong or its surrogates are not paired. */
export function decodeString(json: string): string | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'string' && value.isWellFormed() ? value : undefined;
  } catch {
    return undefined;
  }
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function endsScalar(byte: number): boolean {
  return byte === 0x2c || byte === 0x7d || byte === 0x5d || isBlank(byte);
}
