/** Reading claims, which a configuration names by their paths. */

/** The payload of a verified token. */
export type Claims = Readonly<Record<string, unknown>>;

/**
 * The value at a path: the claim of exactly this name, else the way down through mappings, one step per dot. So
 * `realm_access.roles` is found in Keycloak's tokens, and `https://example.com/roles` in Auth0's.
 */
export function claimAt(claims: Claims, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path];
  let at: unknown = claims;
  for (const step of path.split('.')) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return undefined;
    at = Reflect.get(at, step);
  }
  return at;
}

/** A claim that names somebody or something; undefined where it is absent, empty, or not a string or a whole number. */
export function claimText(claims: Claims, path: string): string | undefined {
  const value = claimAt(claims, path);
  // Beyond the safe integers two different numbers can read the same, and two callers would be one.
  if (Number.isSafeInteger(value)) return String(value);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/**
 * The words of a claim that is a list or a single string. A scope is one string of words with spaces between them
 * (RFC 8693, 4.2), so the claims `scope` and `scp` are split; a group may have spaces in its name.
 */
export function claimWords(claims: Claims, path: string): readonly string[] {
  const value = claimAt(claims, path);
  if (Array.isArray(value)) {
    const items: readonly unknown[] = value;
    return items.filter((item): item is string => typeof item === 'string' && item !== '');
  }
  if (typeof value !== 'string' || value === '') return [];
  return /(^|\.)(scope|scp)$/.test(path) ? value.split(' ').filter((word) => word !== '') : [value];
}

/** A claim that a token must have. */
export interface RequiredClaim {
  readonly claim: string;
  /** It must have one of these values, or be a list with one of them in it; empty means any value but null. */
  readonly values: readonly (string | number | boolean)[];
}

/** Whether a token has the claim. */
export function hasClaim(claims: Claims, { claim, values }: RequiredClaim): boolean {
  const value = claimAt(claims, claim);
  if (values.length === 0) return value !== undefined && value !== null;
  const held: readonly unknown[] = Array.isArray(value) ? value : [value, ...claimWords(claims, claim)];
  return values.some((wanted) => held.includes(wanted));
}
