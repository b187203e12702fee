/** Issuers of access tokens for system tests: real keys, tokens that are good now, and a JWKS behind a real port. */
import { JwksServer, type JwksReply } from '../auth/support/jwks-server.ts';
import { sign, signingKey, type SigningKey } from '../auth/support/tokens.ts';

/** What every token of these issuers is for. */
export const audience = 'audience-of-the-gateway';

type Claims = Readonly<Record<string, unknown>>;

export interface Issuer {
  /** `iss` of its tokens. */
  readonly name: string;
  /** The key that it signs with, and that it publishes until told otherwise. */
  readonly key: SigningKey;
  /** The fields of the `auth` section that are about it. */
  readonly section: { readonly issuer: string; readonly audiences: string[]; readonly jwksUri: string };
  /** How often anybody asked for the keys. */
  readonly fetches: number;
  /** Publishes these keys, and no others, from the next fetch on. */
  publish(...keys: readonly SigningKey[]): void;
  /** Answers like this from the next fetch on. */
  answer(reply: JwksReply): void;
  /** Nobody listens any more. */
  goDown(): Promise<void>;
  /** Listens again, on the same port, and publishes what it published last. */
  comeUp(): Promise<void>;
  /** A token that is good for an hour, with other claims where they are given; `undefined` leaves one out. */
  signed(claims?: Claims, key?: SigningKey, header?: Claims): Promise<string>;
  stop(): Promise<void>;
}

export interface IssuerOptions {
  readonly name?: string;
  /** Default: one of its own, for ES256. */
  readonly key?: SigningKey;
}

export async function startIssuer(options: IssuerOptions = {}): Promise<Issuer> {
  const { name = 'https://issuer.example', key = await signingKey('first') } = options;
  let server = await JwksServer.start();
  let published: readonly SigningKey[] = [key];
  let fetchesBefore = 0;
  const { url, port } = server;
  server.serve(published);

  async function goDown(): Promise<void> {
    await server.stop();
  }

  return {
    name,
    key,
    section: { issuer: name, audiences: [audience], jwksUri: url },
    get fetches() {
      return fetchesBefore + server.seen.length;
    },
    publish(...keys) {
      published = keys;
      server.serve(published);
    },
    answer(reply) {
      server.reply = reply;
    },
    goDown,
    async comeUp() {
      fetchesBefore += server.seen.length;
      server = await JwksServer.start(port);
      server.serve(published);
    },
    signed: (claims = {}, by = key, header = {}) => sign(by, { ...goodClaims(name), ...claims }, header),
    stop: goDown,
  };
}

/** Claims of a caller, `ann`, for an hour from now. */
export function goodClaims(issuer: string): Claims {
  return { iss: issuer, aud: audience, sub: 'ann', exp: fromNow(3600) };
}

/** A moment as claims have it, in seconds since the Unix epoch. */
export function fromNow(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds;
}
