/** Names that Envoy's configuration and the services behind it must agree on. */

/** The cluster of engines; also the resource that endpoint discovery is asked for. */
export const endpointsCluster = 'pods';

/** The cluster of Sluice itself. */
export const schedulerCluster = 'ext_proc';

/** Dynamic metadata that says where a request goes: a namespace that clients cannot write. */
export const destinationNamespace = 'envoy.lb';
export const destinationKey = 'x-gateway-destination-endpoint';

/** Dynamic metadata that Sluice's answer writes: the exchange id, for the access log. */
export const exchangeNamespace = 'sluice';

/** Dynamic metadata that the usage filters write: `input_tokens`, `output_tokens`, `cached_tokens`. */
export const usageNamespace = 'sluice.usage';

/** Endpoint metadata by which Envoy chooses a transport socket; its key `tls` is "true" where the engine speaks TLS. */
export const transportSocketNamespace = 'envoy.transport_socket_match';
