/** Where the keys of an issuer are: behind a URL, in a file, or in the configuration. */
import { open } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { HttpAnswer, HttpGet } from './http-get.ts';

export interface FetchOptions {
  /** Ends the attempt. */
  readonly signal: AbortSignal;
  /** Asks caches on the way for the issuer's own answer. */
  readonly uncached: boolean;
}

export interface JwksAnswer {
  /** Parsed, not checked. */
  readonly document: unknown;
  /** How long the source says that it holds. */
  readonly maxAgeMs: number | undefined;
}

export interface JwksSource {
  /** For people: no secrets. */
  readonly name: string;
  /** False where every answer is the same. */
  readonly renewable: boolean;
  /** Rejects with what is wrong, without the name. */
  fetch(options: FetchOptions): Promise<JwksAnswer>;
}

/** Larger documents are refused. */
export const maxJwksBytes = 1024 * 1024;

/** Looking at a file costs nothing, and unlike a watch it is deaf to no way of replacing one. */
const fileMaxAgeMs = 10_000;

/** What the configuration says of where the keys are. */
export type JwksLocation =
  { readonly kind: 'uri'; readonly uri: string } | { readonly kind: 'inline'; readonly jwks: unknown };

/** Makes the source for an `http:`, `https:` or `file:` URL, or for a document that is at hand. */
export function createJwksSource(location: JwksLocation, get: HttpGet): JwksSource {
  if (location.kind === 'inline') {
    const answer = Promise.resolve({ document: location.jwks, maxAgeMs: undefined });
    return { name: 'the configuration', renewable: false, fetch: () => answer };
  }
  const url = new URL(location.uri);
  return url.protocol === 'file:' ? fileSource(url) : httpSource(url, get);
}

function fileSource(url: URL): JwksSource {
  const path = fileURLToPath(url);
  return {
    name: path,
    renewable: true,
    async fetch() {
      const file = await open(path, 'r');
      try {
        const stats = await file.stat();
        if (!stats.isFile()) throw new Error('it is no file');
        if (stats.size > maxJwksBytes) throw new Error(tooLarge);
        return { document: parse(await file.readFile()), maxAgeMs: fileMaxAgeMs };
      } finally {
        await file.close();
      }
    },
  };
}

function httpSource(url: URL, get: HttpGet): JwksSource {
  return {
    // A query may hold a key of an API.
    name: `${url.origin}${url.pathname}`,
    renewable: true,
    async fetch({ signal, uncached }) {
      const headers = {
        accept: 'application/jwk-set+json, application/json',
        'user-agent': 'sluice',
        ...(uncached ? { 'cache-control': 'no-cache' } : {}),
      };
      const answer = await get(url, { headers, signal, maxBytes: maxJwksBytes });
      if (answer.status >= 300 && answer.status < 400)
        throw new Error(`it answered ${answer.status}, a redirect; name the URL that it leads to`);
      if (answer.status !== 200) throw new Error(`it answered ${answer.status}`);
      if (answer.body === undefined) throw new Error(tooLarge);
      return { document: parse(answer.body), maxAgeMs: maxAgeMs(answer) };
    },
  };
}

const tooLarge = `it is larger than ${maxJwksBytes} bytes`;

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    // The parser's message quotes the document.
    throw new Error('it is not JSON');
  }
}

/** What is left of `max-age` (RFC 9111); undefined where caches may not keep the answer at all. */
function maxAgeMs({ headers }: HttpAnswer): number | undefined {
  const control = headers['cache-control'] ?? '';
  if (/\b(no-store|no-cache)\b/i.test(control)) return undefined;
  const [, seconds] = /\bmax-age\s*=\s*"?(\d{1,10})/i.exec(control) ?? [];
  if (seconds === undefined) return undefined;
  const age = /^\d{1,10}$/.test(headers['age'] ?? '') ? Number(headers['age']) : 0;
  return Math.max(0, Number(seconds) - age) * 1000;
}
