/** Who is calling. */
import type { Headers } from '../lib/headers.ts';
import { claimText, claimWords, type Claims } from './claims.ts';

interface Caller {
  /**
   * The key of ledgers: the same for the same caller in every process, different for any two callers. A subject cannot
   * make it that of another issuer's subject, nor that of somebody anonymous.
   */
  readonly id: string;
  readonly groups: readonly string[];
  readonly tier: string | undefined;
}

/** Somebody whose token was verified. */
export interface User extends Caller {
  readonly kind: 'user';
  readonly issuer: string;
  readonly subject: string;
  readonly claims: Claims;
}

/** Somebody who did not say who they are, and did not have to. */
export interface Anonymous extends Caller {
  readonly kind: 'anonymous';
}

export type Principal = User | Anonymous;

/** Which claims say who somebody is; see `claimAt` for paths. */
export interface PrincipalClaims {
  readonly subject: string;
  readonly groups: string;
  /** Put before each group, so that groups of two issuers are not the same by accident. */
  readonly groupPrefix: string;
  /** Undefined: there are no tiers. */
  readonly tier: string | undefined;
}

/** The user of verified claims; undefined where they name no subject. */
export function userOf(claims: Claims, issuer: string, paths: PrincipalClaims): User | undefined {
  const subject = claimText(claims, paths.subject);
  if (subject === undefined) return undefined;
  const groups = claimWords(claims, paths.groups);
  return {
    kind: 'user',
    // JSON keeps the two apart whatever is in them.
    id: `user:${JSON.stringify([issuer, subject])}`,
    issuer,
    subject,
    groups: paths.groupPrefix === '' ? groups : groups.map((group) => paths.groupPrefix + group),
    tier: paths.tier === undefined ? undefined : claimText(claims, paths.tier),
    claims,
  };
}

/** Everybody who is anonymous and not told apart. */
export const anonymous: Anonymous = { kind: 'anonymous', id: 'anonymous', groups: [], tier: undefined };

/** What anonymous callers are told apart by. None of it is proof of anything. */
export type AnonymousKey =
  | { readonly by: 'shared' }
  | { readonly by: 'address' }
  /** A request header, in lower case. */
  | { readonly by: 'header'; readonly header: string };

/** A longer value is no name, and would only fill memory. */
const maxKeyLength = 256;

/**
 * Who an anonymous caller is. Those without the header, with several of them or with an overlong one are one principal,
 * as are those without an address.
 * @param address IP address of the client, without a port.
 */
export function anonymousOf(key: AnonymousKey, headers: Headers, address: string | undefined): Anonymous {
  switch (key.by) {
    case 'shared':
      return anonymous;
    case 'address':
      return keyed('address', address);
    case 'header': {
      const [value, ...more] = headers.getAll(key.header);
      return more.length > 0 ? anonymous : keyed('header', value?.trim());
    }
    default:
      return key satisfies never;
  }
}

function keyed(by: string, value: string | undefined): Anonymous {
  if (value === undefined || value === '' || value.length > maxKeyLength) return anonymous;
  return { ...anonymous, id: `anonymous:${by}:${value}` };
}
