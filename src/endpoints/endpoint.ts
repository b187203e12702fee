/** One address of one engine: its identity, and what is known about it now. */

/** `ip:port` (`[ip]:port` for IPv6), exactly as Envoy names the host. */
export type EndpointId = string & { readonly brand: 'EndpointId' };

/** Where an engine can be reached: what discovery produces. */
export interface EndpointTarget {
  readonly id: EndpointId;
  /** IP address without brackets. */
  readonly address: string;
  readonly port: number;
  readonly tls: boolean;
  /** The DNS name the operator wrote, where there was one: the Host and SNI to use. */
  readonly hostname: string | undefined;
  /** Models the operator says it serves; empty means: ask the engine. */
  readonly configuredModels: readonly string[];
}

/** A model or a LoRA adapter that an engine lists under `/v1/models`. */
export interface ServedModel {
  readonly id: string;
  /** The base model, for a LoRA adapter. */
  readonly parent: string | undefined;
  /** Context length in tokens, where the engine says it. */
  readonly maxModelLen: number | undefined;
}

/** Tokens that an engine looked for in its prefix cache, and found, since it started. */
export interface PrefixCacheTotals {
  readonly queries: number;
  readonly hits: number;
}

/**
 * Values of one scrape, replaced whole. A value the engine does not export, or that is too old to believe, is
 * undefined: never zero.
 */
export interface EngineMetrics {
  /** Clock.nowMs() when the scrape was answered. */
  readonly takenAtMs: number;
  /** Requests in the engine's queue. */
  readonly waiting: number | undefined;
  /** Requests being decoded or prefilled. */
  readonly running: number | undefined;
  /** Share of KV cache blocks in use, 0 to 1. */
  readonly kvCacheUsage: number | undefined;
  /** Mean time to first token in seconds over the last scrape periods that had any. */
  readonly ttftSeconds: number | undefined;
  /** Mean time per output token in seconds over the last scrape periods that had any. */
  readonly tpotSeconds: number | undefined;
  /** What it found in its prefix cache since it started. */
  readonly prefixCache: PrefixCacheTotals | undefined;
  /** The endpoint's own inFlight when the scrape was sent: what `running + waiting` could have contained. */
  readonly inFlightAtScrape: number;
}

export type Health =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'healthy' }
  | { readonly kind: 'unhealthy'; readonly reason: string; readonly sinceMs: number };

/**
 * A long-lived record: identity never changes; `metrics`, `health` and the model sets are replaced whole by the
 * endpoint store; `inFlight` moves only through tickets.
 */
export interface Endpoint extends EndpointTarget {
  /** Small integer, unique among living endpoints and reused after removal: an index into per-endpoint tables. */
  readonly slot: number;
  /** Base URL for our own calls, e.g. `http://10.0.0.1:8000`. */
  readonly url: string;
  /** Exchanges routed here by this process and not ended yet. */
  inFlight: number;
  /** Last scrape, or undefined where none is young enough to believe. */
  metrics: EngineMetrics | undefined;
  health: Health;
  /** From the engine's last `/v1/models`; undefined until it ever answered. */
  listedModels: ReadonlyMap<string, ServedModel> | undefined;
}

/** Formats an address the way Envoy prints a host: brackets around IPv6. */
export function endpointId(address: string, port: number): EndpointId {
  return (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`) as EndpointId;
}

/** Whether the endpoint serves the model: what the operator said, and what the engine lists. */
export function servesModel(endpoint: Endpoint, model: string): boolean {
  return endpoint.configuredModels.includes(model) || endpoint.listedModels?.has(model) === true;
}

/** The immutable view of endpoints that one request works with from start to end. */
export interface EndpointSnapshot {
  /** Grows by one with every published snapshot. */
  readonly generation: number;
  readonly endpoints: readonly Endpoint[];
  /** Endpoints whose engine answered and is not unhealthy since, by every model or adapter name they serve. */
  readonly readyByModel: ReadonlyMap<string, readonly Endpoint[]>;
  /** Every model name that some endpoint serves, healthy or not, or served a short while ago. */
  readonly models: ReadonlySet<string>;
}
