/** What vllm-router knows of the requests at each endpoint, from what is seen of exchanges. */
import type { Endpoint, EndpointSnapshot } from '../endpoints/endpoint.ts';
import type { Clock } from '../lib/clock.ts';
import type { ExchangeRecord } from '../request/exchange-record.ts';
import { servingEndpoint } from '../request/serving-endpoint.ts';
import { RecentSums } from './recent-sums.ts';

/**
 * The requests at one endpoint, as this process sees them. Means are over exchanges that ended in the window, and
 * undefined where there is nothing to take them of: unknown is not zero.
 */
export interface EndpointStats {
  /** Requests per second: those sent there in the window, by the length of the window even while it fills. */
  readonly qps: number;
  /** Mean time to the first token, of exchanges whose body was seen. */
  readonly ttftMs: number | undefined;
  /** Mean duration, those that clients left included, and those left out that no engine answered. */
  readonly latencyMs: number | undefined;
  /**
   * Mean time between tokens: what came after the first token, by the tokens after it. Where no exchange of the window
   * had its body seen, all durations by all tokens: that has the time to the first token in it, so it is too much rather
   * than too little.
   */
  readonly itlMs: number | undefined;
  /** Mean number of output tokens, of exchanges that had any and said so. */
  readonly decodingLength: number | undefined;
  /** Sent there, and no response head came yet. */
  readonly inPrefill: number;
  /** The response's head came, and not its end. */
  readonly inDecoding: number;
  /** Ended since the start, whatever the end was. */
  readonly finished: number;
}

export interface RequestStats {
  /** The exchange was sent to the endpoint. Call in the tick of the decision. */
  routed(record: ExchangeRecord, endpoint: Endpoint): void;
  /** The head of the response came, from `record.servedBy`. */
  responded(record: ExchangeRecord): void;
  /** The exchange is over. Harmless for one that was never routed, and when called again. */
  ended(record: ExchangeRecord): void;
  /** Undefined while nothing was sent there and nothing came from there. */
  of(endpoint: Endpoint): EndpointStats | undefined;
  /** Since the first request to any endpoint, in milliseconds; 0 before. */
  uptimeMs(): number;
  /** Takes another window from now on, and what is known of the past into it. */
  update(options: RequestStatsOptions): void;
}

export interface RequestStatsDeps {
  readonly clock: Clock;
  readonly snapshot: () => EndpointSnapshot;
}

export interface RequestStatsOptions {
  /** Span over which rates and means are taken, in milliseconds. */
  readonly windowMs: number;
}

/** What is summed over the window. */
const arrivals = 0;
const ttftMs = 1;
const ttfts = 2;
const durationMs = 3;
const durations = 4;
const itlMs = 5;
const itls = 6;
const outputTokens = 7;
const outputs = 8;
/** Durations of the exchanges that outputTokens are of. */
const outputMs = 9;
const quantities = 10;

/** Where exchanges are: in one of two places at an endpoint. */
interface Place {
  readonly endpoint: Endpoint;
  count: number;
}

/** All about one endpoint, in some five kilobytes. */
interface Entry {
  readonly prefill: Place;
  readonly decoding: Place;
  finished: number;
  recent: RecentSums;
}

/**
 * Creates statistics without any endpoint. What is known of an endpoint lives and dies with its record: it is gone when
 * the endpoint has left the store and its last exchange has ended. An event costs a few look-ups; an endpoint's first one allocates.
 */
export function createRequestStats(deps: RequestStatsDeps, options: RequestStatsOptions): RequestStats {
  const { clock, snapshot } = deps;
  let { windowMs } = options;
  let firstAtMs: number | undefined;
  const entries = new WeakMap<Endpoint, Entry>();
  /** Of exchanges that are routed and have not ended. */
  const places = new Map<ExchangeRecord, Place>();

  function entryOf(endpoint: Endpoint): Entry {
    let entry = entries.get(endpoint);
    if (entry === undefined) {
      entry = {
        prefill: { endpoint, count: 0 },
        decoding: { endpoint, count: 0 },
        finished: 0,
        recent: new RecentSums(quantities, windowMs),
      };
      entries.set(endpoint, entry);
    }
    return entry;
  }

  function recentOf(entry: Entry, nowMs: number): RecentSums {
    if (entry.recent.windowMs !== windowMs) entry.recent = entry.recent.resized(windowMs, nowMs);
    return entry.recent;
  }

  /** Who served it; the endpoint that it was sent to where that is nobody of ours. */
  function creditedTo({ servedBy, decision }: ExchangeRecord, { endpoint }: Place): Endpoint {
    return servingEndpoint(servedBy, decision, snapshot()) ?? endpoint;
  }

  function enter(record: ExchangeRecord, place: Place): void {
    const before = places.get(record);
    if (before !== undefined) before.count--;
    place.count++;
    places.set(record, place);
  }

  return {
    routed(record, endpoint) {
      const nowMs = clock.nowMs();
      firstAtMs ??= nowMs;
      const entry = entryOf(endpoint);
      recentOf(entry, nowMs).add(arrivals, 1, nowMs);
      enter(record, entry.prefill);
    },

    responded(record) {
      const place = places.get(record);
      if (place !== undefined) enter(record, entryOf(creditedTo(record, place)).decoding);
    },

    ended(record) {
      const place = places.get(record);
      if (place === undefined) return;
      places.delete(record);
      place.count--;
      const entry = entryOf(creditedTo(record, place));
      entry.finished++;
      const nowMs = clock.nowMs();
      addSamples(recentOf(entry, nowMs), record, nowMs);
    },

    of(endpoint) {
      const entry = entries.get(endpoint);
      if (entry === undefined) return undefined;
      const nowMs = clock.nowMs();
      const recent = recentOf(entry, nowMs);
      const mean = (sum: number, count: number): number | undefined =>
        ratio(recent.total(sum, nowMs), recent.total(count, nowMs));
      return {
        qps: recent.total(arrivals, nowMs) / (windowMs / 1000),
        ttftMs: mean(ttftMs, ttfts),
        latencyMs: mean(durationMs, durations),
        itlMs: mean(itlMs, itls) ?? mean(outputMs, outputTokens),
        decodingLength: mean(outputTokens, outputs),
        inPrefill: entry.prefill.count,
        inDecoding: entry.decoding.count,
        finished: entry.finished,
      };
    },

    uptimeMs: () => (firstAtMs === undefined ? 0 : clock.nowMs() - firstAtMs),

    update(next) {
      // Each endpoint's sums follow when they are next used.
      windowMs = next.windowMs;
    },
  };
}

function addSamples(recent: RecentSums, record: ExchangeRecord, nowMs: number): void {
  if (wasServed(record)) {
    recent.add(durationMs, record.durationMs, nowMs);
    recent.add(durations, 1, nowMs);
  }
  if (record.ttftMs !== undefined) {
    recent.add(ttftMs, record.ttftMs, nowMs);
    recent.add(ttfts, 1, nowMs);
  }
  const tokens = record.usage?.outputTokens ?? 0;
  // Embeddings have usage and no output: nothing was decoded.
  if (tokens === 0) return;
  recent.add(outputTokens, tokens, nowMs);
  recent.add(outputs, 1, nowMs);
  recent.add(outputMs, record.durationMs, nowMs);
  if (record.ttftMs === undefined || tokens === 1) return;
  recent.add(itlMs, (record.durationMs - record.ttftMs) / (tokens - 1), nowMs);
  recent.add(itls, 1, nowMs);
}

/**
 * Failures are quick: counted as latencies they would make a broken engine look like the fastest. Clients that gave up
 * are counted, for it is a slow engine that they leave.
 */
function wasServed({ outcome, status }: ExchangeRecord): boolean {
  return outcome === 'completed' || outcome === 'aborted' || (outcome === 'unknown' && status > 0);
}

function ratio(sum: number, count: number): number | undefined {
  return count === 0 ? undefined : sum / count;
}
