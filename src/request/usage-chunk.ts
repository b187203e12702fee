/**
 * Hides the chunk that a streamed chat or completion ends with where its usage was asked for: `"choices":[]` and a `usage`
 * object. A client that did not ask gets its stream byte for byte as it would have been.
 *
 * vLLM and SGLang send that chunk as one line of data. What cannot be it is never kept back: an event that is not whole
 * yet waits only as long as it may still become the chunk, and most chunks of a body are passed on after one search.
 */
import { SearchableBytes } from './byte-search.ts';
import type { BodyFilter } from './exchange.ts';
import { JsonCursor } from './json-cursor.ts';

/** The filter for one response body, which has to be an event stream that is not compressed. */
export function createUsageChunkFilter(): BodyFilter {
  return new UsageChunkFilter();
}

/** Longest beginning of an event that waits. The chunk is some hundred bytes; ids and model names make it longer. */
const maxHeldBytes = 1 << 14;

class UsageChunkFilter implements BodyFilter {
  /** The beginning of an event that may become the chunk: a copy, for body bytes are views into network buffers. */
  #held: Buffer = nothing;
  /** Inside an event that is not the chunk: the rest of it passes. */
  #passing = false;
  /** While passing: the last line is complete, so that a line end ends the event. */
  #atLineStart = false;
  /** The last byte was CR, which ends a line: an LF that follows belongs to it and shares its fate. */
  #afterReturn: 'passed' | 'hidden' | undefined;

  push(chunk: Buffer): Buffer {
    const usual =
      this.#held.length === 0 &&
      this.#afterReturn !== 'hidden' &&
      endsWithBlankLine(chunk) &&
      !mentionsUsage(chunk);
    if (!usual) return this.#filter(chunk);
    this.#passing = false;
    this.#afterReturn = undefined;
    return chunk;
  }

  end(): Buffer {
    const held = this.#held;
    this.#held = nothing;
    return isUsageChunk(held, 0, held.length) ? nothing : held;
  }

  #filter(chunk: Buffer): Buffer {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const passed: Buffer[] = [];
    /** What comes before is passed or hidden. */
    let from = 0;
    this.#held = nothing;
    let event = this.#skipLineFeed(bytes);
    if (event > 0 && this.#afterReturn === 'hidden') from = event;
    this.#afterReturn = undefined;
    while (event < bytes.length) {
      const end = eventEnd(bytes, event, !this.#passing || this.#atLineStart);
      if (end < 0) {
        if (this.#passing || !mayBecomeUsageChunk(bytes, event)) {
          this.#passing = true;
          this.#atLineStart = isLineEnd(bytes[bytes.length - 1]);
          this.#noteReturn(bytes, 'passed');
        } else {
          this.#held = Buffer.from(bytes.subarray(event));
          passed.push(bytes.subarray(from, event));
          from = bytes.length;
        }
        break;
      }
      const hidden = !this.#passing && isUsageChunk(bytes, event, end);
      if (hidden) {
        passed.push(bytes.subarray(from, event));
        from = end;
      }
      if (end === bytes.length) this.#noteReturn(bytes, hidden ? 'hidden' : 'passed');
      this.#passing = false;
      event = end;
    }
    if (from === 0) return bytes;
    passed.push(bytes.subarray(from));
    return Buffer.concat(passed);
  }

  #skipLineFeed(bytes: Buffer): number {
    return this.#afterReturn !== undefined && bytes[0] === lineFeed ? 1 : 0;
  }

  #noteReturn(bytes: Buffer, fate: 'passed' | 'hidden'): void {
    if (bytes[bytes.length - 1] === carriageReturn) this.#afterReturn = fate;
  }
}

const nothing = Buffer.alloc(0);
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const dataField = Buffer.from('data:');
const choicesKey = Buffer.from('"choices"');
const usageKey = Buffer.from('"usage"');

/** Whether the bytes end with a blank line in the way that engines write it. */
function endsWithBlankLine(bytes: Buffer): boolean {
  return bytes[bytes.length - 1] === lineFeed && bytes[bytes.length - 2] === lineFeed;
}

/** Whether there may be a `usage` object; SGLang writes `"usage":null` into every chunk. */
function mentionsUsage(bytes: Buffer): boolean {
  let key = bytes.indexOf(usageKey);
  while (key >= 0) {
    if (bytes[valueAfter(bytes, key + usageKey.length)] === 0x7b) return true;
    key = bytes.indexOf(usageKey, key + usageKey.length);
  }
  return false;
}

/** Where the event at `from` ends, its blank line included; -1 where its end has not come. */
function eventEnd(bytes: Buffer, from: number, atLineStart: boolean): number {
  let lineStart = atLineStart ? from : -1;
  for (let at = from; at < bytes.length; at++) {
    if (!isLineEnd(bytes[at])) continue;
    const blank = at === lineStart;
    if (bytes[at] === carriageReturn && bytes[at + 1] === lineFeed) at++;
    lineStart = at + 1;
    if (blank) return lineStart;
  }
  return -1;
}

function isLineEnd(byte: number | undefined): boolean {
  return byte === lineFeed || byte === carriageReturn;
}

/** Whether the event in [start, end) is one line of data, and that the chunk. */
function isUsageChunk(bytes: Buffer, start: number, end: number): boolean {
  if (!startsWithData(bytes, start, Math.min(start + dataField.length, end))) return false;
  let lineEnd = end;
  while (lineEnd > start && isLineEnd(bytes[lineEnd - 1])) lineEnd--;
  const data = bytes.subarray(start + dataField.length, lineEnd);
  return (
    data.includes(usageKey) &&
    !data.includes(lineFeed) &&
    !data.includes(carriageReturn) &&
    isUsageAlone(data)
  );
}

function startsWithData(bytes: Buffer, start: number, end: number): boolean {
  return bytes.compare(dataField, 0, dataField.length, start, end) === 0;
}

function isUsageAlone(data: Buffer): boolean {
  const cursor = new JsonCursor(new SearchableBytes(data), 0, data.length);
  if (cursor.peek() !== 0x7b) return false;
  let noChoices = false;
  let usage = false;
  cursor.enter();
  while (cursor.nextMember()) {
    const value = cursor.position;
    if (cursor.keyIs('choices')) {
      noChoices = cursor.peek() === 0x5b && cursor.at(value + 1).peek() === 0x5d;
      if (!noChoices) return false;
    } else if (cursor.keyIs('usage')) {
      usage = cursor.peek() === 0x7b;
    }
    cursor.skip();
  }
  return noChoices && usage;
}

/** Whether what may still come can make the chunk of the event that begins at `start` and has no end yet. */
function mayBecomeUsageChunk(bytes: Buffer, start: number): boolean {
  const length = bytes.length - start;
  if (length > maxHeldBytes) return false;
  if (length < dataField.length) return bytes.compare(dataField, 0, length, start) === 0;
  if (!startsWithData(bytes, start, start + dataField.length)) return false;
  if (bytes.includes(lineFeed, start) || bytes.includes(carriageReturn, start))
    return isUsageChunk(bytes, start, bytes.length);
  const json = skipBlank(bytes, start + dataField.length);
  return json === bytes.length || (bytes[json] === 0x7b && mayHaveNoChoices(bytes, json));
}

function mayHaveNoChoices(bytes: Buffer, start: number): boolean {
  for (let key = bytes.indexOf(choicesKey, start); key >= 0;) {
    const after = key + choicesKey.length;
    const list = valueAfter(bytes, after);
    if (list === bytes.length) return true;
    if (list > after) {
      const first = skipBlank(bytes, list + 1);
      return bytes[list] === 0x5b && (first >= bytes.length || bytes[first] === 0x5d);
    }
    // No key but a string: somebody's model has that name.
    key = bytes.indexOf(choicesKey, after);
  }
  return true;
}

/** The position of the value after the key that ends at `position`; that position where no colon follows. */
function valueAfter(bytes: Buffer, position: number): number {
  const colon = skipBlank(bytes, position);
  if (colon === bytes.length) return colon;
  return bytes[colon] === 0x3a ? skipBlank(bytes, colon + 1) : position;
}

function skipBlank(bytes: Buffer, from: number): number {
  let position = from;
  while (bytes[position] === 0x20 || bytes[position] === 0x09) position++;
  return position;
}
