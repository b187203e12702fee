/** Requests of callers with a token, or without one, and how they were told apart. */
import { expect } from '@jest/globals';
import { chatBody, type Chat } from './chat.ts';
import { eventually } from './eventually.ts';
import type { Gateway } from './gateway.ts';
import { send, type Reply, type Sent } from './http-client.ts';
import { audience } from './issuer.ts';
import { samples } from './metrics-page.ts';
import { expectRefusal, requestsAtEngines } from './refusals.ts';

export type HeaderList = NonNullable<Sent['headers']>;

/** The header of a request with a token. */
export function bearer(token: string): HeaderList {
  return [['authorization', `Bearer ${token}`]];
}

/** Sends a chat completion with these headers besides its own. */
export function ask(
  gateway: Pick<Gateway, 'port'>,
  headers: HeaderList,
  { path, method, ...request }: Chat & Pick<Sent, 'path' | 'method'> = {},
): Promise<Reply> {
  return send(gateway.port, {
    headers: [['content-type', 'application/json'], ...headers],
    body: chatBody(request),
    ...(path !== undefined && { path }),
    ...(method !== undefined && { method }),
  });
}

/** GETs a path with these headers. */
export function get(gateway: Pick<Gateway, 'port'>, path: string, headers: HeaderList = []): Promise<Reply> {
  return send(gateway.port, { method: 'GET', path, headers });
}

/** The status of a chat completion with this token. */
export async function statusFor(gateway: Pick<Gateway, 'port'>, token: string): Promise<number> {
  return (await ask(gateway, bearer(token))).status;
}

/** Waits until Sluice says that it can serve, and so verify tokens. */
export function untilReady(gateway: Pick<Gateway, 'adminUrl'>): Promise<void> {
  return eventually(async () => (await fetch(`${gateway.adminUrl}/readyz`)).status === 200);
}

/** What came of asking who callers are while something ran: outcomes, and how often. */
export async function outcomesDuring(
  gateway: Pick<Gateway, 'adminUrl'>,
  run: () => Promise<unknown>,
): Promise<Readonly<Record<string, number>>> {
  const outcomes = (): Promise<ReadonlyMap<string, number>> =>
    samples(gateway, 'sluice_authentications_total');
  const before = await outcomes();
  await run();
  const counts: Record<string, number> = {};
  for (const [labels, count] of await outcomes()) {
    const more = count - (before.get(labels) ?? 0);
    if (more > 0) counts[/outcome="(.*)"/.exec(labels)?.[1] ?? labels] = more;
  }
  return counts;
}

const messages = {
  missing: 'An access token is required.',
  malformed: 'The access token is malformed.',
  conflict: 'The request carries several access tokens that differ.',
  'too-large': 'The access token is too large.',
  'unknown-issuer': 'The access token is not accepted here.',
  'algorithm-refused': 'The access token is not accepted here.',
  'unknown-key': 'The access token is not accepted here.',
  'bad-signature': 'The access token is not accepted here.',
  'wrong-audience': 'The access token is not accepted here.',
  expired: 'The access token expired.',
  'not-yet-valid': 'The access token is not valid yet.',
  'claim-missing': 'The access token lacks a claim that is needed.',
} as const;

export type UnauthorizedReason = keyof typeof messages;

/** Checks the 401 for a reason: body, challenge and log line, none of which say what would have been accepted. */
export async function expectUnauthorized(
  gateway: Gateway,
  reply: Reply,
  reason: UnauthorizedReason,
  dialect: 'openai' | 'anthropic' = 'openai',
): Promise<void> {
  const message = messages[reason];
  await expectRefusal(gateway, reply, {
    status: 401,
    reason: 'unauthenticated',
    type: 'authentication_error',
    message,
    dialect,
  });
  const code = reason === 'conflict' ? 'invalid_request' : 'invalid_token';
  expect(reply.headers['www-authenticate']).toBe(
    reason === 'missing'
      ? 'Bearer realm="sluice"'
      : `Bearer realm="sluice", error="${code}", error_description="${message}"`,
  );
  const told = reply.body + JSON.stringify(reply.headers);
  expect(told).not.toContain('issuer.example');
  expect(told).not.toContain(audience);
}

/** Checks that a request is refused for a reason, counted under it and no other, and unknown to every engine. */
export async function isRefused(
  gateway: Gateway,
  reason: UnauthorizedReason,
  request: () => Promise<Reply>,
): Promise<void> {
  const before = requestsAtEngines(gateway);
  const outcomes = await outcomesDuring(gateway, async () => {
    await expectUnauthorized(gateway, await request(), reason);
  });
  expect(outcomes).toEqual({ [reason]: 1 });
  expect(requestsAtEngines(gateway)).toBe(before);
}

/** Checks the 503 for a token that nobody can verify now. */
export async function expectKeysUnavailable(gateway: Gateway, reply: Reply): Promise<void> {
  await expectRefusal(gateway, reply, {
    status: 503,
    reason: 'keys-unavailable',
    type: 'overloaded_error',
    message: 'Access tokens cannot be verified at the moment. Please try again later.',
  });
  expect(reply.headers['retry-after']).toBe('2');
  expect(reply.headers['www-authenticate']).toBeUndefined();
}
