/**
 * Catches the value of one top-level field of a JSON object that passes in chunks, without keeping the rest: `usage` stands
 * behind megabytes of choices or embeddings. The JSON is the engine's; on anything malformed nothing is caught.
 */
import { SearchableBytes } from './byte-search.ts';

/** Longest value that is kept. */
const maxValueBytes = 1 << 14;
const maxKeyCharacters = 64;

export class JsonFieldCapture {
  readonly #field: string;
  #depth = 0;
  #inString = false;
  /** The next string at depth one is a key. */
  #expectKey = false;
  /** The key being read, or read last, until its colon. */
  #key: string | undefined;
  /** Bytes of the next chunk that are escaped by the end of the last one: none or one. */
  #escaped = 0;
  #pieces: Buffer[] | undefined;
  #length = 0;
  #value: string | undefined;

  constructor(field: string) {
    this.#field = field;
  }

  /** The JSON text of the field's last value, once it passed whole. */
  get value(): string | undefined {
    return this.#value;
  }

  push(chunk: Buffer): void {
    const search = new SearchableBytes(chunk);
    const length = chunk.length;
    let position = Math.min(this.#escaped, length);
    let captureFrom = 0;
    this.#escaped -= position;
    while (position < length) {
      if (this.#inString) {
        const start = position;
        position = search.closingQuote(position, length);
        while (position < length && chunk[position] !== 0x22)
          position = search.closingQuote(position + 1, length);
        if (this.#key !== undefined && this.#key.length < maxKeyCharacters) {
          this.#key += chunk.toString('latin1', start, Math.min(position, start + maxKeyCharacters));
        }
        if (position >= length) {
          this.#escaped = position - length;
          break;
        }
        this.#inString = false;
        position++;
        continue;
      }
      switch (chunk[position]) {
        case 0x22:
          this.#inString = true;
          if (this.#depth === 1 && this.#expectKey) this.#key = '';
          break;
        case 0x3a:
          if (this.#depth === 1 && this.#expectKey) {
            this.#expectKey = false;
            if (this.#key === this.#field) {
              this.#pieces = [];
              this.#length = 0;
              captureFrom = position + 1;
            }
            this.#key = undefined;
          }
          break;
        case 0x7b:
        case 0x5b:
          this.#depth++;
          if (this.#depth === 1) this.#expectKey = chunk[position] === 0x7b;
          break;
        case 0x7d:
        case 0x5d:
          this.#depth--;
          if (this.#depth === 0) this.#endValue(chunk, captureFrom, position);
          break;
        case 0x2c:
          if (this.#depth === 1) {
            this.#endValue(chunk, captureFrom, position);
            this.#expectKey = true;
          }
          break;
        default:
      }
      position++;
    }
    if (this.#pieces !== undefined) this.#keep(chunk, captureFrom, length);
  }

  #endValue(chunk: Buffer, start: number, end: number): void {
    if (this.#pieces !== undefined) this.#keep(chunk, start, end);
    if (this.#pieces !== undefined) this.#value = Buffer.concat(this.#pieces).toString();
    this.#pieces = undefined;
  }

  #keep(chunk: Buffer, start: number, end: number): void {
    this.#length += end - start;
    if (this.#length > maxValueBytes) this.#pieces = undefined;
    else this.#pieces?.push(Buffer.from(chunk.subarray(start, end)));
  }
}
