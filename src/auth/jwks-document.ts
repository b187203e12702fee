/** A JWKS document (RFC 7517) as the set of its keys that are of use. */
import type { Algorithm } from './algorithms.ts';
import { readKey, type VerificationKey } from './verification-key.ts';

/** The keys of an issuer at one time. Immutable; a newer set shares the keys that stayed. */
export interface KeySet {
  readonly size: number;
  /** Why other keys of the document are not used, for the first ten of them. */
  readonly ignored: readonly string[];
  /** Whether this very key is in the set: false for one that was removed. */
  has(key: VerificationKey): boolean;
  /** The key with this `identity`. */
  find(identity: string): VerificationKey | undefined;
  /** The keys for tokens of this algorithm with this `kid`, or with none. */
  candidates(algorithm: Algorithm, kid: string | undefined): readonly VerificationKey[];
}

/** More are a mistake, and each costs a verification where several have one `kid`. */
const maxKeys = 100;
const maxReasons = 10;

/**
 * Reads a parsed document. Keys that are not understood, not for signatures or not for an allowed algorithm are left out,
 * as RFC 7517 asks; they do not spoil the others.
 * @param before the set that this one replaces; returned itself where nothing changed.
 * @throws Error where there is no list of keys, or none of use: such a document is a mistake, not the end of all keys.
 */
export function readJwks(document: unknown, allowed: readonly Algorithm[], before?: KeySet): KeySet {
  const listed: unknown =
    typeof document === 'object' && document !== null && Object.hasOwn(document, 'keys')
      ? Reflect.get(document, 'keys')
      : undefined;
  if (!Array.isArray(listed)) throw new Error('it is no JWKS: it has no list of "keys"');
  const keys = new Map<string, VerificationKey>();
  const ignored: string[] = [];
  for (const [i, jwk] of listed.entries()) {
    const reading = keys.size < maxKeys ? readKey(jwk, allowed) : tooMany;
    if (reading.kind === 'key') keys.set(reading.key.identity, reading.key);
    else if (ignored.length < maxReasons) ignored.push(`keys[${i}]: ${reading.why}`);
  }
  if (keys.size === 0) throw new Error(['it has no key of use', ...ignored].join('; '));
  return createKeySet(keys, ignored, before);
}

const tooMany = { kind: 'ignored', why: `there are more than ${maxKeys}` } as const;

function createKeySet(
  read: ReadonlyMap<string, VerificationKey>,
  ignored: readonly string[],
  before: KeySet | undefined,
): KeySet {
  if (before?.size === read.size && [...read.keys()].every((identity) => before.find(identity) !== undefined))
    return before;
  // Keys that stay are the same objects: what was verified with them still holds.
  const byIdentity = new Map([...read].map(([identity, key]) => [identity, before?.find(identity) ?? key]));
  const keys = [...byIdentity.values()];
  const members = new Set(keys);
  return {
    size: keys.length,
    ignored,
    has: (key) => members.has(key),
    find: (identity) => byIdentity.get(identity),
    candidates: (algorithm, kid) =>
      keys.filter((key) => (kid === undefined || key.kid === kid) && key.fits(algorithm)),
  };
}
