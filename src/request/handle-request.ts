/** The life of a request, from head to settlement. */
import type { Endpoint, EndpointSnapshot } from '../endpoints/endpoint.ts';
import { Ticket } from '../fairness/ticket.ts';
import type { Clock } from '../lib/clock.ts';
import type { Decision, NoneEligible } from '../scheduling/decision.ts';
import type { InferenceRequest, Outcome } from '../scheduling/plugin.ts';
import type { PathMatch } from './api-paths.ts';
import { ClientGone, type Exchange, type LocalReply } from './exchange.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { parseBody, parseMultipartModel } from './parse-body.ts';
import type { ParsedBody } from './parsed-request.ts';
import { readHead, strippedHeaders, upstreamHeaders } from './read-head.ts';
import { Rejection } from './rejection.ts';
import { internalRejection, rejectionReply } from './rejection-reply.ts';
import { resolveModel } from './resolve-model.ts';
import { watchResponse, type ResponseOutcome, type WatchDeps, type WatchOptions } from './watch-response.ts';

/** Picks endpoints for a request and lets plugins learn from it, in one tick. */
export interface Schedule {
  /** How much prompt text the profile reads. */
  readonly promptHeadBytes: number;
  schedule(request: InferenceRequest, candidates: readonly Endpoint[]): Decision | NoneEligible;
  settled(request: InferenceRequest, routedTo: Endpoint, outcome: Outcome): void;
}

export interface RequestDeps extends WatchDeps {
  readonly clock: Clock;
  readonly snapshot: () => EndpointSnapshot;
  readonly schedule: Schedule;
  readonly matchPath: (path: string) => PathMatch;
  /** Answers a path that is ours. */
  readonly answerLocally: (path: Extract<PathMatch, { kind: 'local' }>) => LocalReply;
  /** Told of each exchange once, when all about it is known. */
  readonly onExchange: (record: ExchangeRecord) => void;
  /** Told of each failure that is a bug or an outage of ours. */
  readonly onFailure: (record: ExchangeRecord, error: unknown) => void;
}

export interface RequestOptions extends WatchOptions {
  readonly maxBodyBytes: number;
  readonly maxBodyDepth: number;
  /** How many times Envoy may try: a destination is named for each. */
  readonly maxAttempts: number;
}

/** Makes the function that runs one exchange from its head to its end. It never rejects. */
export function createRequestHandler(
  deps: RequestDeps,
  options: RequestOptions,
): (exchange: Exchange) => Promise<void> {
  return async function handleRequest(exchange) {
    const record = newRecord(exchange, deps.clock);
    const ticket = new Ticket();
    let settle: (() => void) | undefined;
    try {
      // Head. What cannot be served is refused before Envoy buffers a body for it.
      const match = deps.matchPath(exchange.head.path);
      record.api = match.kind === 'inference' ? match.api : undefined;
      const path = readHead(exchange.head, match, options.maxBodyBytes);
      if (path.kind === 'local') {
        answer(exchange, record, deps.answerLocally(path));
        return;
      }

      // Body. Read once; a path that needs no model is routed without it.
      const parsed =
        path.kind === 'inference' ? await readBody(exchange, path.api, record, deps, options) : undefined;

      // Model. From here on one snapshot is worked with.
      const snapshot = deps.snapshot();
      const candidates =
        parsed === undefined ? readyEndpoints(snapshot) : resolveModel(parsed.model, snapshot);
      record.modelKnown = parsed !== undefined;

      // Schedule. Pick and reserve are one step: no await until the ticket holds its place.
      const request = inferenceRequest(exchange, parsed);
      const decision = schedule(request, candidates, record, deps);
      const routedTo = decision.ranked[0];
      ticket.routeTo(routedTo);
      settle = () => deps.schedule.settled(request, routedTo, learned(record, decision, snapshot));

      // Route.
      const watch = watchResponse(exchange, { api: record.api, stream: request.stream }, deps, options);
      exchange.route({
        destinations: attempts(decision.ranked, options.maxAttempts),
        model: request.model,
        edits: [],
        removeHeaders: strippedHeaders(exchange.head.headers),
        setHeaders: upstreamHeaders(exchange.head.headers),
      });

      // Observe. Load follows who really serves; it is gone when the exchange ends, not when its log entry comes.
      const head = await watch.head();
      const serving = servingEndpoint(head?.servedBy, decision, snapshot);
      if (serving !== undefined) ticket.servedBy(serving);
      await watch.ended();
      ticket.settle();
      const endedAtMs = deps.clock.nowMs();
      complete(record, await watch.outcome(), endedAtMs);
    } catch (error) {
      refuse(exchange, record, error, deps);
    } finally {
      // Settle. Once, on every path.
      ticket.settle();
      if (record.durationMs === 0) record.durationMs = deps.clock.nowMs() - record.startedAtMs;
      try {
        settle?.();
      } catch (error) {
        // A plugin that fails to learn costs neither the exchange's line nor its place in the metrics.
        deps.onFailure(record, error);
      }
      deps.onExchange(record);
    }
  };
}

function newRecord(exchange: Exchange, clock: Clock): ExchangeRecord {
  const { head } = exchange;
  const query = head.path.indexOf('?');
  return {
    id: exchange.id,
    requestId: head.headers.get('x-request-id'),
    method: head.method,
    path: query < 0 ? head.path : head.path.slice(0, query),
    startedAtMs: clock.nowMs(),
    api: undefined,
    model: undefined,
    modelKnown: false,
    stream: false,
    requestBytes: 0,
    decision: undefined,
    decisionMs: 0,
    servedBy: undefined,
    attempts: undefined,
    outcome: 'unknown',
    status: 0,
    reason: undefined,
    ttftMs: undefined,
    durationMs: 0,
    responseBytes: undefined,
    usage: undefined,
    usageSource: 'none',
  };
}

function answer(exchange: Exchange, record: ExchangeRecord, reply: LocalReply): void {
  exchange.reply(reply);
  record.outcome = 'local';
  record.status = reply.status;
}

async function readBody(
  exchange: Exchange,
  api: NonNullable<ExchangeRecord['api']>,
  record: ExchangeRecord,
  deps: RequestDeps,
  options: RequestOptions,
): Promise<Pick<ParsedBody, 'model'> & Partial<ParsedBody>> {
  const body = await exchange.body(options.maxBodyBytes);
  record.requestBytes = body.length;
  const contentType = exchange.head.headers.get('content-type') ?? '';
  const parsed: Pick<ParsedBody, 'model'> & Partial<ParsedBody> = contentType.startsWith(
    'multipart/form-data',
  )
    ? { model: parseMultipartModel(body, contentType) }
    : await parseBody(body, api, {
        promptHeadBytes: deps.schedule.promptHeadBytes,
        maxDepth: options.maxBodyDepth,
      });
  record.model = parsed.model;
  record.stream = parsed.stream ?? false;
  return parsed;
}

function readyEndpoints(snapshot: EndpointSnapshot): readonly Endpoint[] {
  const ready = snapshot.endpoints.filter((endpoint) => endpoint.health.kind === 'healthy');
  if (ready.length > 0) return ready;
  throw new Rejection('no-endpoint-eligible', 'No engine is available. Please try again later.', {
    retryAfterSeconds: 1,
  });
}

function inferenceRequest(
  exchange: Exchange,
  parsed: (Pick<ParsedBody, 'model'> & Partial<ParsedBody>) | undefined,
): InferenceRequest {
  return {
    id: exchange.id,
    model: parsed?.model ?? '',
    promptHead: parsed?.promptHead ?? noPrompt,
    promptBytes: parsed?.promptBytes ?? 0,
    stream: parsed?.stream ?? false,
    maxOutputTokens: parsed?.maxOutputTokens,
    sessionKey: parsed?.sessionKey,
  };
}

const noPrompt = new Uint8Array(0);

function schedule(
  request: InferenceRequest,
  candidates: readonly Endpoint[],
  record: ExchangeRecord,
  deps: RequestDeps,
): Decision {
  const startMs = deps.clock.nowMs();
  const result = deps.schedule.schedule(request, candidates);
  record.decisionMs = deps.clock.nowMs() - startMs;
  if (result.kind === 'chosen') {
    record.decision = result;
    return result;
  }
  throw result.whenEmpty === 'saturated'
    ? new Rejection('saturated', 'All engines of this model are at capacity. Please try again later.', {
        retryAfterSeconds: 1,
      })
    : new Rejection('no-endpoint-eligible', 'No engine can serve this request at the moment.', {
        retryAfterSeconds: 1,
      });
}

/**
 * A destination for every attempt, the ranking over again where it is shorter: once the list is used up Envoy chooses by
 * itself, and may choose an engine that does not serve the model.
 */
function attempts(ranked: Decision['ranked'], maxAttempts: number): string[] {
  const destinations: string[] = [];
  for (let i = 0; i < maxAttempts; i++) destinations.push(ranked[i % ranked.length]!.id);
  return destinations;
}

/** Nearly always one of the ranked; Envoy's fallback may have chosen another. */
function servingEndpoint(
  id: string | undefined,
  decision: Decision,
  snapshot: EndpointSnapshot,
): Endpoint | undefined {
  if (id === undefined) return undefined;
  const serves = (endpoint: Endpoint): boolean => endpoint.id === id;
  return decision.ranked.find(serves) ?? snapshot.endpoints.find(serves);
}

function complete(record: ExchangeRecord, outcome: ResponseOutcome, endedAtMs: number): void {
  record.outcome = outcome.kind;
  record.status = outcome.status;
  record.servedBy = outcome.servedBy;
  record.attempts = outcome.attempts;
  record.ttftMs =
    outcome.firstTokenAtMs === undefined ? undefined : outcome.firstTokenAtMs - record.startedAtMs;
  record.durationMs = endedAtMs - record.startedAtMs;
  record.responseBytes = outcome.responseBytes;
  record.usage = outcome.usage;
  record.usageSource = outcome.source;
}

function refuse(exchange: Exchange, record: ExchangeRecord, error: unknown, deps: RequestDeps): void {
  if (error instanceof ClientGone) {
    record.outcome = 'aborted';
    return;
  }
  const rejection = error instanceof Rejection ? error : internalRejection(error);
  if (rejection.reason === 'internal') deps.onFailure(record, error);
  record.outcome = 'rejected';
  record.reason = rejection.reason;
  record.status = rejection.status;
  exchange.reply(rejectionReply(rejection, record.api));
}

function learned(record: ExchangeRecord, decision: Decision, snapshot: EndpointSnapshot): Outcome {
  return {
    servedBy: servingEndpoint(record.servedBy, decision, snapshot),
    completed: record.outcome === 'completed',
    ttftMs: record.ttftMs,
    durationMs: record.durationMs,
    inputTokens: record.usage?.inputTokens,
    cachedInputTokens: record.usage?.cachedInputTokens,
    outputTokens: record.usage?.outputTokens,
  };
}
