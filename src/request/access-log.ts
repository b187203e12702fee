/** Envoy's own account of an exchange, as the main path sees it. */

/** What Envoy says of one finished exchange. */
export interface AccessLogEntry {
  /** As sent to the client; 0 where nothing was. */
  readonly status: number;
  /** Envoy's own words for how the response came about, e.g. `via_upstream`. */
  readonly details: string;
  /** The client closed before the response was complete, as far as Envoy can see. */
  readonly clientClosed: boolean;
  /** The engine's connection failed or was reset, or it timed out. */
  readonly upstreamFailed: boolean;
  readonly servedBy: string | undefined;
  readonly attempts: number | undefined;
  readonly durationMs: number | undefined;
  readonly responseBytes: number;
  /** Token counts that Envoy's metadata filters read from the response: `input_tokens`, `output_tokens`, `cached_tokens`. */
  readonly usage: Readonly<Record<string, unknown>> | undefined;
}

/** One exchange's claim on its entry. */
export interface AccessLogClaim {
  /** The entry, or undefined when it did not come in time after the exchange's end. Ask once. */
  entry(): Promise<AccessLogEntry | undefined>;
  /** Nobody will ask. The entry may still come, and then shows that the log works. */
  abandon(): void;
}

export interface AccessLog {
  /** True while entries of our exchanges come in with token counts, or are known to. */
  readonly reliable: boolean;
  /** Claims the entry of an exchange; call before its end. */
  claim(exchangeId: string): AccessLogClaim;
}
