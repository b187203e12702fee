/** What is said of an ended exchange: one log line, and the metrics it moves. */
import type { Logger } from 'pino';
import type { EndpointSnapshot } from '../endpoints/endpoint.ts';
import type { ExchangeRecord } from '../request/exchange-record.ts';
import type { Metrics } from './metrics.ts';

/** The label of exchanges whose model nobody serves, or that have none. */
const unknownModel = 'unknown';

/**
 * Makes the function that writes the access-log line of an exchange. Its fields are named here one by one and none holds
 * what a client sent as a header, so the search for secrets, which is half the cost of a line, is left out.
 */
export function createExchangeLog(parent: Logger): (record: ExchangeRecord) => void {
  const log = parent.child({}, { redact: [] });
  return (record) => logExchange(log, record);
}

function logExchange(log: Logger, record: ExchangeRecord): void {
  const { decision, usage } = record;
  log.info(
    {
      exchange: record.id,
      requestId: record.requestId,
      method: record.method,
      path: record.path,
      model: record.model,
      stream: record.stream,
      status: record.status,
      outcome: record.outcome,
      reason: record.reason,
      endpoint: decision?.ranked[0].id,
      servedBy: record.servedBy,
      attempts: record.attempts,
      candidates: decision?.candidates,
      kept: decision?.kept,
      ranked: decision?.ranked.map((endpoint) => endpoint.id),
      scores: decision?.totals.map((total) => Math.round(total * 1000) / 1000),
      decisionUs: decision && Math.round(record.decisionMs * 1000),
      ttftMs: rounded(record.ttftMs),
      durationMs: rounded(record.durationMs),
      inputTokens: usage?.inputTokens,
      cachedTokens: usage?.cachedInputTokens,
      outputTokens: usage?.outputTokens,
      usageSource: record.usageSource,
      requestBytes: record.requestBytes,
      responseBytes: record.responseBytes,
    },
    sentence(record),
  );
}

/** Moves the metrics of an exchange; the counterpart of `exchangeStarted`. */
export function countExchange(metrics: Metrics, record: ExchangeRecord, snapshot: EndpointSnapshot): void {
  const model = metrics.model(record.modelKnown ? record.model! : unknownModel);
  model.exchangeEnded(record.status, record.reason ?? record.outcome, record.durationMs / 1000);
  if (record.reason !== undefined) metrics.rejected(record.reason);
  if (record.ttftMs !== undefined) model.firstToken(record.ttftMs / 1000);
  if (record.decision !== undefined) {
    model.decided('chosen');
    metrics.decisionTook(record.decisionMs / 1000);
    metrics.usageFrom(record.usageSource);
  } else if (record.reason === 'saturated' || record.reason === 'no-endpoint-eligible') {
    model.decided(record.reason);
  }
  if (record.usage !== undefined) {
    model.tokens('input', record.usage.inputTokens);
    model.tokens('cached', record.usage.cachedInputTokens ?? 0);
    model.tokens('output', record.usage.outputTokens);
  }
  if (record.attempts !== undefined && record.attempts > 1) metrics.retried(record.attempts - 1);
  const server = snapshot.endpoints.find((endpoint) => endpoint.id === record.servedBy);
  if (server !== undefined) metrics.endpointServed(server, record.outcome);
}

function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 10) / 10;
}

/** For people: `POST /v1/chat/completions m to 10.0.0.1:8000 of 3 (score 3.9) 200 completed in 120 ms, 12+40 tokens`. */
function sentence(record: ExchangeRecord): string {
  const { decision, usage } = record;
  const words = [record.method, record.path];
  if (record.model !== undefined) words.push(record.model);
  if (decision !== undefined) {
    words.push(
      'to',
      record.servedBy ?? decision.ranked[0].id,
      `of ${decision.candidates} (score ${decision.totals[0]!.toFixed(2)})`,
    );
  }
  words.push(
    String(record.status),
    record.reason ?? record.outcome,
    `in ${Math.round(record.durationMs)} ms`,
  );
  if (usage !== undefined) {
    const cached = usage.cachedInputTokens ? ` (${usage.cachedInputTokens} cached)` : '';
    words.push(`${usage.inputTokens}${cached}+${usage.outputTokens} tokens`);
  }
  return words.join(' ');
}
