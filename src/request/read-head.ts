/** What the head alone decides: which path, whether it may be served, and which headers an engine must not see. */
import type { Headers } from '../lib/headers.ts';
import type { PathMatch } from './api-paths.ts';
import type { RequestHead } from './exchange.ts';
import { Rejection } from './rejection.ts';

/** A path that is answered by us or sent to an engine. */
export type ServedPath = Extract<PathMatch, { kind: 'inference' | 'local' | 'allowed' }>;

/**
 * Refuses what cannot be served, before a body is read.
 * @throws Rejection for an unknown or non-canonical path, a method the path does not have, an encoded or missing body,
 * or a declared length over `maxBodyBytes`.
 */
export function readHead(head: RequestHead, path: PathMatch, maxBodyBytes: number): ServedPath {
  switch (path.kind) {
    case 'not-canonical':
      throw new Rejection(
        'path-not-found',
        `This path is not in canonical form; did you mean ${path.canonical}?`,
      );
    case 'unknown':
      throw new Rejection(
        'path-not-found',
        'Unknown path. This gateway serves inference APIs such as /v1/chat/completions.',
      );
    case 'local':
      requireMethod(head.method, ['GET', 'HEAD']);
      return path;
    case 'allowed':
      return path;
    case 'inference':
      break;
    default:
      path satisfies never;
  }
  requireMethod(head.method, ['POST']);
  if (!head.hasBody)
    throw new Rejection('invalid-request', 'The request has no body; a JSON object is expected.');
  const encoding = head.headers.get('content-encoding');
  if (encoding !== undefined && encoding !== 'identity') {
    throw new Rejection(
      'unsupported-encoding',
      `Request bodies with content-encoding "${encoding}" are not supported; send it uncompressed.`,
    );
  }
  const lengths = new Set(head.headers.getAll('content-length'));
  if (lengths.size > 1)
    throw new Rejection('invalid-request', 'The request has several content-length headers that differ.');
  for (const length of lengths) {
    if (Number(length) > maxBodyBytes)
      throw new Rejection('body-too-large', `The request body is larger than ${maxBodyBytes} bytes.`);
  }
  return path;
}

function requireMethod(method: string, allowed: readonly string[]): void {
  if (allowed.includes(method)) return;
  throw new Rejection('method-not-allowed', `This path does not accept ${method}; use ${allowed[0]!}.`, {
    headers: { allow: allowed.join(', ') },
  });
}

/**
 * What an engine must not see: control headers as the client sent them, which would choose endpoints or speak for us, and
 * private ones, by lower-case name. The destination header itself is overwritten, so it is not among them.
 */
export function strippedHeaders(headers: Headers, privateHeaders: readonly string[]): string[] {
  return headers.names(
    (name) =>
      privateHeaders.includes(name) ||
      (name.startsWith('x-') &&
        (name.startsWith('x-sluice-') ||
          (name.startsWith('x-gateway-destination-endpoint') && name !== 'x-gateway-destination-endpoint') ||
          name === 'x-prefiller-host-port')),
  );
}

/** Headers an engine gets in place of the client's: token counts can be read from an uncompressed response only. */
export function upstreamHeaders(headers: Headers): Readonly<Record<string, string>> {
  const encodings = headers.get('accept-encoding');
  return encodings === undefined || encodings === 'identity' ? noHeaders : identityEncoding;
}

const noHeaders: Readonly<Record<string, string>> = {};
const identityEncoding: Readonly<Record<string, string>> = { 'accept-encoding': 'identity' };
