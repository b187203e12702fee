/** The life of a request, from head to settlement. */
import type { Principal } from '../auth/principal.ts';
import type { Endpoint, EndpointSnapshot } from '../endpoints/endpoint.ts';
import type { Admission, AdmissionResult, Admit, Arrival, Seen } from '../fairness/admission.ts';
import { Ticket } from '../fairness/ticket.ts';
import type { Clock } from '../lib/clock.ts';
import type { Decision, NoneEligible } from '../scheduling/decision.ts';
import type { InferenceRequest, Outcome } from '../scheduling/plugin.ts';
import { admissionOf } from './admit.ts';
import type { PathMatch } from './api-paths.ts';
import {
  ClientGone,
  type Exchange,
  type HeaderChanges,
  type LocalReply,
  type ResponseHead,
} from './exchange.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { identify } from './identify.ts';
import { parseBody, parseMultipartModel } from './parse-body.ts';
import type { BodyEdit, ModelField, ParsedBody } from './parsed-request.ts';
import { readHead, strippedHeaders, upstreamHeaders } from './read-head.ts';
import { Rejection } from './rejection.ts';
import { internalRejection, rejectionReply } from './rejection-reply.ts';
import { renameModel, type ModelRenames } from './rename-model.ts';
import type { RequestSettings } from './request-settings.ts';
import { resolveModel } from './resolve-model.ts';
import { servingEndpoint } from './serving-endpoint.ts';
import { headerSessionKey } from './session-key.ts';
import { modelEdit } from './splice.ts';
import { watchResponse, type ResponseOutcome, type WatchDeps } from './watch-response.ts';

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
  readonly admit: Admit;
  readonly schedule: Schedule;
  /** Answers a path that is ours. */
  readonly answerLocally: (
    path: Extract<PathMatch, { kind: 'local' }>,
    models: ModelRenames,
    mayCall: (model: string) => boolean,
  ) => LocalReply | Promise<LocalReply>;
  /** Told of each decision, in its tick. */
  readonly onRouted?: (record: ExchangeRecord, endpoint: Endpoint, request: InferenceRequest) => void;
  /** Told when the head of an engine's response came; not for exchanges that end without one. */
  readonly onResponse?: (record: ExchangeRecord) => void;
  /** Told of each exchange once, when all about it is known. */
  readonly onExchange: (record: ExchangeRecord) => void;
  /** Told of each failure that is a bug or an outage of ours. */
  readonly onFailure: (record: ExchangeRecord, error: unknown) => void;
}

/** A body as far as it was read: of a form, the model alone. */
type ReadBody = ModelField & Partial<ParsedBody>;

/**
 * Makes the function that runs one exchange from its head to its end. It never rejects. `currentSettings` is called once
 * for each exchange, at its start, and must not throw.
 */
export function createRequestHandler(
  deps: RequestDeps,
  currentSettings: () => RequestSettings,
): (exchange: Exchange) => Promise<void> {
  return async function handleRequest(exchange) {
    const settings = currentSettings();
    const record = newRecord(exchange, deps.clock);
    let admission: Admission | undefined;
    const ticket = new Ticket(() => admission?.ended());
    let settle: (() => void) | undefined;
    let seen: Seen | undefined;
    try {
      // Browsers ask without a token whether they may send one.
      const preflight = settings.crossOrigin.preflight(exchange.head);
      if (preflight !== undefined) {
        answer(exchange, record, preflight);
        return;
      }

      // Authenticate. On the head, for every path: Envoy buffers no body for a stranger, who learns nothing of paths.
      const match = settings.matchPath(exchange.head.path);
      record.api = match.kind === 'inference' ? match.api : undefined;
      const identity = identify(exchange.head, record.path, settings.authenticate);
      const principal = identity instanceof Promise ? await identity : identity;
      record.principal = principal;

      // Head. What cannot be served is refused before Envoy buffers a body for it.
      const path = readHead(exchange.head, match, settings.maxBodyBytes);
      if (path.kind === 'local') {
        const mayCall = (model: string): boolean => settings.mayCall(principal, model);
        const reply = await deps.answerLocally(path, settings.models, mayCall);
        answer(exchange, record, settings.crossOrigin.readable(reply, exchange.head));
        return;
      }

      // Body. Read once; a path that needs no model is routed without it.
      const parsed =
        path.kind === 'inference' ? await readBody(exchange, path.api, record, deps, settings) : undefined;

      // Model, by the name that the client knows.
      if (parsed !== undefined) authorise(principal, parsed.model, settings);
      const model = parsed && servedModel(parsed.model, record, settings.models, deps.snapshot());
      const servers = (snapshot: EndpointSnapshot): readonly Endpoint[] =>
        model === undefined ? readyEndpoints(snapshot) : resolveModel(model, snapshot, parsed?.model);
      servers(deps.snapshot());
      record.modelKnown = model !== undefined;
      const request = inferenceRequest(exchange, model, parsed, settings);
      const usageEdit = settings.addedUsage === 'none' ? undefined : parsed?.usageEdit;
      const bodyEdits = edits(parsed, request.model, usageEdit);

      // Admit. Limits first, then the caller's turn; Envoy is asked to be patient with those who wait.
      if (parsed !== undefined) {
        const keptBytes = bodyEdits.length > 0 ? record.requestBytes : 0;
        const asks = arrival(exchange, principal, request, parsed, keptBytes, settings);
        const result = deps.admit.admit(asks, () => {
          if (keptBytes === 0) exchange.dropBody();
          exchange.extendTimeout(settings.maxQueueMs);
          return exchange.signal;
        });
        admission = admissionOf(
          result instanceof Promise ? await waitFor(result, record, deps.clock) : result,
        );
      }

      // Schedule. Pick and reserve are one step, with one snapshot: no await until the ticket holds its place.
      const snapshot = deps.snapshot();
      const able = servers(snapshot);
      const candidates = admission?.candidates(able) ?? able;
      const decision = schedule(request, candidates, record, deps);
      const routedTo = decision.ranked[0];
      ticket.routeTo(routedTo);
      admission?.started();
      deps.onRouted?.(record, routedTo, request);
      settle = () => deps.schedule.settled(request, routedTo, learned(record, decision, snapshot));

      // Route.
      const destinations = attempts(decision, candidates, able, settings.maxAttempts);
      const hideUsage =
        usageEdit !== undefined && settings.addedUsage === 'hidden' && parsed?.includeUsage !== true;
      const { continuousUsage = false } = parsed ?? {};
      const response = { api: record.api, stream: request.stream, hideUsage, continuousUsage };
      const watch = watchResponse(exchange, response, deps, settings);
      exchange.route({
        destinations: destinations.map(({ id }) => id),
        model: request.model,
        edits: bodyEdits,
        removeHeaders: strippedHeaders(exchange.head.headers, settings.privateHeaders),
        setHeaders: upstreamHeaders(exchange.head.headers),
        responseHeaders: withHeaders(settings.crossOrigin.responseHeaders(exchange.head), admission?.headers),
      });

      // Observe. Load follows who really serves; it is gone when the exchange ends, not when its log entry comes.
      const head = await watch.head();
      const serving = servingEndpoint(head?.servedBy, decision, snapshot);
      if (serving !== undefined) ticket.servedBy(serving);
      if (head !== undefined) {
        if (admission !== undefined) tellTries(admission, destinations, head, serving);
        record.servedBy = head.servedBy;
        deps.onResponse?.(record);
      }
      await watch.ended();
      ticket.settle();
      const endedAtMs = deps.clock.nowMs();
      const outcome = await watch.outcome();
      complete(record, outcome, endedAtMs);
      seen = seenOf(record, outcome);
    } catch (error) {
      refuse(exchange, record, error, deps, settings);
    } finally {
      // Settle. Once, on every path.
      ticket.settle();
      if (record.durationMs === 0) record.durationMs = deps.clock.nowMs() - record.startedAtMs;
      try {
        record.charged = admission?.settle(seen);
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
    principal: undefined,
    api: undefined,
    model: undefined,
    servedModel: undefined,
    modelKnown: false,
    stream: false,
    requestBytes: 0,
    queueMs: 0,
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
    charged: undefined,
  };
}

/** @throws Rejection `forbidden` for a model that is not for this caller. */
function authorise(principal: Principal, model: string, { mayCall }: RequestSettings): void {
  if (!mayCall(principal, model))
    throw new Rejection('forbidden', `You do not have access to the model "${model}".`, { param: 'model' });
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
  settings: RequestSettings,
): Promise<ReadBody> {
  const body = await exchange.body(settings.maxBodyBytes);
  record.requestBytes = body.length;
  const contentType = exchange.head.headers.get('content-type') ?? '';
  const parsed: ReadBody = contentType.startsWith('multipart/form-data')
    ? parseMultipartModel(body, contentType)
    : await parseBody(body, api, {
        promptHeadBytes: deps.schedule.promptHeadBytes,
        maxDepth: settings.maxBodyDepth,
        sessionFields: settings.sessionFields,
      });
  record.model = parsed.model;
  record.stream = parsed.stream ?? false;
  return parsed;
}

/** The model to ask engines for, noted where it is not the one that the client named. */
function servedModel(
  requested: string,
  record: ExchangeRecord,
  models: ModelRenames,
  snapshot: EndpointSnapshot,
): string {
  const model = renameModel(requested, models, snapshot);
  if (model !== requested) {
    record.servedModel = model;
    record.modelKnown = true;
  }
  return model;
}

/** What to change in the body: the model's name where it is another one, and what makes a stream report its usage. */
function edits(
  parsed: ReadBody | undefined,
  model: string,
  usageEdit: BodyEdit | undefined,
): readonly BodyEdit[] {
  const renaming = parsed === undefined || parsed.model === model ? undefined : modelEdit(parsed, model);
  if (renaming === undefined) return usageEdit === undefined ? noEdits : [usageEdit];
  return usageEdit === undefined ? [renaming] : [renaming, usageEdit];
}

const noEdits: readonly BodyEdit[] = [];

function arrival(
  exchange: Exchange,
  caller: Principal,
  { id, model, promptBytes, stream, maxOutputTokens, sessionKey }: InferenceRequest,
  { choices = 1 }: ReadBody,
  keptBytes: number,
  { shareOf, boostHeader }: RequestSettings,
): Arrival {
  return {
    id,
    caller,
    weight: shareOf(caller),
    model,
    promptBytes,
    keptBytes,
    stream,
    maxOutputTokens: maxOutputTokens === undefined ? undefined : choices * maxOutputTokens,
    sessionKey: boostHeader === undefined ? sessionKey : exchange.head.headers.get(boostHeader),
  };
}

/** Notes how long it took. */
async function waitFor(
  result: Promise<AdmissionResult>,
  record: ExchangeRecord,
  clock: Clock,
): Promise<AdmissionResult> {
  const sinceMs = clock.nowMs();
  const settled = await result;
  record.queueMs = clock.nowMs() - sinceMs;
  return settled;
}

function withHeaders(
  changes: HeaderChanges | undefined,
  headers: Readonly<Record<string, string>> | undefined,
): HeaderChanges | undefined {
  if (headers === undefined || isEmpty(headers)) return changes;
  return { ...noChanges, ...changes, set: { ...changes?.set, ...headers } };
}

const noChanges: HeaderChanges = { remove: [], set: {}, append: {} };

function isEmpty(headers: Readonly<Record<string, string>>): boolean {
  for (const _ in headers) return false;
  return true;
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
  model: string | undefined,
  parsed: ReadBody | undefined,
  { sessionHeaders }: RequestSettings,
): InferenceRequest {
  return {
    id: exchange.id,
    model: model ?? '',
    promptHead: parsed?.promptHead ?? noPrompt,
    promptBytes: parsed?.promptBytes ?? 0,
    stream: parsed?.stream ?? false,
    maxOutputTokens: parsed?.maxOutputTokens,
    sessionKey: headerSessionKey(exchange.head.headers, sessionHeaders) ?? parsed?.sessionKey,
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
 * A destination for every attempt: the ranking, then those that are able to serve but were no candidates for lack of room,
 * for an engine that is full is better than one that has just failed; then the same over again, because once the list is
 * used up Envoy chooses by itself, and may choose an engine that does not serve the model. Where filters chose, nobody
 * knows whether they would let the others pass.
 */
function attempts(
  { ranked, candidates: asked, kept }: Decision,
  candidates: readonly Endpoint[],
  able: readonly Endpoint[],
  maxAttempts: number,
): readonly Endpoint[] {
  const destinations = ranked.slice(0, maxAttempts);
  if (candidates !== able && kept === asked) {
    const spare = able.filter((endpoint) => !candidates.includes(endpoint));
    spare.sort((a, b) => a.inFlight - b.inFlight);
    destinations.push(...spare.slice(0, maxAttempts - destinations.length));
  }
  for (let i = 0; destinations.length < maxAttempts; i++) destinations.push(destinations[i]!);
  return destinations;
}

/** Says who was tried in vain, and who answered. */
function tellTries(
  admission: Admission,
  destinations: readonly Endpoint[],
  { status, attempts = 1 }: ResponseHead,
  serving: Endpoint | undefined,
): void {
  if (serving === undefined) return;
  // At least the first one was tried where another serves: Envoy passes over whom it has found to be unhealthy.
  const triedBefore = Math.max(attempts - 1, serving === destinations[0] ? 0 : 1);
  for (const endpoint of destinations.slice(0, triedBefore))
    if (endpoint !== serving) admission.tried(endpoint, false);
  admission.tried(serving, status !== 503);
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

function seenOf(record: ExchangeRecord, outcome: ResponseOutcome): Seen {
  const { usage, outputChunks, responseBytes } = outcome;
  return {
    usage: usage && { ...usage, cachedInputTokens: usage.cachedInputTokens ?? 0 },
    answered: outcome.status >= 200 && outcome.status < 300,
    generated: record.api !== 'embeddings' && record.api !== 'by-model',
    outputChunks,
    responseBytes,
    completed: outcome.kind === 'completed',
  };
}

function refuse(
  exchange: Exchange,
  record: ExchangeRecord,
  error: unknown,
  deps: RequestDeps,
  { crossOrigin }: RequestSettings,
): void {
  if (error instanceof ClientGone) {
    record.outcome = 'aborted';
    return;
  }
  const rejection = error instanceof Rejection ? error : internalRejection(error);
  if (rejection.reason === 'internal') deps.onFailure(record, error);
  record.outcome = 'rejected';
  record.reason = rejection.reason;
  record.status = rejection.status;
  exchange.reply(crossOrigin.readable(rejectionReply(rejection, record.api), exchange.head));
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
