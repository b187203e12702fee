/**
 * Writes one protobuf message after the other into one reused buffer, without an object per field.
 *
 * The length of a nested message is not known when it begins, so four bytes are kept free for it and filled in when it
 * ends: a varint may be longer than it need be. The bytes are valid for every decoder, only not the shortest.
 */

const lengthBytes = 4;
/** Largest nested message: what four varint bytes can say. */
const maxLength = 2 ** 28 - 1;

export class ProtobufWriter {
  #buffer = Buffer.allocUnsafeSlow(4096);
  #at = 0;
  /** Where the length of each open message is kept free. */
  readonly #open: number[] = [];

  /** Begins a new message, whatever became of the last one. */
  start(): this {
    this.#at = 0;
    this.#open.length = 0;
    return this;
  }

  /** Begins a nested message; `tag` is the field number shifted by three, plus wire type 2, as in `(3 << 3) | 2`. */
  begin(tag: number): this {
    this.#reserve(8 + lengthBytes);
    this.#varint(tag);
    this.#open.push(this.#at);
    this.#at += lengthBytes;
    return this;
  }

  /** Ends the message that was begun last. */
  end(): this {
    const start = this.#open.pop();
    if (start === undefined) throw new Error('Cannot end a message: none was begun');
    this.#writeLength(start, this.#at - start - lengthBytes);
    return this;
  }

  string(tag: number, text: string): this {
    this.#reserve(8 + lengthBytes + text.length * 3);
    this.#varint(tag);
    const start = this.#at + lengthBytes;
    const length = this.#buffer.write(text, start);
    this.#writeLength(this.#at, length);
    this.#at = start + length;
    return this;
  }

  bytes(tag: number, bytes: Uint8Array): this {
    this.#reserve(8 + lengthBytes + bytes.length);
    this.#varint(tag);
    this.#writeLength(this.#at, bytes.length);
    this.#buffer.set(bytes, this.#at + lengthBytes);
    this.#at += lengthBytes + bytes.length;
    return this;
  }

  /** An unsigned integer below 2^32, an enum or a bool. */
  uint(tag: number, value: number): this {
    this.#reserve(16);
    this.#varint(tag);
    this.#varint(value);
    return this;
  }

  double(tag: number, value: number): this {
    this.#reserve(16);
    this.#varint(tag);
    this.#at = this.#buffer.writeDoubleLE(value, this.#at);
    return this;
  }

  /** The message so far, as a copy; the writer is empty again. */
  finish(): Buffer {
    if (this.#open.length > 0)
      throw new Error(`Cannot finish a message: ${this.#open.length} inside it were not ended`);
    const message = Buffer.allocUnsafe(this.#at);
    this.#buffer.copy(message, 0, 0, this.#at);
    this.#at = 0;
    // A large body passes by now and then; its buffer is not kept.
    if (this.#buffer.length > largeBufferBytes) this.#buffer = Buffer.allocUnsafeSlow(4096);
    return message;
  }

  #writeLength(at: number, length: number): void {
    if (length > maxLength)
      throw new Error(`Cannot write a message of ${length} bytes: at most ${maxLength} fit`);
    const buffer = this.#buffer;
    buffer[at] = (length & 0x7f) | 0x80;
    buffer[at + 1] = ((length >>> 7) & 0x7f) | 0x80;
    buffer[at + 2] = ((length >>> 14) & 0x7f) | 0x80;
    buffer[at + 3] = length >>> 21;
  }

  #varint(value: number): void {
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.#buffer[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#buffer[this.#at++] = rest;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#at + bytes));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
}

const largeBufferBytes = 1024 * 1024;
