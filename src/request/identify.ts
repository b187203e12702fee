/** Who calls: a principal, or the rejection of those who do not say or may not. */
import type { AuthResult } from '../auth/auth-result.ts';
import type { Peer } from '../auth/authenticate.ts';
import type { Principal } from '../auth/principal.ts';
import type { Headers } from '../lib/headers.ts';
import type { RequestHead } from './exchange.ts';
import { Rejection, type RejectionReason } from './rejection.ts';

/** At once wherever it can be said without waiting, which is nearly always. */
export type Authenticate = (headers: Headers, path: string, peer: Peer) => AuthResult | Promise<AuthResult>;

/**
 * The caller of a request.
 *
 * @param path without the query.
 * @throws Rejection `unauthenticated`, `forbidden`, or `keys-unavailable` where nobody can be verified now; a promise
 * rejects with the same.
 */
export function identify(
  head: RequestHead,
  path: string,
  authenticate: Authenticate,
): Principal | Promise<Principal> {
  const result = authenticate(head.headers, path, head);
  return result instanceof Promise ? result.then(principalOf) : principalOf(result);
}

const reasonOf = {
  unauthenticated: 'unauthenticated',
  forbidden: 'forbidden',
  unavailable: 'keys-unavailable',
} as const satisfies Record<string, RejectionReason>;

function principalOf(result: AuthResult): Principal {
  if (result.kind === 'accepted') return result.principal;
  const { kind, message, headers, retryAfterSeconds } = result;
  throw new Rejection(reasonOf[kind], message, {
    headers,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  });
}
