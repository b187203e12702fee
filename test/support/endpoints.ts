/** Endpoints and requests for tests, with only what a test cares about written down. */
import { endpointId } from '../../src/endpoints/endpoint.ts';
import type { Endpoint, EngineMetrics } from '../../src/endpoints/endpoint.ts';
import type { InferenceRequest, Outcome } from '../../src/scheduling/plugin.ts';

/** An endpoint in `slot` at 10.0.x.y:8000, healthy and idle, about which nothing was scraped. */
export function anEndpoint(slot: number, known: Partial<Endpoint> = {}): Endpoint {
  const address = `10.0.${slot >> 8}.${slot & 255}`;
  return {
    id: endpointId(address, 8000),
    address,
    port: 8000,
    tls: false,
    hostname: undefined,
    configuredModels: [],
    slot,
    url: `http://${address}:8000`,
    inFlight: 0,
    metrics: undefined,
    health: { kind: 'healthy' },
    listedModels: undefined,
    ...known,
  };
}

/** A scrape that brought only `known`. */
export function someMetrics(known: Partial<EngineMetrics> = {}): EngineMetrics {
  return {
    takenAtMs: 0,
    waiting: undefined,
    running: undefined,
    kvCacheUsage: undefined,
    ttftSeconds: undefined,
    tpotSeconds: undefined,
    prefixCache: undefined,
    inFlightAtScrape: 0,
    ...known,
  };
}

/** A request for model `m` with a prompt. */
export function aRequest(prompt = '', known: Partial<InferenceRequest> = {}): InferenceRequest {
  const promptHead = new TextEncoder().encode(prompt);
  return {
    id: 'r1',
    model: 'm',
    promptHead,
    promptBytes: promptHead.length,
    stream: false,
    maxOutputTokens: undefined,
    sessionKey: undefined,
    ...known,
  };
}

/** An exchange that completed at `servedBy`. */
export function anOutcome(servedBy: Endpoint | undefined, known: Partial<Outcome> = {}): Outcome {
  return {
    servedBy,
    completed: servedBy !== undefined,
    ttftMs: undefined,
    durationMs: 100,
    inputTokens: undefined,
    cachedInputTokens: undefined,
    outputTokens: undefined,
    ...known,
  };
}
