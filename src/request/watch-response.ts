/**
 * Watches a routed exchange to its end, by the cheapest way that tells how it ended and what it used: Envoy's access log
 * entry, or the response body as it passes.
 */
import type { Clock } from '../lib/clock.ts';
import type { Headers } from '../lib/headers.ts';
import type { AccessLog, AccessLogClaim, AccessLogEntry } from './access-log.ts';
import type { BodyFilter, Exchange, ExchangeEnd, ResponseHead } from './exchange.ts';
import type { OutcomeKind } from './exchange-record.ts';
import type { Api } from './parsed-request.ts';
import { createUsageChunkFilter } from './usage-chunk.ts';
import {
  createUsageReader,
  isReadableEventStream,
  readUsageMetadata,
  type TokenUsage,
  type UsageReader,
  type UsageSource,
} from './usage.ts';

/** Which way to learn; `auto`: the access log where its entries come in, else the body. */
export type UsageMode = 'auto' | 'access-log' | 'streamed' | 'none';

export interface WatchDeps {
  readonly clock: Clock;
  readonly accessLog: AccessLog;
  readonly random: () => number;
}

export interface WatchOptions {
  readonly usageMode: UsageMode;
  /** Share of streamed exchanges, 0 to 1, whose body is shown all the same: they measure TTFT. */
  readonly sampleRate: number;
}

/** What was learned of a response. */
export interface ResponseOutcome {
  readonly kind: Extract<OutcomeKind, 'completed' | 'aborted' | 'failed' | 'unknown'>;
  readonly status: number;
  readonly servedBy: string | undefined;
  readonly attempts: number | undefined;
  /** Clock milliseconds of the first token, where the body was shown. */
  readonly firstTokenAtMs: number | undefined;
  /** Events with output, where they were shown. */
  readonly outputChunks: number | undefined;
  /** Of the body, as the client got it. */
  readonly responseBytes: number | undefined;
  readonly usage: TokenUsage | undefined;
  readonly source: UsageSource;
}

export interface ResponseWatch {
  /** See Exchange.responseHead. */
  head(): Promise<ResponseHead | undefined>;
  /** Returns when Envoy ended the exchange: nothing is in flight any more. */
  ended(): Promise<void>;
  /** What became of it; may wait for Envoy's access log entry. */
  outcome(): Promise<ResponseOutcome>;
}

/** What a response is to. */
export interface WatchedRequest {
  readonly api: Api | undefined;
  readonly stream: boolean;
  /**
   * The client did not ask for the usage of its stream, we did: the chunk that tells it is read and not passed on. For chat
   * and text completions.
   */
  readonly hideUsage: boolean;
  /** Every event of the stream tells its usage: only who sees the stream knows whether it was whole. */
  readonly continuousUsage?: boolean;
}

/** Call when the exchange is routed, then `head`, `ended` and `outcome` once each. */
export function watchResponse(
  exchange: Exchange,
  request: WatchedRequest,
  deps: WatchDeps,
  options: WatchOptions,
): ResponseWatch {
  const trustLog =
    options.usageMode === 'access-log' || (options.usageMode === 'auto' && deps.accessLog.reliable);
  const sampled = options.usageMode === 'auto' && request.stream && deps.random() < options.sampleRate;
  const api = request.api === 'by-model' ? undefined : request.api;
  const showBody = (response: ResponseHead): boolean =>
    options.usageMode === 'streamed' ||
    (options.usageMode === 'auto' &&
      (!trustLog || sampled || request.continuousUsage === true || !readableByEnvoy(response.headers)));
  let claim: AccessLogClaim | undefined;
  let head: ResponseHead | undefined;
  let reader: UsageReader | undefined;
  let firstTokenAtMs: number | undefined;
  let bodyBytes = 0;
  let end: ExchangeEnd = { bodyComplete: undefined };

  return {
    async head() {
      if (options.usageMode !== 'none') claim = deps.accessLog.claim(exchange.id);
      head = await exchange.responseHead();
      return head;
    },

    async ended() {
      let filter: BodyFilter | undefined;
      if (head !== undefined && api !== undefined) {
        const contentType = head.headers.get('content-type') ?? '';
        const contentEncoding = head.headers.get('content-encoding');
        // Refusals are JSON, and what is compressed cannot be cut: both pass as they are.
        const hide = request.hideUsage && isReadableEventStream(contentType, contentEncoding);
        if (hide) filter = counted(createUsageChunkFilter(), (bytes) => (bodyBytes += bytes));
        if (hide || showBody(head)) reader = createUsageReader(api, contentType, contentEncoding);
      }
      const watched = reader;
      end = await exchange.finish(
        watched && {
          push(chunk) {
            if (filter === undefined) bodyBytes += chunk.length;
            watched.push(chunk);
            if (firstTokenAtMs === undefined && watched.sawFirstToken) firstTokenAtMs = deps.clock.nowMs();
          },
        },
        filter,
      );
      watched?.end();
    },

    async outcome() {
      let entry: AccessLogEntry | undefined;
      if (trustLog) entry = await claim?.entry();
      else claim?.abandon();
      const logged = entry && loggedUsage(entry, api);
      const usage = reader?.usage ?? logged;
      return {
        kind: outcomeKind(end, reader, entry, usage),
        status: entry?.status ?? head?.status ?? 0,
        servedBy: head?.servedBy ?? entry?.servedBy,
        attempts: head?.attempts ?? entry?.attempts,
        firstTokenAtMs,
        outputChunks: reader?.outputChunks,
        responseBytes: reader === undefined ? entry?.responseBytes : bodyBytes,
        usage,
        source: reader?.usage !== undefined ? 'streamed' : logged !== undefined ? 'access-log' : 'none',
      };
    },
  };
}

/**
 * Whether Envoy's filters read usage from this response. They pass over JSON that is large or of unknown length, because
 * they would have to hold it back whole (src/envoy/bootstrap/usage-filters.ts).
 */
function readableByEnvoy(headers: Headers): boolean {
  if (headers.get('content-type')?.startsWith('application/json') !== true) return true;
  const length = headers.get('content-length');
  return length !== undefined && Number(length) < maxReadableJsonBytes;
}

const maxReadableJsonBytes = 1_000_000;

function counted(filter: BodyFilter, onPassed: (bytes: number) => void): BodyFilter {
  const count = (passed: Buffer): Buffer => {
    onPassed(passed.length);
    return passed;
  };
  return { push: (chunk) => count(filter.push(chunk)), end: () => count(filter.end()) };
}

function loggedUsage(entry: AccessLogEntry, api: Api | undefined): TokenUsage | undefined {
  const usage = entry.usage && readUsageMetadata(entry.usage);
  // Anthropic's streams begin with an account of the input: where they broke off it says nothing of the output.
  const brokeOff = entry.clientClosed || entry.upstreamFailed;
  return api === 'messages' && brokeOff && usage?.outputTokens === 0 ? undefined : usage;
}

function outcomeKind(
  end: ExchangeEnd,
  reader: UsageReader | undefined,
  entry: AccessLogEntry | undefined,
  usage: TokenUsage | undefined,
): ResponseOutcome['kind'] {
  // Usage and [DONE] come last: whoever sent them was finished, although a client that hangs up then looks like an abort.
  // Of a stream that was seen itself more is known: its usage may have come with every event, or with the first.
  const isSeen = reader?.outputChunks !== undefined;
  const toldItsEnd = isSeen ? reader.done : usage !== undefined && entry?.upstreamFailed !== true;
  if (toldItsEnd || end.bodyComplete === true) return 'completed';
  if (entry !== undefined)
    return entry.upstreamFailed ? 'failed' : entry.clientClosed ? 'aborted' : 'completed';
  return end.bodyComplete === false ? 'aborted' : 'unknown';
}
