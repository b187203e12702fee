/** The text of a configuration file, or the reason why it is none. */
import { isUtf8 } from 'node:buffer';
import { closeSync, openSync, readSync } from 'node:fs';
import { faultOfAll, refusal } from './mistake.ts';

/** As much as a ConfigMap holds. */
const maxBytes = 1024 ** 2;

/** Reads a file as UTF-8. Throws ConfigError for what is no text, and Error for what cannot be read. */
export function readSourceText(file: string): string {
  const bytes = unlessUnreadable(file, () => readBytes(file));
  if (bytes.length > maxBytes) throw tooLarge(file);
  if (!isUtf8(bytes)) throw notUtf8(bytes, file);
  return bytes.toString('utf8');
}

/** Throws ConfigError where the text is larger than a ConfigMap. */
export function checkSourceSize(text: string, file: string): void {
  if (Buffer.byteLength(text) > maxBytes) throw tooLarge(file);
}

/** What `read` returns; an error that names the path and says why it cannot be read. */
export function unlessUnreadable<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new Error(`Cannot read configuration "${path}": ${reason(cause)}`, { cause });
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  EACCES: 'there is no permission to read it',
  EPERM: 'there is no permission to read it',
  ENOTDIR: 'a part of the path is not a folder',
  ELOOP: 'its symbolic links lead in a circle',
  ENAMETOOLONG: 'the path is too long',
  EISDIR: 'it is a folder',
};

function reason(cause: unknown): string {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : '';
  return Object.hasOwn(reasons, code) ? `${reasons[code]!} (${code})` : String(cause);
}

/** The file's bytes; where it is larger than allowed, or has no end, one more than are allowed. */
function readBytes(file: string): Buffer {
  const descriptor = openSync(file, 'r');
  try {
    const bytes = Buffer.allocUnsafe(maxBytes + 1);
    let length = 0;
    while (length < bytes.length) {
      const read = readSync(descriptor, bytes, length, bytes.length - length, null);
      if (read === 0) break;
      length += read;
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(descriptor);
  }
}

function tooLarge(file: string): Error {
  return refusal(file, [faultOfAll(file, 'is larger than 1 MiB, which is more than a ConfigMap holds')]);
}

function notUtf8(bytes: Buffer, file: string): Error {
  const utf16 = bytes.length >= 2 && ['fffe', 'feff'].includes(bytes.toString('hex', 0, 2));
  const what = utf16 ? 'is UTF-16' : 'is not UTF-8';
  // No character but the line break has the byte of a line break in UTF-8, so each line can be judged alone.
  let line = 1;
  let start = 0;
  for (let end = bytes.indexOf(0x0a); end !== -1 && isUtf8(bytes.subarray(start, end)); line++) {
    start = end + 1;
    end = bytes.indexOf(0x0a, start);
  }
  const newline = bytes.indexOf(0x0a, start);
  const broken = bytes.toString('utf8', start, newline === -1 ? bytes.length : newline);
  const column = broken.indexOf('\uFFFD') + 1;
  return refusal(file, [{ file, line, column, path: '', message: `${what}: save it as UTF-8 text` }]);
}
