/**
 * Cuts a stream of server-sent events into events, however its bytes arrive (WHATWG HTML, "Server-sent events").
 *
 * Lines end in LF, CRLF or CR; data lines of one event are joined by LF; comments and other fields are passed over. An event
 * that is too long is passed over as a whole. An event that the end of the stream cuts off before its blank line still counts:
 * clients read it, and some servers leave the last blank line out.
 */

/** Longest event that is kept, in bytes of data. */
const maxEventBytes = 1 << 20;

const lineFeed = Buffer.from('\n');

/** The bytes of a line that is not complete yet, or of an event's data. Bounded; over the bound it only remembers that. */
class Kept {
  #pieces: Buffer[] = [];
  #length = 0;
  #tooLong = false;

  /** Keeps a copy: chunks are views into network buffers. */
  add(bytes: Buffer, start: number, end: number): void {
    if (start === end || this.#tooLong) return;
    this.#length += end - start;
    if (this.#length > maxEventBytes) {
      this.#tooLong = true;
      this.#pieces = [];
    } else {
      this.#pieces.push(Buffer.from(bytes.subarray(start, end)));
    }
  }

  get empty(): boolean {
    return this.#length === 0;
  }

  /** Everything kept, or undefined where it was too much; empty afterwards. */
  take(): Buffer | undefined {
    const bytes = this.#tooLong
      ? undefined
      : this.#pieces.length === 1
        ? this.#pieces[0]
        : Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#length = 0;
    this.#tooLong = false;
    return bytes;
  }
}

export class SseScanner {
  /** Called with each event's data; the bytes are valid during the call only. */
  readonly #onData: (data: Buffer) => void;
  /** The line that the last chunk ended in. */
  readonly #line = new Kept();
  /** Data of an event whose blank line has not come, where it is more than `#single`. */
  readonly #data = new Kept();
  /** The event's data while it is one line of the current chunk, which is nearly always. */
  #single: { readonly bytes: Buffer; readonly start: number; readonly end: number } | undefined;
  #hasData = false;
  #dropEvent = false;
  /** The last byte was CR: an LF that follows belongs to it. */
  #afterReturn = false;

  constructor(onData: (data: Buffer) => void) {
    this.#onData = onData;
  }

  push(chunk: Buffer): void {
    const hasReturns = chunk.includes(0x0d);
    let position = 0;
    if (this.#afterReturn && chunk.length > 0) {
      if (chunk[0] === 0x0a) position = 1;
      this.#afterReturn = false;
    }
    for (;;) {
      const end = hasReturns ? lineEnd(chunk, position) : chunk.indexOf(0x0a, position);
      if (end < 0) break;
      if (this.#line.empty) {
        this.#endLine(chunk, position, end);
      } else {
        this.#line.add(chunk, position, end);
        this.#endKeptLine();
      }
      position = end + 1;
      if (chunk[end] === 0x0d) {
        if (position === chunk.length) this.#afterReturn = true;
        else if (chunk[position] === 0x0a) position++;
      }
    }
    this.#line.add(chunk, position, chunk.length);
    this.#keepSingle();
  }

  /** The stream is over. */
  end(): void {
    if (!this.#line.empty) this.#endKeptLine();
    this.#dispatch();
  }

  #endKeptLine(): void {
    const line = this.#line.take();
    if (line === undefined) this.#dropEvent = true;
    else this.#endLine(line, 0, line.length);
  }

  #endLine(bytes: Buffer, start: number, end: number): void {
    if (start === end) {
      this.#dispatch();
      return;
    }
    const isData =
      bytes[start] === 0x64 &&
      bytes[start + 1] === 0x61 &&
      bytes[start + 2] === 0x74 &&
      bytes[start + 3] === 0x61;
    if (!isData || (end > start + 4 && bytes[start + 4] !== 0x3a)) return;
    // "data:" and one space, or "data" alone, which is an empty line of data.
    const from = Math.min(end, bytes[start + 5] === 0x20 ? start + 6 : start + 5);
    if (this.#hasData) {
      this.#keepSingle();
      this.#data.add(lineFeed, 0, 1);
      this.#data.add(bytes, from, end);
    } else {
      this.#hasData = true;
      this.#single = { bytes, start: from, end };
    }
  }

  #keepSingle(): void {
    if (this.#single === undefined) return;
    this.#data.add(this.#single.bytes, this.#single.start, this.#single.end);
    this.#single = undefined;
  }

  #dispatch(): void {
    if (!this.#hasData && !this.#dropEvent) return;
    const single = this.#single;
    const data = single === undefined ? this.#data.take() : single.bytes.subarray(single.start, single.end);
    const drop = this.#dropEvent || data === undefined || data.length > maxEventBytes;
    this.#single = undefined;
    this.#hasData = false;
    this.#dropEvent = false;
    if (!drop) this.#onData(data);
  }
}

function lineEnd(chunk: Buffer, from: number): number {
  for (let at = from; at < chunk.length; at++) {
    if (chunk[at] === 0x0a || chunk[at] === 0x0d) return at;
  }
  return -1;
}
