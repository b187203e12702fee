/** Issuers of tokens for tests: real keys, and tokens of every sort, good and bad. */
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from 'jose';

/** The second that `FakeClock` starts in. */
export const startSeconds = 1_700_000_000;

export const issuer = 'https://issuer.example';

/** A key pair with its public half as a JWKS has it. */
export interface SigningKey {
  readonly kid: string | undefined;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

/** Makes a key pair; without a `kid` neither its JWK nor its tokens have one. */
export async function signingKey(kid?: string, alg = 'ES256'): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = await exportJWK(publicKey);
  return { kid, alg, privateKey, jwk: { ...jwk, ...(kid === undefined ? {} : { kid }) } };
}

/** Claims that are accepted: of `issuer`, for `sluice`, good for the first hour of `FakeClock`. */
export const goodClaims = { iss: issuer, aud: 'sluice', sub: 'ann', exp: startSeconds + 3600 };

/** A token with these claims and no others. */
export function sign(
  key: Pick<SigningKey, 'kid' | 'alg'> & { readonly privateKey: CryptoKey | Uint8Array },
  claims: Readonly<Record<string, unknown>> = goodClaims,
  header: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  return new SignJWT({ ...claims })
    .setProtectedHeader({ alg: key.alg, ...(key.kid === undefined ? {} : { kid: key.kid }), ...header })
    .sign(key.privateKey);
}

/** A token of any parts, the signature being whatever it is. */
export function assemble(
  header: unknown,
  claims: unknown = goodClaims,
  signature: Uint8Array | string = 'none',
): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part(header)}.${part(claims)}.${Buffer.from(signature).toString('base64url')}`;
}
