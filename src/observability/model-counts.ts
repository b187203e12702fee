/** What vllm-router counts of one model at one endpoint. */
import type { ExchangeRecord } from '../request/exchange-record.ts';
import { LatencyHistogram } from './latency-histogram.ts';

export class ModelCounts {
  inputTokens = 0;
  outputTokens = 0;
  readonly success = new LatencyHistogram();
  readonly error = new LatencyHistogram();
  /** How often, by type. */
  readonly errors = new Map<string, number>();

  /** Counts an ended exchange. One that the client left is neither a success nor an error of the engine. */
  add(record: ExchangeRecord): void {
    const { outcome, usage, durationMs } = record;
    this.inputTokens += usage?.inputTokens ?? 0;
    this.outputTokens += usage?.outputTokens ?? 0;
    if (outcome === 'aborted') return;
    const type = errorType(record);
    if (type !== undefined) this.errors.set(type, (this.errors.get(type) ?? 0) + 1);
    (type === undefined ? this.success : this.error).observe(durationMs / 1000);
  }
}

/** From a closed list. What an engine refuses as the client's fault is no error of the engine. */
function errorType({ outcome, status, reason }: ExchangeRecord): string | undefined {
  if (reason !== undefined) return reason;
  if (outcome === 'failed' || (outcome === 'unknown' && status === 0)) return 'failed';
  return status >= 500 ? 'http_5xx' : undefined;
}
