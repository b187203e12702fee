/** Who really served an exchange. */
import type { Endpoint, EndpointSnapshot } from '../endpoints/endpoint.ts';
import type { Decision } from '../scheduling/decision.ts';

/** The endpoint of this id; undefined where Envoy named none, or one that is no endpoint of ours. */
export function servingEndpoint(
  id: string | undefined,
  decision: Decision | undefined,
  { endpoints }: Pick<EndpointSnapshot, 'endpoints'>,
): Endpoint | undefined {
  if (id === undefined) return undefined;
  const serves = (endpoint: Endpoint): boolean => endpoint.id === id;
  // Nearly always one of the ranked; Envoy's fallback may have chosen another.
  return decision?.ranked.find(serves) ?? endpoints.find(serves);
}
