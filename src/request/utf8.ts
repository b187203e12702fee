/** Whether a body is UTF-8, a piece at a time. */
import { isUtf8 } from 'node:buffer';

/** How much one `step` looks at: far below a millisecond. */
const stepBytes = 1 << 20;

/** Checks a buffer step by step; done when `position` reaches its end. */
export class Utf8Check {
  readonly #bytes: Buffer;
  position = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.position >= this.#bytes.length;
  }

  /** Checks the next piece. Returns where the first wrong sequence begins, or -1. */
  step(): number {
    const bytes = this.#bytes;
    const end = boundary(bytes, this.position, this.position + stepBytes);
    if (!isUtf8(end - this.position === bytes.length ? bytes : bytes.subarray(this.position, end))) {
      return firstInvalid(bytes, this.position, end);
    }
    this.position = end;
    return -1;
  }
}

/** The last character boundary at or before `wanted`: a sequence has at most three bytes after its first. */
function boundary(bytes: Buffer, from: number, wanted: number): number {
  if (wanted >= bytes.length) return bytes.length;
  for (let end = wanted; end > Math.max(from, wanted - 4); end--) {
    if ((bytes[end]! & 0xc0) !== 0x80) return end;
  }
  return wanted;
}

/** Narrows an invalid range down to the sequence at fault. */
function firstInvalid(bytes: Buffer, from: number, to: number): number {
  let valid = from;
  for (let step = stepBytes; step >= 1; step = step > 4 ? step / 2 : step - 1) {
    for (;;) {
      const end = boundary(bytes, valid, Math.min(valid + step, to));
      if (end <= valid || end > to || !isUtf8(bytes.subarray(valid, end))) break;
      valid = end;
    }
  }
  return valid;
}
