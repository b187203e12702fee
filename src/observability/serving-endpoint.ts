/** To whom an exchange is credited: the endpoint that really served it, or else the one that it was sent to. */
import type { Endpoint, EndpointSnapshot } from '../endpoints/endpoint.ts';
import type { ExchangeRecord } from '../request/exchange-record.ts';

/** A server that is no endpoint of ours is nobody: then it is `routedTo`. */
export function servingEndpoint(
  { decision, servedBy }: Pick<ExchangeRecord, 'decision' | 'servedBy'>,
  routedTo: Endpoint,
  snapshot: () => EndpointSnapshot,
): Endpoint {
  if (servedBy === undefined || servedBy === routedTo.id) return routedTo;
  const serves = (endpoint: Endpoint): boolean => endpoint.id === servedBy;
  // Nearly always one of the ranked; Envoy's fallback may have chosen another.
  return decision?.ranked.find(serves) ?? snapshot().endpoints.find(serves) ?? routedTo;
}
