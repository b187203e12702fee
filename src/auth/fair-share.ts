/** How large a principal's share is where requests have to wait for their turn. */
import { claimAt } from './claims.ts';
import type { Principal } from './principal.ts';

/** The smallest and the greatest share: a principal weighs at most a million times as much as another one. */
export const leastShare = 0.001;
export const greatestShare = 1000;

/** Who has which share: the first that says something of a principal counts, in this order. */
export interface ShareWeights {
  /** By subject, whichever issuer says it. */
  readonly subjects: Readonly<Record<string, number>>;
  /** Path of a claim that is a number; see `claimAt`. Undefined: there is none. */
  readonly claim: string | undefined;
  readonly tiers: Readonly<Record<string, number>>;
  /** Of several groups, the greatest share. */
  readonly groups: Readonly<Record<string, number>>;
  readonly default: number;
}

/** The share of a principal against those of others, from `leastShare` to `greatestShare`. */
export type FairShare = (principal: Principal) => number;

/** Makes the look-up. A claim beyond the bounds counts as the bound; one that is no number above 0, as absent. */
export function createFairShare(weights: ShareWeights): FairShare {
  const { claim } = weights;
  const subjects = new Map(Object.entries(weights.subjects));
  const tiers = new Map(Object.entries(weights.tiers));
  const groups = new Map(Object.entries(weights.groups));

  return (principal) =>
    ofUser(principal) ??
    (principal.tier === undefined ? undefined : tiers.get(principal.tier)) ??
    greatest(principal.groups) ??
    weights.default;

  function ofUser(principal: Principal): number | undefined {
    if (principal.kind !== 'user') return undefined;
    return subjects.get(principal.subject) ?? claimedShare(principal, claim);
  }

  function greatest(names: readonly string[]): number | undefined {
    let most: number | undefined;
    for (const name of names) {
      const share = groups.get(name);
      if (share !== undefined && (most === undefined || share > most)) most = share;
    }
    return most;
  }
}

function claimedShare(
  { claims }: Extract<Principal, { kind: 'user' }>,
  path: string | undefined,
): number | undefined {
  const value = path === undefined ? undefined : claimAt(claims, path);
  if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) return undefined;
  return Math.min(Math.max(value, leastShare), greatestShare);
}
