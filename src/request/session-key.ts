/** The session that a request belongs to, as its head says it. */
import type { Headers } from '../lib/headers.ts';

/** A longer key is as good as none: keys are kept for every session. */
export const maxSessionKeyBytes = 1024;

/** The value of the first of these headers, by lower-case name, that is neither empty nor too long. */
export function headerSessionKey(headers: Headers, names: readonly string[]): string | undefined {
  for (const name of names) {
    const key = headers.get(name)?.trim();
    if (key !== undefined && key !== '' && Buffer.byteLength(key) <= maxSessionKeyBytes) return key;
  }
  return undefined;
}
