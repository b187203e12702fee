/** The signature algorithms that can be allowed, and the keys that each works with. `none` is not among them. */

/** What a key must be like for an algorithm. */
export interface KeyShape {
  /** `kty` of the JWK. */
  readonly type: 'RSA' | 'EC' | 'OKP' | 'oct';
  /** `crv` of the JWK, where the type has curves. */
  readonly curve?: string;
  /** Shortest secret in bytes: as long as the hash (RFC 7518, 3.2). */
  readonly minSecretBytes?: number;
}

const shapes = {
  RS256: { type: 'RSA' },
  RS384: { type: 'RSA' },
  RS512: { type: 'RSA' },
  PS256: { type: 'RSA' },
  PS384: { type: 'RSA' },
  PS512: { type: 'RSA' },
  ES256: { type: 'EC', curve: 'P-256' },
  ES384: { type: 'EC', curve: 'P-384' },
  ES512: { type: 'EC', curve: 'P-521' },
  EdDSA: { type: 'OKP', curve: 'Ed25519' },
  // EdDSA by its newer name (RFC 9864).
  Ed25519: { type: 'OKP', curve: 'Ed25519' },
  HS256: { type: 'oct', minSecretBytes: 32 },
  HS384: { type: 'oct', minSecretBytes: 48 },
  HS512: { type: 'oct', minSecretBytes: 64 },
} as const satisfies Readonly<Record<string, KeyShape>>;

/** `alg` of a token or a key. */
export type Algorithm = keyof typeof shapes;

/** Every algorithm that can be allowed. */
export const algorithms = Object.keys(shapes).filter(isAlgorithm);

/** Those that need no shared secret: what is allowed where nothing is said. */
export const asymmetricAlgorithms: readonly Algorithm[] = algorithms.filter(
  (algorithm) => shapes[algorithm].type !== 'oct',
);

/** Whether this is the name of an algorithm that can be allowed, spelled as RFC 7518 spells it. */
export function isAlgorithm(name: unknown): name is Algorithm {
  return typeof name === 'string' && Object.hasOwn(shapes, name);
}

/** What a key must be like for this algorithm. */
export function keyShape(algorithm: Algorithm): KeyShape {
  return shapes[algorithm];
}

/** Whether two names mean the same algorithm. */
export function sameAlgorithm(a: Algorithm, b: Algorithm): boolean {
  return a === b || (shapes[a].type === 'OKP' && shapes[b].type === 'OKP');
}
