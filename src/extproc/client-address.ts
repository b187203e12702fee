/** The client's address, from the attribute that Envoy fills in after it judged X-Forwarded-For. */
import { isIP } from 'node:net';
import type { Attributes } from './frame.ts';

/**
 * The IP address in `source.address`, which Envoy writes as `address:port` or `[v6]:port`. Undefined where the attribute
 * was not asked for, and where the client came over a Unix socket.
 */
export function clientAddress(attributes: Attributes): string | undefined {
  const source = attributes['source.address'];
  if (typeof source !== 'string') return undefined;
  const address = source.startsWith('[')
    ? source.slice(1, source.lastIndexOf(']'))
    : source.slice(0, source.lastIndexOf(':'));
  return isIP(address) === 0 ? undefined : address;
}
