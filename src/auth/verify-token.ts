/** From the text of a token to claims that its issuer vouches for. */
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify } from 'jose';
import { isAlgorithm, type Algorithm } from './algorithms.ts';
import type { RefusalReason } from './auth-result.ts';
import type { Claims } from './claims.ts';
import type { KeySet } from './jwks-document.ts';
import type { VerificationKey } from './verification-key.ts';

/** What a token says of itself. Nothing of it is proven. */
export interface UnverifiedToken {
  readonly text: string;
  /** Undefined where it is none that we could ever allow, such as `none`. */
  readonly algorithm: Algorithm | undefined;
  readonly kid: string | undefined;
  readonly issuer: string;
}

/** Reads a token of three parts; undefined where it is not one, or names no issuer. */
export function readUnverified(text: string): UnverifiedToken | undefined {
  if (!/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/.test(text)) return undefined;
  let alg: unknown;
  let kid: unknown;
  let iss: unknown;
  try {
    ({ alg, kid } = decodeProtectedHeader(text));
    ({ iss } = decodeJwt(text));
  } catch {
    return undefined;
  }
  if (typeof alg !== 'string' || typeof iss !== 'string') return undefined;
  if (kid !== undefined && typeof kid !== 'string') return undefined;
  return { text, algorithm: isAlgorithm(alg) ? alg : undefined, kid, issuer: iss };
}

export interface SignatureRules {
  readonly algorithms: readonly Algorithm[];
  readonly clockToleranceMs: number;
}

export type SignatureVerdict =
  | { readonly kind: 'verified'; readonly claims: Claims; readonly key: VerificationKey }
  | { readonly kind: 'failed'; readonly reason: RefusalReason };

/**
 * Verifies a token with the keys that are for it: those of its `kid`, each in turn where there are several; without a
 * `kid`, the only one that fits its algorithm. Of the claims only `exp` and `nbf` are looked at, as jose does by itself.
 * @throws Error for a bug only.
 */
export async function verifySignature(
  token: UnverifiedToken,
  keys: KeySet,
  rules: SignatureRules,
  epochMs: number,
): Promise<SignatureVerdict> {
  const { algorithm, kid } = token;
  if (algorithm === undefined || !rules.algorithms.includes(algorithm)) return failed('algorithm-refused');
  const candidates = keys.candidates(algorithm, kid);
  if (kid === undefined && candidates.length > 1) return failed('unknown-key');
  let verdict = failed('unknown-key');
  for (const key of candidates) {
    const material = await key.material(algorithm);
    if (material === undefined) continue;
    try {
      const { payload } = await jwtVerify(token.text, material, {
        algorithms: [algorithm],
        currentDate: new Date(epochMs),
        clockTolerance: rules.clockToleranceMs / 1000,
      });
      return { kind: 'verified', claims: payload, key };
    } catch (error) {
      const reason = reasonOf(error);
      // Another key of the same name may be the right one.
      if (reason !== 'bad-signature') return failed(reason);
      verdict = failed(reason);
    }
  }
  return verdict;
}

function reasonOf(error: unknown): RefusalReason {
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'bad-signature';
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JWTClaimValidationFailed && error.reason === 'check_failed')
    return 'not-yet-valid';
  // The rest is in the token, `crit` among it; what is not jose's is ours.
  if (error instanceof errors.JOSEError) return 'malformed';
  throw error;
}

function failed(reason: RefusalReason): SignatureVerdict {
  return { kind: 'failed', reason };
}
