/** The last decisions with everything that every plugin said, for `/debug/decisions`. */
import type { Endpoint } from '../endpoints/endpoint.ts';
import type { Decision, NoneEligible } from './decision.ts';
import { DecisionTrace } from './decision-trace.ts';
import type { Outcome } from './plugin.ts';

/** One decision as JSON. Endpoints are named by id; scores are rounded to four decimals. */
interface DecisionRecord {
  readonly requestId: string;
  readonly model: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Best first; empty where nobody was left. */
  readonly ranked: readonly { readonly endpoint: string; readonly total: number }[];
  /** Where nobody was left: the filter that removed the last, null where there was nobody to begin with. */
  readonly refused: { readonly filter: string | null; readonly as: NoneEligible['whenEmpty'] } | null;
  readonly candidates: number;
  readonly filters: readonly { readonly name: string; readonly removed: readonly string[] }[];
  readonly scorers: readonly {
    readonly name: string;
    readonly weight: number;
    readonly scores: Readonly<Record<string, number>>;
  }[];
  readonly totals: Readonly<Record<string, number>>;
  /** Null until the exchange ended. */
  readonly outcome: {
    readonly servedBy: string | null;
    readonly completed: boolean;
    readonly durationMs: number;
    readonly ttftMs: number | null;
    readonly inputTokens: number | null;
    readonly cachedInputTokens: number | null;
    readonly outputTokens: number | null;
  } | null;
}

/** A ring of the last decisions. Recording copies scores only; everything else is done when somebody looks. */
export interface DecisionLog {
  /** Starts a record, overwriting the oldest: the run writes into the returned trace, then calls `decided`. */
  begin(requestId: string, model: string, epochMs: number): DecisionTrace;
  /** Ends the record that was begun last. */
  decided(result: Decision | NoneEligible): void;
  /** Adds how the exchange ended, if its record is still there. */
  settled(requestId: string, outcome: Outcome): void;
  /** At most `limit` records, newest first. */
  list(limit?: number): DecisionRecord[];
}

interface Entry {
  readonly trace: DecisionTrace;
  requestId: string;
  model: string;
  epochMs: number;
  result: Decision | NoneEligible | undefined;
  outcome: Outcome | undefined;
}

/** A log of the last `capacity` decisions. */
export function createDecisionLog(capacity = 200): DecisionLog {
  const ring: Entry[] = [];
  const byRequest = new Map<string, Entry>();
  let begun = 0;
  let current: Entry | undefined;

  return {
    begin(requestId, model, epochMs) {
      const at = begun++ % capacity;
      const old = ring[at];
      const entry = old ?? newEntry();
      if (old === undefined) ring.push(entry);
      else if (byRequest.get(old.requestId) === old) byRequest.delete(old.requestId);
      entry.requestId = requestId;
      entry.model = model;
      entry.epochMs = epochMs;
      entry.result = undefined;
      entry.outcome = undefined;
      byRequest.set(requestId, entry);
      current = entry;
      return entry.trace;
    },
    decided(result) {
      if (current !== undefined) current.result = result;
    },
    settled(requestId, outcome) {
      const entry = byRequest.get(requestId);
      if (entry !== undefined) entry.outcome = outcome;
    },
    list(limit = capacity) {
      const records: DecisionRecord[] = [];
      for (let i = begun - 1; i >= 0 && i >= begun - ring.length && records.length < limit; i--) {
        const { result, ...entry } = ring[i % capacity]!;
        if (result !== undefined) records.push(render({ ...entry, result }));
      }
      return records;
    },
  };
}

function newEntry(): Entry {
  return {
    trace: new DecisionTrace(),
    requestId: '',
    model: '',
    epochMs: 0,
    result: undefined,
    outcome: undefined,
  };
}

function render({
  trace,
  requestId,
  model,
  epochMs,
  result,
  outcome,
}: Entry & { result: Decision | NoneEligible }): DecisionRecord {
  const { names, candidates, removedBy, scores, totals } = trace;
  const kept = result.kind === 'chosen' ? candidates.filter((_, i) => removedBy[i] === 0) : [];
  return {
    requestId,
    model,
    at: new Date(epochMs).toISOString(),
    ranked:
      result.kind === 'chosen'
        ? result.ranked.map(({ id }, i) => ({ endpoint: id, total: rounded(result.totals[i]!) }))
        : [],
    refused: result.kind === 'none' ? { filter: result.filter ?? null, as: result.whenEmpty } : null,
    candidates: candidates.length,
    filters: names.filters.map((name, f) => ({
      name,
      removed: candidates.filter((_, i) => removedBy[i] === f + 1).map(({ id }) => id),
    })),
    scorers:
      result.kind === 'chosen'
        ? names.scorers.map(({ name, weight }, s) => ({
            name,
            weight,
            scores: byEndpoint(kept, scores, s * kept.length),
          }))
        : [],
    totals: byEndpoint(kept, totals, 0),
    outcome: outcome === undefined ? null : renderOutcome(outcome),
  };
}

function byEndpoint(
  endpoints: readonly Endpoint[],
  values: Float64Array,
  offset: number,
): Record<string, number> {
  return Object.fromEntries(endpoints.map(({ id }, i) => [id, rounded(values[offset + i]!)]));
}

function renderOutcome(outcome: Outcome): DecisionRecord['outcome'] {
  return {
    servedBy: outcome.servedBy?.id ?? null,
    completed: outcome.completed,
    durationMs: outcome.durationMs,
    ttftMs: outcome.ttftMs ?? null,
    inputTokens: outcome.inputTokens ?? null,
    cachedInputTokens: outcome.cachedInputTokens ?? null,
    outputTokens: outcome.outputTokens ?? null,
  };
}

function rounded(value: number): number {
  return Math.round(value * 1e4) / 1e4;
}
