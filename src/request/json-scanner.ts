/**
 * Checks the structure of one JSON object as bytes and notes where its known top-level fields are: one pass, no recursion,
 * resumable, nothing decoded.
 *
 * What it accepts is what JSON.parse accepts, with one exception: escapes inside strings are only followed as far as it
 * takes to find the end of the string (a backslash takes the next byte with it). An escape that no parser knows cannot move
 * the end of a string, so the structure we see is the one the engine sees; the engine then refuses the string itself. Keys
 * and values that are used here are decoded strictly elsewhere.
 */
import type { SearchableBytes } from './byte-search.ts';
import { malformedJson } from './json-error.ts';

/** Where a top-level value is. Positions are byte positions in the body; `end` is exclusive. */
export interface JsonSpan {
  readonly start: number;
  readonly end: number;
  /** Bytes of text inside: string values at any depth as they are written, without keys and without inline media. */
  readonly textBytes: number;
}

/** What the scanner is in the middle of. */
const State = {
  start: 0,
  value: 1,
  valueOrEnd: 2,
  key: 3,
  keyOrEnd: 4,
  colon: 5,
  commaOrEnd: 6,
  inKey: 7,
  inString: 8,
  end: 9,
} as const;

/** Work is counted in units of a few nanoseconds: one per byte or token of structure, one per 8 bytes of text. */
const bytesOfTextPerUnit = 8;
/** A top-level key is looked up as a string. */
const unitsPerTopLevelKey = 8;
/** Longest run of text that is handled in one go, so that work stays bounded between checks. */
const maxTextRun = 1 << 18;
/** The same for a row of numbers. */
const maxNumbersRun = 1 << 13;
/** A number with more digits serves nobody, and engines refuse it (Python reads at most 4300 digits). */
const maxNumberBytes = 1024;
/** Strings this long are looked at for being inline media. */
const minMediaBytes = 256;

/** The top-level keys a scan looks for. */
export interface WantedKeys {
  readonly names: ReadonlySet<string>;
  /** Longest spelling of any of them: every byte can be written as a six-byte escape. */
  readonly maxBytes: number;
}

/** Prepares the keys to look for, once for all scans. */
export function wantedKeys(names: readonly string[]): WantedKeys {
  return { names: new Set(names), maxBytes: 6 * Math.max(...names.map((name) => name.length)) };
}

/** The scan of one body. Call `run` until it returns true, then read the fields. */
export class JsonScanner {
  /** The last value of each wanted top-level key: of duplicates the last wins, as in Python's json. */
  readonly fields = new Map<string, JsonSpan>();
  /** Position after the opening brace: where a field can be inserted. */
  insertAt = 0;

  readonly #search: SearchableBytes;
  readonly #wanted: WantedKeys;
  readonly #maxDepth: number;
  /** By depth: 1 for an object, 0 for an array. */
  readonly #isObject: Uint8Array;
  #position = 0;
  #state: number = State.start;
  #depth = 0;
  #stringStart = 0;
  #keyStart = 0;
  #keyEnd = 0;
  #field: string | undefined;
  #fieldStart = 0;
  #fieldText = 0;
  #text = 0;

  constructor(search: SearchableBytes, wanted: WantedKeys, maxDepth: number) {
    this.#search = search;
    this.#wanted = wanted;
    this.#maxDepth = maxDepth;
    this.#isObject = new Uint8Array(maxDepth + 2);
  }

  /**
   * Scans until the end, or until `units` of work are used up.
   * @returns whether the end was reached.
   * @throws Rejection `invalid-request` where the body is not one JSON object.
   */
  run(units: number): boolean {
    const bytes = this.#search.bytes;
    const length = bytes.length;
    const isObject = this.#isObject;
    let position = this.#position;
    let state = this.#state;
    let depth = this.#depth;
    let work = units;

    while (position < length) {
      if (work <= 0) {
        this.#position = position;
        this.#state = state;
        this.#depth = depth;
        return false;
      }
      work--;
      if (state === State.inString || state === State.inKey) {
        const from = position;
        position = this.#search.closingQuote(position, Math.min(length, position + maxTextRun));
        work -= (position - from) / bytesOfTextPerUnit;
        if (position >= length) break;
        const byte = bytes[position]!;
        if (byte < 0x20) throw malformedJson('a control character inside a string', position);
        // A run that was cut goes on with the next turn of the loop.
        if (byte !== 0x22) continue;
        if (state === State.inKey) {
          this.#keyStart = this.#stringStart;
          this.#keyEnd = position;
          if (depth === 1) {
            work -= unitsPerTopLevelKey;
            this.#field = this.#wantedKey(this.#stringStart, position);
          }
          position++;
          if (bytes[position] === 0x3a) {
            position++;
            state = State.value;
          } else {
            state = State.colon;
          }
        } else {
          this.#countText(this.#stringStart, position);
          position++;
          if (depth === 1) this.#endField(position);
          state = State.commaOrEnd;
        }
        continue;
      }
      const byte = bytes[position]!;
      if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
        position++;
        continue;
      }
      if (byte === 0x7d || byte === 0x5d) {
        const empty = byte === 0x7d ? State.keyOrEnd : State.valueOrEnd;
        const ofObject = byte === 0x7d ? 1 : 0;
        if (state === empty || (state === State.commaOrEnd && isObject[depth] === ofObject)) {
          depth--;
          position++;
          if (depth === 1) this.#endField(position);
          state = depth === 0 ? State.end : State.commaOrEnd;
          continue;
        }
      }
      switch (state) {
        case State.value:
        case State.valueOrEnd:
          if (depth === 1) {
            this.#fieldStart = position;
            this.#fieldText = this.#text;
          }
          if (byte === 0x22) {
            this.#stringStart = ++position;
            state = State.inString;
          } else if (byte === 0x7b || byte === 0x5b) {
            if (depth >= this.#maxDepth)
              throw malformedJson(`nested deeper than ${this.#maxDepth} levels`, position);
            depth++;
            position++;
            isObject[depth] = byte === 0x7b ? 1 : 0;
            state = byte === 0x7b ? State.keyOrEnd : State.valueOrEnd;
          } else {
            const from = position;
            position = scalarEnd(bytes, position, byte);
            // Token ids: numbers in a row, each directly after the comma of the one before.
            while (
              isObject[depth] === 0 &&
              bytes[position] === 0x2c &&
              isDigit(bytes[position + 1]) &&
              position - from < maxNumbersRun
            ) {
              position = numberEnd(bytes, position + 1);
            }
            work -= position - from;
            if (depth === 1) this.#endField(position);
            state = State.commaOrEnd;
          }
          break;
        case State.commaOrEnd:
          if (byte === 0x2c) {
            position++;
            state = isObject[depth] === 1 ? State.key : State.value;
          } else {
            throw malformedJson(
              `expected "," or the end of the ${isObject[depth] === 1 ? 'object' : 'array'}`,
              position,
            );
          }
          break;
        case State.key:
        case State.keyOrEnd:
          if (byte !== 0x22) throw malformedJson('expected a property name in double quotes', position);
          this.#stringStart = ++position;
          state = State.inKey;
          break;
        case State.colon:
          if (byte !== 0x3a) throw malformedJson('expected ":" after a property name', position);
          position++;
          state = State.value;
          break;
        case State.start:
          if (byte !== 0x7b) throw notAnObject(bytes, position);
          position++;
          this.insertAt = position;
          depth = 1;
          isObject[1] = 1;
          state = State.keyOrEnd;
          break;
        default:
          throw malformedJson('unexpected data after the JSON object', position);
      }
    }
    if (state === State.end) return true;
    if (state === State.start) throw malformedJson('it is empty', position);
    throw malformedJson(
      state === State.inString || state === State.inKey ? 'it ends inside a string' : 'it ends too early',
      length,
    );
  }

  #countText(start: number, end: number): void {
    const bytes = this.#search.bytes;
    if (end - start >= minMediaBytes) {
      // Images and audio inside the body: `data:` URLs, and base64 under "data" (OpenAI input_audio, Anthropic source).
      if (bytes.toString('latin1', start, start + 5) === 'data:') return;
      if (
        this.#keyEnd - this.#keyStart === 4 &&
        bytes.toString('latin1', this.#keyStart, this.#keyEnd) === 'data'
      )
        return;
    }
    this.#text += end - start;
  }

  #wantedKey(start: number, end: number): string | undefined {
    if (end - start > this.#wanted.maxBytes) return undefined;
    const key = this.#search.bytes.toString('latin1', start, end);
    if (this.#wanted.names.has(key)) return key;
    if (!key.includes('\\')) return undefined;
    // "mod\u0065l" is "model" to the engine.
    const decoded = decodeKey(key);
    if (decoded === undefined) throw malformedJson('a bad escape in a property name', start);
    return this.#wanted.names.has(decoded) ? decoded : undefined;
  }

  #endField(end: number): void {
    const field = this.#field;
    if (field === undefined) return;
    this.fields.set(field, { start: this.#fieldStart, end, textBytes: this.#text - this.#fieldText });
    this.#field = undefined;
  }
}

function decodeKey(key: string): string | undefined {
  try {
    return JSON.parse(`"${key}"`) as string;
  } catch {
    return undefined;
  }
}

/** The position after a number, true, false or null. */
function scalarEnd(bytes: Buffer, start: number, first: number): number {
  switch (first) {
    case 0x74:
      if (bytes[start + 1] === 0x72 && bytes[start + 2] === 0x75 && bytes[start + 3] === 0x65)
        return start + 4;
      break;
    case 0x66:
      if (bytes.toString('latin1', start, start + 5) === 'false') return start + 5;
      break;
    case 0x6e:
      if (bytes[start + 1] === 0x75 && bytes[start + 2] === 0x6c && bytes[start + 3] === 0x6c)
        return start + 4;
      break;
    default:
      if (first === 0x2d || isDigit(first)) return numberEnd(bytes, start);
  }
  throw malformedJson('expected a value', start);
}

function numberEnd(bytes: Buffer, start: number): number {
  let position = start;
  if (bytes[position] === 0x2d) position++;
  const first = bytes[position];
  if (first === 0x30) position++;
  else position = digitsEnd(bytes, position, start);
  if (bytes[position] === 0x2e) position = digitsEnd(bytes, position + 1, start);
  const exponent = bytes[position];
  if (exponent === 0x65 || exponent === 0x45) {
    position++;
    const sign = bytes[position];
    if (sign === 0x2b || sign === 0x2d) position++;
    position = digitsEnd(bytes, position, start);
  }
  return position;
}

/** The position after one digit or more. */
function digitsEnd(bytes: Buffer, from: number, numberStart: number): number {
  let position = from;
  while (isDigit(bytes[position])) {
    if (position - numberStart >= maxNumberBytes)
      throw malformedJson(`a number longer than ${maxNumberBytes} bytes`, numberStart);
    position++;
  }
  if (position === from) throw malformedJson('a bad number', numberStart);
  return position;
}

function isDigit(byte: number | undefined): boolean {
  // '0' to '9' are the ten values that differ from 0x30 in the low bits only; undefined ^ 0x30 is 0x30.
  return (byte! ^ 0x30) <= 9;
}

function notAnObject(bytes: Buffer, position: number) {
  const byte = bytes[position]!;
  if (byte === 0x5b) return malformedJson('expected an object, found an array', position);
  if (byte === 0)
    return malformedJson(
      'expected an object, found a NUL byte (is it UTF-16? JSON is sent as UTF-8)',
      position,
    );
  return malformedJson('expected an object', position);
}
