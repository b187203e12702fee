/** One issuer of tokens: its keys, and what it must say of a caller. */
import type { Clock } from '../lib/clock.ts';
import type { Algorithm } from './algorithms.ts';
import { refused, type Accepted, type AuthResult, type RefusalReason } from './auth-result.ts';
import { checkClaims } from './check-claims.ts';
import { hasClaim, type Claims, type RequiredClaim } from './claims.ts';
import type { Jwks } from './jwks.ts';
import { userOf, type PrincipalClaims } from './principal.ts';
import type { VerificationKey } from './verification-key.ts';
import { verifySignature, type UnverifiedToken } from './verify-token.ts';

export interface ProviderRules {
  /** `iss` of its tokens. */
  readonly issuer: string;
  /** One of them must be in `aud`; empty: tokens for anybody are accepted. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly Algorithm[];
  readonly principal: PrincipalClaims;
  /** Claims that a token must have, all of them. */
  readonly requiredClaims: readonly RequiredClaim[];
  readonly clockToleranceMs: number;
}

/** A caller whose token was verified by us, with what the proof rests on. */
export interface Proven {
  readonly kind: 'proven';
  readonly accepted: Accepted;
  readonly key: VerificationKey;
  /** `exp` in milliseconds since the Unix epoch. */
  readonly expiresEpochMs: number;
}

export interface Provider {
  readonly issuer: string;
  readonly jwks: Jwks;
  /** Verifies a token that says it is from this issuer. Waits for newer keys where it needs them. */
  verify(token: UnverifiedToken): Promise<Proven | AuthResult>;
  /** Checks claims that somebody else verified. */
  accept(claims: Claims): AuthResult;
  /** Whether a key is still in use: where not, what was verified with it no longer counts. */
  readonly holds: (key: VerificationKey) => boolean;
}

/** A search leads to another set only when the issuer changed its keys: this often within one request is no rotation. */
const maxSets = 4;

/** Creates the provider; the caller starts and stops its `jwks`. */
export function createProvider(
  rules: ProviderRules,
  { jwks, clock }: { jwks: Jwks; clock: Clock },
): Provider {
  async function verify(token: UnverifiedToken): Promise<Proven | AuthResult> {
    let { keys } = jwks;
    for (let sets = 1; keys !== undefined; sets++) {
      const verdict = await verifySignature(token, keys, rules, clock.epochMs());
      if (verdict.kind === 'verified') return prove(verdict.claims, verdict.key);
      const { reason } = verdict;
      if (!mayBeRotation(reason) || sets >= maxSets) return refused(reason);
      const search = await jwks.search(keys, missedKey(token, reason));
      // A bad signature of a key that is there is what it looks like until the issuer says otherwise.
      if (search.kind === 'unknown' && reason === 'unknown-key') break;
      if (search.kind !== 'newer') return refused(reason);
      ({ keys } = search);
    }
    return refused('no-keys');
  }

  function prove(claims: Claims, key: VerificationKey): Proven | AuthResult {
    const accepted = accept(claims);
    const { exp } = claims;
    if (accepted.kind !== 'accepted' || typeof exp !== 'number') return accepted;
    return { kind: 'proven', accepted, key, expiresEpochMs: exp * 1000 };
  }

  function accept(claims: Claims): AuthResult {
    const fault = checkClaims(claims, rules, clock.epochMs());
    if (fault !== undefined) return refused(fault);
    const principal = userOf(claims, rules.issuer, rules.principal);
    if (principal === undefined) return refused('claim-missing');
    if (!rules.requiredClaims.every((required) => hasClaim(claims, required)))
      return refused('claim-refused');
    return { kind: 'accepted', principal };
  }

  return { issuer: rules.issuer, jwks, verify, accept, holds: (key) => jwks.keys?.has(key) === true };
}

/** Issuers without `kid`, and those that give a new key the old name, rotate by what looks like a forgery. */
function mayBeRotation(reason: RefusalReason): boolean {
  return reason === 'unknown-key' || reason === 'bad-signature';
}

function missedKey({ algorithm, kid }: UnverifiedToken, reason: RefusalReason): string {
  return JSON.stringify([reason, algorithm, kid]);
}
