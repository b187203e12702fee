/** What is said of an ended exchange: one log line, and the metrics it moves. */
import { pino, type DestinationStream, type Logger } from 'pino';
import type { Principal } from '../auth/principal.ts';
import type { EndpointSnapshot } from '../endpoints/endpoint.ts';
import type { ExchangeRecord } from '../request/exchange-record.ts';
import type { Metrics } from './metrics.ts';

/** The label of exchanges whose model nobody serves, or that have none. */
const unknownModel = 'unknown';

/**
 * Makes the function that writes the access-log line of an exchange. The line is put together here instead of by pino:
 * its fields are known, so it costs a third less, and none holds a header that could be a secret.
 */
export function createExchangeLog(
  log: Logger,
  nameOf: (principal: Principal) => string | undefined,
): (record: ExchangeRecord) => void {
  const stream = (log as Logger & { readonly [pino.symbols.streamSym]: DestinationStream })[
    pino.symbols.streamSym
  ];
  return (record) => {
    if (log.isLevelEnabled('info'))
      stream.write(exchangeLine(record, record.principal && nameOf(record.principal)));
  };
}

/**
 * One line of JSON in pino's form, which the pretty stream reads as well. Joined rather than added up: that makes it one
 * flat string, while sums stay trees that every garbage collection walks until the line is written.
 */
function exchangeLine(record: ExchangeRecord, subject: string | undefined): string {
  const { decision, usage } = record;
  const parts = ['{"level":"info","time":"', new Date().toISOString(), '","exchange":"', record.id, '"'];
  text(parts, ',"requestId":', record.requestId);
  text(parts, ',"method":', record.method);
  text(parts, ',"path":', record.path);
  text(parts, ',"principal":', subject);
  text(parts, ',"model":', record.model);
  text(parts, ',"servedModel":', record.servedModel);
  parts.push(record.stream ? ',"stream":true' : ',"stream":false');
  count(parts, ',"status":', record.status);
  parts.push(',"outcome":"', record.outcome, '"');
  text(parts, ',"reason":', record.reason);
  if (record.queueMs > 0) count(parts, ',"queueMs":', rounded(record.queueMs));
  if (decision !== undefined) {
    parts.push(',"endpoint":"', decision.ranked[0].id, '"');
    count(parts, ',"candidates":', decision.candidates);
    count(parts, ',"kept":', decision.kept);
    parts.push(',"ranked":');
    for (let i = 0; i < decision.ranked.length; i++)
      parts.push(i === 0 ? '["' : '","', decision.ranked[i]!.id);
    parts.push('"],"scores":');
    for (let i = 0; i < decision.totals.length; i++) {
      parts.push(i === 0 ? '[' : ',', String(Math.round(decision.totals[i]! * 1000) / 1000));
    }
    count(parts, '],"decisionUs":', Math.round(record.decisionMs * 1000));
  }
  text(parts, ',"servedBy":', record.servedBy);
  count(parts, ',"attempts":', record.attempts);
  count(parts, ',"ttftMs":', rounded(record.ttftMs));
  count(parts, ',"durationMs":', rounded(record.durationMs));
  count(parts, ',"inputTokens":', usage?.inputTokens);
  count(parts, ',"cachedTokens":', usage?.cachedInputTokens);
  count(parts, ',"outputTokens":', usage?.outputTokens);
  parts.push(',"usageSource":"', record.usageSource, '"');
  if (record.charged?.estimated === true) {
    count(parts, ',"estimatedInputTokens":', record.charged.inputTokens);
    count(parts, ',"estimatedOutputTokens":', record.charged.outputTokens);
  }
  count(parts, ',"requestBytes":', record.requestBytes);
  count(parts, ',"responseBytes":', record.responseBytes);
  parts.push(',"msg":', JSON.stringify(sentence(record)), '}\n');
  return parts.join('');
}

/** What a client may have written goes through JSON. */
function text(parts: string[], name: string, value: string | undefined): void {
  if (value !== undefined) parts.push(name, JSON.stringify(value));
}

function count(parts: string[], name: string, value: number | undefined): void {
  if (value !== undefined) parts.push(name, String(value));
}

/** Moves the metrics of an exchange; the counterpart of `exchangeStarted`. */
export function countExchange(metrics: Metrics, record: ExchangeRecord, snapshot: EndpointSnapshot): void {
  const model = record.modelKnown
    ? metrics.model(record.model!, record.servedModel)
    : metrics.model(unknownModel);
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

/** For people: `POST /v1/chat/completions m to 10.0.0.1:8000 of 3 (score 3.9) 200 completed in 120 ms 12+40 tokens`. */
function sentence(record: ExchangeRecord): string {
  const { decision, usage, charged } = record;
  const words = [record.method, record.path];
  if (record.model !== undefined) words.push(record.model);
  if (record.servedModel !== undefined) words.push('as', record.servedModel);
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
  } else if (charged !== undefined) {
    words.push(`about ${charged.inputTokens}+${charged.outputTokens} tokens`);
  }
  if (record.queueMs >= 1) words.push(`after ${Math.round(record.queueMs)} ms in the queue`);
  return words.join(' ');
}
