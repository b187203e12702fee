/** What authentication comes to, and what a refused client is told: never whom or what we would have accepted. */
import type { Principal } from './principal.ts';

/** The closed list of refusals: the label of metrics and logs. */
const refusals = {
  /** No token at all. */
  missing: { kind: 'unauthenticated', error: undefined, message: 'An access token is required.' },
  /** The header or the token in it is not what it should be. */
  malformed: { kind: 'unauthenticated', error: 'invalid_token', message: 'The access token is malformed.' },
  conflict: {
    kind: 'unauthenticated',
    error: 'invalid_request',
    message: 'The request carries several access tokens that differ.',
  },
  'too-large': { kind: 'unauthenticated', error: 'invalid_token', message: 'The access token is too large.' },
  'unknown-issuer': { kind: 'unauthenticated', error: 'invalid_token', message: notAccepted() },
  'algorithm-refused': { kind: 'unauthenticated', error: 'invalid_token', message: notAccepted() },
  /** The issuer was asked and has no such key; or the token names none, and not exactly one fits. */
  'unknown-key': { kind: 'unauthenticated', error: 'invalid_token', message: notAccepted() },
  'bad-signature': { kind: 'unauthenticated', error: 'invalid_token', message: notAccepted() },
  'wrong-audience': { kind: 'unauthenticated', error: 'invalid_token', message: notAccepted() },
  expired: { kind: 'unauthenticated', error: 'invalid_token', message: 'The access token expired.' },
  'not-yet-valid': {
    kind: 'unauthenticated',
    error: 'invalid_token',
    message: 'The access token is not valid yet.',
  },
  /** No `exp`, or no subject. */
  'claim-missing': {
    kind: 'unauthenticated',
    error: 'invalid_token',
    message: 'The access token lacks a claim that is needed.',
  },
  /** A good token whose holder is not let in. */
  'claim-refused': {
    kind: 'forbidden',
    error: 'insufficient_scope',
    message: 'The access token does not grant access to this service.',
  },
  /** There are no keys, or there may be a newer one and the issuer could not be asked. */
  'no-keys': {
    kind: 'unavailable',
    error: undefined,
    message: 'Access tokens cannot be verified at the moment. Please try again later.',
  },
} as const;

export type RefusalReason = keyof typeof refusals;

/**
 * One word for each authentication:
 * - `ok`: a token was verified; `cached`: it was before; `envoy`: Envoy verified it;
 * - `exempt`: the path needs none; `anonymous`: nobody needs one;
 * - or the refusal.
 */
export type AuthOutcome = 'ok' | 'cached' | 'envoy' | 'exempt' | 'anonymous' | RefusalReason;

export interface Accepted {
  readonly kind: 'accepted';
  readonly principal: Principal;
}

export interface Refused {
  /** `unauthenticated` is answered 401, `forbidden` 403, `unavailable` 503. */
  readonly kind: (typeof refusals)[RefusalReason]['kind'];
  readonly reason: RefusalReason;
  /** For the client. */
  readonly message: string;
  /** Response headers besides Retry-After. */
  readonly headers: Readonly<Record<string, string>>;
  /** Whole seconds for Retry-After; undefined where trying again is no use. */
  readonly retryAfterSeconds: number | undefined;
}

export type AuthResult = Accepted | Refused;

/** Long enough for a fetch that is under way, short enough for nobody to notice. */
const retryAfterSeconds = 2;

/** The refusal for a reason. */
export function refused(reason: RefusalReason): Refused {
  const { kind, error, message } = refusals[reason];
  const unavailable = kind === 'unavailable';
  return {
    kind,
    reason,
    message,
    headers: unavailable ? {} : { 'www-authenticate': challenge(error, message) },
    retryAfterSeconds: unavailable ? retryAfterSeconds : undefined,
  };
}

/** The challenge of RFC 6750, 3. Where there was no token it has no error: the client may not have known. */
function challenge(error: string | undefined, message: string): string {
  const realm = 'Bearer realm="sluice"';
  return error === undefined ? realm : `${realm}, error="${error}", error_description="${message}"`;
}

/** One sentence for all that an outsider could use to find out what would be accepted. */
function notAccepted(): string {
  return 'The access token is not accepted here.';
}
