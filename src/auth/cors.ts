/** What browsers are told: the answers to their preflights, and the headers that let a page read a response. */
import type { Headers } from '../lib/headers.ts';

export interface CorsOptions {
  /**
   * Origins whose pages may read responses: each as browsers send it (`https://app.example.com`), with `*.` for any host
   * below a domain (`https://*.example.com`), or `*` for all. Empty: none.
   */
  readonly origins: readonly string[];
  readonly methods: readonly string[];
  /** Request headers that pages may send; `*` for whatever they ask for. */
  readonly headers: readonly string[];
  /** Response headers that pages may read. */
  readonly exposedHeaders: readonly string[];
  /** How long a browser remembers the answer to a preflight. */
  readonly maxAgeMs: number;
  /** Whether pages may send cookies and the like. Never together with the origin `*`. */
  readonly credentials: boolean;
}

export interface PreflightAnswer {
  readonly status: 204;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Cors {
  /**
   * The answer to a preflight; undefined where the request is none. A page that may not call gets an answer too, without
   * the headers that would let it.
   */
  preflight(method: string, headers: Headers): PreflightAnswer | undefined;
  /**
   * Headers for the response to a request, ours and an engine's alike; for a page that may not read it, `vary` at most.
   * That one is to be added to what is there, the rest replaces it.
   */
  responseHeaders(headers: Headers): Readonly<Record<string, string>>;
}

/** What an engine may say for itself; to be removed from its responses, so that only `responseHeaders` counts. */
export const engineCorsHeaders: readonly string[] = [
  'access-control-allow-origin',
  'access-control-allow-credentials',
  'access-control-expose-headers',
];

const nothing: Readonly<Record<string, string>> = {};
const preflightVary = 'origin, access-control-request-method, access-control-request-headers';
/** What a page asks for is repeated only up to here. */
const maxAskedLength = 1024;

/** Makes both for one set of options. */
export function createCors(options: CorsOptions): Cors {
  const { origins, methods, headers: allowedHeaders, exposedHeaders, maxAgeMs } = options;
  const anyOrigin = origins.includes('*');
  // Naming every origin back is what the ban on `*` with credentials is meant to prevent.
  const credentials = options.credentials && !anyOrigin;
  const isAllowed = createOriginTest(origins);
  const vary = anyOrigin || origins.length === 0 ? nothing : { vary: 'origin' };

  /** Headers that both sorts of answers have. */
  function granted(origin: string): Record<string, string> {
    return {
      'access-control-allow-origin': anyOrigin ? '*' : origin,
      ...(credentials ? { 'access-control-allow-credentials': 'true' } : {}),
    };
  }

  function allowHeaders(headers: Headers): Record<string, string> {
    // Browsers do not let `*` stand for `authorization`, so what was asked for is said back.
    const names = allowedHeaders.includes('*') ? askedHeaders(headers) : allowedHeaders.join(', ');
    return names === '' ? nothing : { 'access-control-allow-headers': names };
  }

  return {
    preflight(method, headers) {
      const origin = originOf(headers);
      if (method !== 'OPTIONS' || origin === undefined) return undefined;
      if (headers.get('access-control-request-method') === undefined) return undefined;
      if (!isAllowed(origin)) return { status: 204, headers: { vary: preflightVary } };
      return {
        status: 204,
        headers: {
          ...granted(origin),
          'access-control-allow-methods': methods.join(', '),
          ...allowHeaders(headers),
          'access-control-max-age': String(Math.floor(maxAgeMs / 1000)),
          vary: preflightVary,
        },
      };
    },

    responseHeaders(headers) {
      const origin = originOf(headers);
      if (origin === undefined || !isAllowed(origin)) return vary;
      return {
        ...granted(origin),
        ...(exposedHeaders.length > 0 ? { 'access-control-expose-headers': exposedHeaders.join(', ') } : {}),
        ...vary,
      };
    },
  };
}

/** The one origin of a request; browsers send no more than one. */
function originOf(headers: Headers): string | undefined {
  const [origin, ...more] = headers.getAll('origin');
  return origin === '' || more.length > 0 ? undefined : origin;
}

function createOriginTest(origins: readonly string[]): (origin: string) => boolean {
  if (origins.includes('*')) return () => true;
  const exact = new Set(origins.filter((origin) => !origin.includes('*')));
  const patterns = origins
    .filter((origin) => origin.includes('*'))
    .map((origin) => {
      const [scheme = '', domain = ''] = origin.split('*');
      return { scheme, domain };
    });
  return (origin) =>
    exact.has(origin) ||
    patterns.some(
      ({ scheme, domain }) =>
        origin.startsWith(scheme) &&
        origin.endsWith(domain) &&
        /^[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(origin.slice(scheme.length, -domain.length)),
    );
}

/** Names that the page wants to send, as far as they are names. */
function askedHeaders(headers: Headers): string {
  const asked = headers.get('access-control-request-headers') ?? '';
  if (asked.length > maxAskedLength) return '';
  return asked
    .split(',')
    .map((name) => name.trim())
    .filter((name) => /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name))
    .join(', ');
}
