/** One key of a JWKS: for which tokens it is, and its form for jose. */
import { importJWK, type CryptoKey, type JWK } from 'jose';
import { isAlgorithm, keyShape, sameAlgorithm, type Algorithm } from './algorithms.ts';

export interface VerificationKey {
  readonly kid: string | undefined;
  /** Equal for two keys exactly where all that counts of them is. */
  readonly identity: string;
  /** Whether tokens of this algorithm can be verified with it. */
  fits(algorithm: Algorithm): boolean;
  /** For jose, made when first asked for; undefined where the key is broken. */
  material(algorithm: Algorithm): Promise<CryptoKey | Uint8Array | undefined>;
}

export type KeyReading =
  | { readonly kind: 'key'; readonly key: VerificationKey }
  /** A key that is not for us, or no good. */
  | { readonly kind: 'ignored'; readonly why: string };

/** Members of a JWK that make up its public key, or the secret, by type. */
const members: Readonly<Record<string, readonly string[]>> = {
  RSA: ['n', 'e'],
  EC: ['crv', 'x', 'y'],
  OKP: ['crv', 'x'],
  oct: ['k'],
};

const minRsaBytes = 2048 / 8;

/** Reads one member of a JWKS; only keys that fit one of the `allowed` algorithms are of use. */
export function readKey(jwk: unknown, allowed: readonly Algorithm[]): KeyReading {
  if (typeof jwk !== 'object' || jwk === null) return ignored('it is not a mapping');
  const get = (name: string): unknown => (Object.hasOwn(jwk, name) ? Reflect.get(jwk, name) : undefined);
  const type = get('kty');
  const names = typeof type === 'string' && Object.hasOwn(members, type) ? members[type] : undefined;
  if (typeof type !== 'string' || names === undefined) return ignored('its type is unknown');
  const kid = get('kid');
  if (kid !== undefined && typeof kid !== 'string') return ignored('its kid is not a string');
  const use = get('use');
  if (use !== undefined && use !== 'sig') return ignored('its use is not "sig"');
  const operations = get('key_ops');
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify')))
    return ignored('its key_ops have no "verify"');
  // Whoever can read this JWKS can sign: such a key proves nothing.
  if (type !== 'oct' && get('d') !== undefined) return ignored('it is a private key');

  const material: Record<string, string> = {};
  for (const name of names) {
    const value = get(name);
    if (typeof value !== 'string' || !/^[A-Za-z0-9_-]+$/.test(value))
      return ignored(`its ${name} is missing`);
    material[name] = value;
  }
  if (type === 'RSA' && bytesOf(material['n']!) < minRsaBytes) return ignored('it is shorter than 2048 bits');

  const declared = get('alg');
  const fitting = allowed.filter((algorithm) => {
    const shape = keyShape(algorithm);
    return (
      shape.type === type &&
      (shape.curve === undefined || shape.curve === material['crv']) &&
      (shape.minSecretBytes === undefined || bytesOf(material['k']!) >= shape.minSecretBytes) &&
      (declared === undefined || (isAlgorithm(declared) && sameAlgorithm(declared, algorithm)))
    );
  });
  if (fitting.length === 0) return ignored('it fits no algorithm that is allowed');
  return { kind: 'key', key: createKey(kid, { kty: type, ...material }, fitting) };
}

function createKey(
  kid: string | undefined,
  jwk: JWK & { readonly kty: string },
  fitting: readonly Algorithm[],
): VerificationKey {
  const imported = new Map<Algorithm, Promise<CryptoKey | Uint8Array | undefined>>();
  return {
    kid,
    identity: JSON.stringify([kid, jwk, fitting]),
    fits: (algorithm) => fitting.includes(algorithm),
    material(algorithm) {
      let material = imported.get(algorithm);
      if (material === undefined) {
        // A point that is not on its curve, and the like: known only now.
        material = importJWK(jwk, algorithm).then(longEnough, () => undefined);
        imported.set(algorithm, material);
      }
      return material;
    },
  };
}

/** The modulus counts, not the zeros before it. */
function longEnough(material: CryptoKey | Uint8Array): CryptoKey | Uint8Array | undefined {
  if (material instanceof Uint8Array || !('modulusLength' in material.algorithm)) return material;
  const bits = material.algorithm.modulusLength;
  return typeof bits === 'number' && bits >= 8 * minRsaBytes ? material : undefined;
}

function bytesOf(base64url: string): number {
  return Math.floor((base64url.length * 3) / 4);
}

function ignored(why: string): KeyReading {
  return { kind: 'ignored', why };
}
