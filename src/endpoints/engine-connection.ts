/** What every connection of ours to an engine has in common: the host that it is asked for, and what went wrong. */
import type { Endpoint } from './endpoint.ts';

/** The `host` header of an engine that was given by name; none where it was given by address. */
export function hostHeader({ hostname, tls, port }: Endpoint): Readonly<Record<string, string>> {
  if (hostname === undefined) return {};
  return { host: port === (tls ? 443 : 80) ? hostname : `${hostname}:${port}` };
}

/** Words for the code of a failure; undefined where it says nothing that its message does not. */
export function connectionProblem(code: string): string | undefined {
  return words.get(code);
}

const words: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'connection refused'],
  ['ECONNRESET', 'connection reset'],
  ['EPIPE', 'connection reset'],
  ['UND_ERR_SOCKET', 'connection closed before an answer'],
  ['UND_ERR_CONNECT_TIMEOUT', 'cannot connect in time'],
  ['ETIMEDOUT', 'cannot connect in time'],
  ['EHOSTUNREACH', 'no route to host'],
  ['ENETUNREACH', 'network unreachable'],
]);
