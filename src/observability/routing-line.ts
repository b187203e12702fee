/** A decision in vllm-router's words, which scripts made for it read. */
import type { Endpoint } from '../endpoints/endpoint.ts';
import type { ExchangeRecord } from '../request/exchange-record.ts';

/**
 * `Routing request <id> with session id <id, or None> to <url> at <epoch>, process time = <seconds>`. The request's id is
 * `x-request-id` where there is one.
 * @param epochSeconds when the decision was made, since the Unix epoch.
 * @param processSeconds from the start of the exchange to the decision.
 */
export function routingLine(
  { id, requestId = id }: Pick<ExchangeRecord, 'id' | 'requestId'>,
  { url }: Pick<Endpoint, 'url'>,
  sessionKey: string | undefined,
  epochSeconds: number,
  processSeconds: number,
): string {
  const session = sessionKey === undefined ? 'None' : oneWord(sessionKey);
  const at = Number.isInteger(epochSeconds) ? epochSeconds.toFixed(1) : String(epochSeconds);
  return `Routing request ${oneWord(requestId)} with session id ${session} to ${url} at ${at}, process time = ${processSeconds.toFixed(4)}`;
}

/** What clients write is one word to those who read the line, or it could say the rest of it. */
function oneWord(written: string): string {
  return written.replace(/[\s\p{Cc}]/gu, '_');
}
