/** What an operator may choose about Envoy, and what holds where nothing was said. */
import type { SocketAddress } from '../address.ts';
import { atLeast, managedEnvoyVersion, type EnvoyVersion } from '../version.ts';

/** How Envoy speaks to engines whose endpoint says TLS. */
export type EngineTls =
  | { readonly kind: 'verify'; readonly caFile: string }
  /** The authorities themselves, where there is no file of them. */
  | { readonly kind: 'verify'; readonly caPem: string }
  /** Any certificate is believed: for engines with self-signed ones, on a network that is trusted. */
  | { readonly kind: 'insecure' };

/** How Envoy speaks to Sluice. */
export type SchedulerTls =
  | { readonly kind: 'plain' }
  /** The certificate must be one of these authorities', or in the file itself, and name the host that Envoy dials. */
  | { readonly kind: 'verify'; readonly caFile: string }
  /** Any certificate is believed, as gateways do that dial endpoint pickers. */
  | { readonly kind: 'insecure' };

export interface BootstrapOptions {
  /** Where clients connect. */
  readonly listen: SocketAddress;
  /** Where Sluice serves ext_proc, endpoint discovery and the access log. */
  readonly extProc: SocketAddress;
  /** Default plain: over TLS only where others can listen in. */
  readonly extProcTls?: SchedulerTls;
  /** For the engines behind `https://`; `engineTls()` finds the system's authorities. */
  readonly engineTls: EngineTls;
  /** The version that will run this; decides which features are used. Default: the managed one. */
  readonly version?: EnvoyVersion;
  /** Envoy's own admin pages: anyone who can connect can stop it. Default 127.0.0.1:9901. */
  readonly admin?: SocketAddress;
  /** Largest request body; more is answered 413. Default 16 MiB. */
  readonly maxBodyBytes?: number;
  /** One line per exchange on standard output. Default `text`. */
  readonly accessLog?: 'text' | 'json' | 'off';
  /** How long Envoy waits for each of Sluice's answers. Default 10 s. */
  readonly messageTimeoutMs?: number;
  /** How far Sluice may extend that while a request waits in its queue. Default 5 min. */
  readonly maxMessageTimeoutMs?: number;
  /** Further attempts, each at the next endpoint of the decision. Default 2. */
  readonly retries?: number;
  /**
   * An attempt without a byte from the engine for this long is given up; 0 means never. Default 5 min: an answer that is
   * not streamed is computed in silence, and giving it up early computes it twice.
   */
  readonly perTryIdleTimeoutMs?: number;
  /** An exchange without a byte in either direction for this long is ended; 0 means never. Default 10 min. */
  readonly idleTimeoutMs?: number;
  /** No exchange lasts longer; 0 means no bound. Default 0. */
  readonly requestTimeoutMs?: number;
  /** Time to connect to an engine. Default 1 s. */
  readonly connectTimeoutMs?: number;
  /** Between two `GET` of the health path at every engine. Default 2 s. */
  readonly healthIntervalMs?: number;
  /** What engines answer 200 to while they can serve. Default `/health`. */
  readonly healthPath?: string;
  /** How many proxies in front of this Envoy write X-Forwarded-For. Default 0: the peer is the client. */
  readonly trustedHops?: number;
  /** Whether Sluice is told each client's address, to tell callers apart by it. Default false: each exchange pays. */
  readonly clientAddress?: boolean;
  /**
   * File of Envoy's secret discovery that names the certificate shown to clients, as resource `server`; Envoy then speaks
   * TLS with them. Default: none, and no TLS.
   */
  readonly tlsSds?: string | undefined;
  /** Client connections at one time. Default 50000. */
  readonly maxConnections?: number;
  /** Above 97 % of this Envoy refuses requests instead of being killed. Default 2 GiB. */
  readonly maxHeapBytes?: number;
}

/** Options with every default filled in. */
export type BootstrapSettings = Required<BootstrapOptions>;

/** Fills in the defaults. */
export function bootstrapSettings(options: BootstrapOptions): BootstrapSettings {
  return {
    version: managedEnvoyVersion,
    extProcTls: { kind: 'plain' },
    admin: { kind: 'tcp', host: '127.0.0.1', port: 9901 },
    maxBodyBytes: 16 * 1024 * 1024,
    accessLog: 'text',
    messageTimeoutMs: 10_000,
    maxMessageTimeoutMs: 300_000,
    retries: 2,
    perTryIdleTimeoutMs: 300_000,
    idleTimeoutMs: 600_000,
    requestTimeoutMs: 0,
    connectTimeoutMs: 1_000,
    healthIntervalMs: 2_000,
    healthPath: '/health',
    trustedHops: 0,
    clientAddress: false,
    tlsSds: undefined,
    maxConnections: 50_000,
    maxHeapBytes: 2 * 1024 * 1024 * 1024,
    ...options,
  };
}

/** Before 1.37 `request_body_buffer_limit` does not reach a filter that buffers. */
export function hasBodyLimitPerRoute({ version }: BootstrapSettings): boolean {
  return atLeast(version, 1, 37);
}

/**
 * How much of a message Envoy may hold for one connection. It also bounds what is kept for a slow reader, so it is not
 * raised to a body's size where the route can say that; a route cannot lower it.
 */
export function connectionBufferBytes(settings: BootstrapSettings): number {
  const { maxBodyBytes } = settings;
  return hasBodyLimitPerRoute(settings) ? Math.min(1024 * 1024, maxBodyBytes) : maxBodyBytes;
}
