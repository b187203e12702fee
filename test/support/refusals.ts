/** What a refusal looks like: to the client, and in Sluice's log. */
import { expect } from '@jest/globals';
import type { ExchangeLine, Gateway } from './gateway.ts';
import type { Reply } from './http-client.ts';

export interface Refusal {
  readonly status: number;
  /** The reason in the log; in snake case it is the reply's code. */
  readonly reason: string;
  /** Part of the message. */
  readonly message: string;
  /** Default `invalid_request_error`. */
  readonly type?: string;
  readonly param?: string;
  /** Whose error object it is; default OpenAI's. */
  readonly dialect?: 'openai' | 'anthropic';
}

/** Checks the reply and the exchange's line; no endpoint was chosen. */
export async function expectRefusal(
  gateway: Gateway,
  reply: Reply,
  { status, reason, message, type = 'invalid_request_error', param, dialect = 'openai' }: Refusal,
): Promise<void> {
  expect(reply.status).toBe(status);
  expect(reply.headers['content-type']).toBe('application/json');
  const error = {
    message: expect.stringContaining(message),
    type,
    param: param ?? null,
    code: reason.replaceAll('-', '_'),
  };
  expect(reply.json).toEqual(dialect === 'anthropic' ? { type: 'error', error } : { error });
  const line = await exchangeOf(gateway, reply);
  expect(line).toMatchObject({ status, outcome: 'rejected', reason, usageSource: 'none' });
  expect(line['endpoint']).toBeUndefined();
}

/** The line of the exchange that a reply belongs to, by the request id that every reply carries. */
export function exchangeOf(gateway: Gateway, reply: Pick<Reply, 'headers'>): Promise<ExchangeLine> {
  const requestId = reply.headers['x-request-id'];
  expect(requestId).toEqual(expect.stringMatching(/./));
  return gateway.exchange((line) => line['requestId'] === requestId);
}

/** How many requests reached an engine, probes of Sluice and Envoy aside. */
export function requestsAtEngines(gateway: Gateway): number {
  return gateway.engines.reduce(
    (sum, engine) => sum + engine.requests().filter(({ path }) => path !== '/v1/models').length,
    0,
  );
}
