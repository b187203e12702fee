/** Whether verified claims are meant for us, now. */
import type { RefusalReason } from './auth-result.ts';
import type { Claims } from './claims.ts';

export interface ClaimRules {
  readonly issuer: string;
  /** One of them must be in `aud`; empty: `aud` is not looked at. */
  readonly audiences: readonly string[];
  /** How far the issuer's clock and ours may be apart. */
  readonly clockToleranceMs: number;
}

/** Why the claims are refused, undefined where they are not. `exp` must be there, `nbf` and `iat` need not. */
export function checkClaims(
  claims: Claims,
  { issuer, audiences, clockToleranceMs }: ClaimRules,
  epochMs: number,
): RefusalReason | undefined {
  if (claims['iss'] !== issuer) return 'unknown-issuer';
  if (audiences.length > 0 && !audiencesOf(claims).some((audience) => audiences.includes(audience)))
    return 'wrong-audience';
  const { exp, nbf, iat } = claims;
  if (exp === undefined) return 'claim-missing';
  if (!isNumericDate(exp) || !isOptionalDate(nbf) || !isOptionalDate(iat)) return 'malformed';
  if (exp * 1000 + clockToleranceMs <= epochMs) return 'expired';
  const latestMs = epochMs + clockToleranceMs;
  if ((nbf ?? 0) * 1000 > latestMs || (iat ?? 0) * 1000 > latestMs) return 'not-yet-valid';
  return undefined;
}

function audiencesOf({ aud }: Claims): readonly string[] {
  if (typeof aud === 'string') return [aud];
  return Array.isArray(aud) ? aud.filter((audience) => typeof audience === 'string') : [];
}

function isOptionalDate(value: unknown): value is number | undefined {
  return value === undefined || isNumericDate(value);
}

/** Seconds since the epoch, with or without a fraction. */
function isNumericDate(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
