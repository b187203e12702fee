/** Who is calling: from the head of a request to a principal, or to the reason why there is none. */
import type { Clock } from '../lib/clock.ts';
import type { Headers } from '../lib/headers.ts';
import {
  refused,
  type Accepted,
  type AuthOutcome,
  type AuthResult,
  type RefusalReason,
} from './auth-result.ts';
import { readToken } from './bearer-token.ts';
import type { Claims } from './claims.ts';
import { createExemptPaths } from './exempt-paths.ts';
import { httpGet, type HttpGet } from './http-get.ts';
import { createJwksSource, type JwksLocation } from './jwks-source.ts';
import { createJwks, type JwksEvent, type JwksOptions, type JwksStatus } from './jwks.ts';
import { anonymous, anonymousOf, type AnonymousKey } from './principal.ts';
import { createProvider, type Provider, type ProviderRules } from './provider.ts';
import { createTokenCache, type TokenCacheOptions } from './token-cache.ts';
import { readUnverified } from './verify-token.ts';

/** One issuer whose tokens are accepted. */
export interface ProviderOptions extends Omit<ProviderRules, 'clockToleranceMs'> {
  readonly jwks: JwksLocation;
}

export interface AuthOptions {
  /** Each with an issuer of its own. None: nobody is asked for a token. */
  readonly providers: readonly ProviderOptions[];
  /** Headers in which tokens are looked for, in lower case. */
  readonly headers: readonly string[];
  /** Longer tokens are refused unread. */
  readonly maxTokenBytes: number;
  /** Paths without a token: each exact, or a prefix that ends in `/*`. */
  readonly exempt: readonly string[];
  readonly clockToleranceMs: number;
  /** The life of each provider's keys. */
  readonly keys: Omit<JwksOptions, 'algorithms'>;
  readonly cache: TokenCacheOptions;
  /** Under which name Envoy's jwt_authn leaves the payload of the token that it verified; undefined: it is not believed. */
  readonly envoyPayload: string | undefined;
  /** Whether engines see the tokens of their callers. */
  readonly forwardToken: boolean;
  /** Who callers are where there are no providers. */
  readonly anonymous: AnonymousKey;
}

export interface AuthDeps {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** How JWKS are fetched. Default: over the network. */
  readonly get?: HttpGet;
  /** Called once for each authentication. */
  readonly onOutcome?: (outcome: AuthOutcome) => void;
  /** Called for what happens to the keys of an issuer. */
  readonly onKeys?: (event: JwksEvent, issuer: string) => void;
}

/** What Envoy says of a request, and a client cannot. */
export interface Peer {
  /** IP address without a port, where Envoy says it. */
  readonly clientAddress: string | undefined;
  /** What other filters of Envoy wrote under a namespace. */
  metadata(namespace: string): Readonly<Record<string, unknown>> | undefined;
}

/** The namespace in which Envoy's jwt_authn leaves what it verified. */
const jwtNamespace = 'envoy.filters.http.jwt_authn';

/** For health pages and metrics. */
export interface AuthStatus {
  readonly providers: readonly ({ readonly issuer: string } & JwksStatus)[];
  readonly cachedTokens: number;
  readonly cachedTokenBytes: number;
}

export interface Authenticator {
  /**
   * Says who calls. At once for a token that was verified before and wherever no signature is needed, else as a promise,
   * which waits for newer keys only where a token needs one. It rejects for bugs only.
   *
   * @param path without the query.
   */
  authenticate(headers: Headers, path: string, peer: Peer): AuthResult | Promise<AuthResult>;
  /** Request headers, in lower case, to remove before an engine sees the request. */
  readonly strippedHeaders: readonly string[];
  /** Begins to fetch keys. Resolves when each provider has tried once, whatever came of it; it never rejects. */
  start(): Promise<void>;
  /** Ends all timers and fetches. */
  stop(): void;
  /**
   * Whether some provider ever had keys, or there is none. One issuer that is down keeps nobody else's callers out, and
   * outages are answered request by request.
   */
  ready(): boolean;
  status(): AuthStatus;
}

/** Creates the authenticator. */
export function createAuthenticator(deps: AuthDeps, options: AuthOptions): Authenticator {
  const { clock, onOutcome = () => undefined } = deps;
  const { headers: tokenHeaders, maxTokenBytes, envoyPayload } = options;
  const providers = options.providers.map((provider) => providerOf(provider, deps, options));
  const byIssuer = new Map(providers.map((provider) => [provider.issuer, provider]));
  const isExempt = createExemptPaths(options.exempt);
  const cache = createTokenCache(options.cache);
  /** Verifications that run: many requests with one new token share one. */
  const running = new Map<string, Promise<AuthResult>>();

  function authenticate(headers: Headers, path: string, peer: Peer): AuthResult | Promise<AuthResult> {
    if (providers.length === 0) {
      const principal = anonymousOf(options.anonymous, headers, peer.clientAddress);
      return told('anonymous', { kind: 'accepted', principal });
    }
    if (isExempt(path)) return told('exempt', exempted);
    const payload = envoyPayload === undefined ? undefined : peer.metadata(jwtNamespace)?.[envoyPayload];
    if (payload !== undefined) return told('envoy', acceptPayload(payload));

    const reading = readToken(headers, tokenHeaders, maxTokenBytes);
    if (reading.kind === 'none') return refuse('missing');
    if (reading.kind !== 'token') return refuse(reading.kind);
    const known = cache.get(reading.token, clock.epochMs());
    return known === undefined ? verifyOnce(reading.token) : told('cached', known);
  }

  function told(whenAccepted: AuthOutcome, result: AuthResult): AuthResult {
    onOutcome(result.kind === 'accepted' ? whenAccepted : result.reason);
    return result;
  }

  function refuse(reason: RefusalReason): AuthResult {
    return told(reason, refused(reason));
  }

  /** What Envoy verified is checked like what we verify, but for the signature. */
  function acceptPayload(payload: unknown): AuthResult {
    if (!isClaims(payload)) return refused('malformed');
    const { iss } = payload;
    const provider = typeof iss === 'string' ? byIssuer.get(iss) : undefined;
    return provider === undefined ? refused('unknown-issuer') : provider.accept(payload);
  }

  function verifyOnce(token: string): AuthResult | Promise<AuthResult> {
    const shared = running.get(token);
    if (shared !== undefined) return shared.then((result) => told('ok', result));
    const unverified = readUnverified(token);
    if (unverified === undefined) return refuse('malformed');
    // The issuer that a token names chooses whose keys must have signed it, and nothing else.
    const provider = byIssuer.get(unverified.issuer);
    if (provider === undefined) return refuse('unknown-issuer');
    const verifying = provider
      .verify(unverified)
      .then((result) => {
        if (result.kind !== 'proven') return result;
        cache.set(token, result, provider.holds);
        return result.accepted;
      })
      .finally(() => running.delete(token));
    running.set(token, verifying);
    return verifying.then((result) => told('ok', result));
  }

  return {
    authenticate,
    strippedHeaders: providers.length > 0 && !options.forwardToken ? tokenHeaders : [],
    async start() {
      await Promise.all(providers.map(({ jwks }) => jwks.start()));
    },
    stop() {
      for (const { jwks } of providers) jwks.stop();
    },
    ready: () => providers.length === 0 || providers.some(({ jwks }) => jwks.status().everFetched),
    status: () => ({
      providers: providers.map(({ issuer, jwks }) => ({ issuer, ...jwks.status() })),
      cachedTokens: cache.size,
      cachedTokenBytes: cache.bytes,
    }),
  };
}

const exempted: Accepted = { kind: 'accepted', principal: anonymous };

function providerOf(
  { jwks: location, ...rules }: ProviderOptions,
  { clock, random, get = httpGet, onKeys }: AuthDeps,
  { clockToleranceMs, keys: lifeCycle }: AuthOptions,
): Provider {
  const jwks = createJwks(
    {
      source: createJwksSource(location, get),
      clock,
      random,
      onEvent: (event) => onKeys?.(event, rules.issuer),
    },
    { ...lifeCycle, algorithms: rules.algorithms },
  );
  return createProvider({ ...rules, clockToleranceMs }, { jwks, clock });
}

function isClaims(value: unknown): value is Claims {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
