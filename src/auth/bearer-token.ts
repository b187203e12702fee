/** Which token the headers of a request carry. */
import type { Headers } from '../lib/headers.ts';

export type TokenReading =
  | { readonly kind: 'token'; readonly token: string }
  /** No token, or credentials of another scheme. */
  | { readonly kind: 'none' }
  /** Something that should be a token and cannot be one. */
  | { readonly kind: 'malformed' }
  /** Two tokens that differ: whose request it is cannot be told. */
  | { readonly kind: 'conflict' }
  | { readonly kind: 'too-large' };

const none: TokenReading = { kind: 'none' };
const malformed: TokenReading = { kind: 'malformed' };
const conflict: TokenReading = { kind: 'conflict' };
const tooLarge: TokenReading = { kind: 'too-large' };

const schemeLength = 'Bearer '.length;

/**
 * Reads the one token of a request. `authorization` holds `Bearer <token>`; any other header may leave the scheme out,
 * as `x-api-key` does. The same token twice is one token.
 * @param names where tokens are looked for, in lower case.
 * @param maxTokenBytes a header that is longer is not looked into.
 */
export function readToken(headers: Headers, names: readonly string[], maxTokenBytes: number): TokenReading {
  let found: TokenReading = none;
  for (const name of names) {
    for (const value of headers.getAll(name)) {
      if (value.length > maxTokenBytes + schemeLength) return tooLarge;
      const reading = readValue(value, name === 'authorization');
      if (reading.kind === 'none') continue;
      if (reading.kind !== 'token') return reading;
      if (reading.token.length > maxTokenBytes) return tooLarge;
      if (found.kind === 'token' && found.token !== reading.token) return conflict;
      found = reading;
    }
  }
  return found;
}

function readValue(value: string, needsScheme: boolean): TokenReading {
  if (!value.includes(',')) return readCredentials(value.trim(), needsScheme);
  // No token has a comma in it. Proxies, Envoy among them, join headers of one name with it.
  const readings = value.split(',').map((part) => readCredentials(part.trim(), needsScheme));
  const [first] = readings;
  // Credentials of another scheme may have commas of their own.
  if (first?.kind === 'none' && !readings.some(({ kind }) => kind === 'token')) return none;
  if (first?.kind !== 'token') return malformed;
  for (const reading of readings) {
    if (reading.kind !== 'token') return malformed;
    if (reading.token !== first.token) return conflict;
  }
  return first;
}

function readCredentials(text: string, needsScheme: boolean): TokenReading {
  if (text === '') return none;
  const fields = text.split(/[ \t]+/);
  const [first = '', second] = fields;
  if (second === undefined) {
    return needsScheme || first.toLowerCase() === 'bearer' ? malformed : { kind: 'token', token: first };
  }
  if (first.toLowerCase() !== 'bearer') return needsScheme ? none : malformed;
  return fields.length === 2 ? { kind: 'token', token: second } : malformed;
}
