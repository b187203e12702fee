/** Records of exchanges, with only what a test cares about written down. */
import type { Endpoint } from '../../../src/endpoints/endpoint.ts';
import type { ExchangeRecord } from '../../../src/request/exchange-record.ts';

/** An exchange that asks for model `m`, not routed yet. */
export function aRecord(known: Partial<ExchangeRecord> = {}): ExchangeRecord {
  return {
    id: 'e-1',
    requestId: undefined,
    method: 'POST',
    path: '/v1/completions',
    startedAtMs: 0,
    principal: undefined,
    api: 'completions',
    model: 'm',
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
    ...known,
  };
}

/** An exchange that was sent to the first of `ranked`, for a model that is served. */
export function routedRecord(
  ranked: readonly [Endpoint, ...Endpoint[]],
  known: Partial<ExchangeRecord> = {},
): ExchangeRecord {
  const { id, model } = aRecord(known);
  return aRecord({
    modelKnown: true,
    decision: {
      kind: 'chosen',
      requestId: id,
      model: model ?? '',
      ranked,
      totals: ranked.map(() => 1),
      candidates: ranked.length,
      kept: ranked.length,
    },
    ...known,
  });
}

/** What an engine's answer of so many output tokens, to ten input tokens, adds to a record. */
export function completed(durationMs: number, outputTokens?: number): Partial<ExchangeRecord> {
  return {
    outcome: 'completed',
    status: 200,
    durationMs,
    usage:
      outputTokens === undefined
        ? undefined
        : { inputTokens: 10, outputTokens, cachedInputTokens: undefined },
  };
}
