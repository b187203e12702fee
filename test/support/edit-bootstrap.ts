/** Envoy's bootstrap as somebody else would have written it: changes to the one that Sluice generates. */

type Fields = Record<string, unknown>;

interface Bootstrap extends Fields {
  readonly layered_runtime: { readonly layers: readonly { readonly static_layer: Fields }[] };
  readonly static_resources: {
    readonly listeners: readonly {
      readonly filter_chains: readonly {
        readonly filters: readonly { readonly typed_config: ConnectionManager }[];
      }[];
    }[];
  };
}

/** The connection manager's fields that tests change. */
export interface ConnectionManager extends Fields {
  access_log?: readonly { readonly name: string }[];
  readonly http_filters: readonly { readonly name: string; readonly typed_config: Fields }[];
}

/** A copy with a changed connection manager and runtime. */
export function editBootstrap(
  change: (manager: ConnectionManager, runtime: Fields) => void,
): (bootstrap: object) => object {
  return (bootstrap) => {
    const copy = structuredClone(bootstrap) as Bootstrap;
    const manager = copy.static_resources.listeners[0]?.filter_chains[0]?.filters[0]?.typed_config;
    const runtime = copy.layered_runtime.layers[0]?.static_layer;
    if (manager === undefined || runtime === undefined) throw new Error('The bootstrap has another shape');
    change(manager, runtime);
    return copy;
  };
}

/** The configuration of the ext_proc filter. */
export function extProcOf(manager: ConnectionManager): Fields {
  const filter = manager.http_filters.find(({ name }) => name === 'envoy.filters.http.ext_proc');
  if (filter === undefined) throw new Error('The bootstrap has no ext_proc filter');
  return filter.typed_config;
}

/** Envoy does not tell Sluice how exchanges ended. */
export function withoutAccessLog(manager: ConnectionManager): void {
  const logs = manager.access_log?.filter(({ name }) => name !== 'envoy.access_loggers.http_grpc');
  if (logs?.length === manager.access_log?.length) throw new Error('The bootstrap has no gRPC access log');
  manager.access_log = logs ?? [];
}

/** Clients' control headers reach Sluice, as they do where nobody strips them. */
export function withoutStripping(manager: ConnectionManager): void {
  if (!('early_header_mutation_extensions' in manager))
    throw new Error('The bootstrap does not strip headers');
  manager['early_header_mutation_extensions'] = [];
}

/** Both bodies pass through Sluice, in both directions. */
export function fullDuplex(manager: ConnectionManager): void {
  const filter = extProcOf(manager);
  filter['processing_mode'] = {
    request_header_mode: 'SEND',
    response_header_mode: 'SEND',
    request_body_mode: 'FULL_DUPLEX_STREAMED',
    response_body_mode: 'FULL_DUPLEX_STREAMED',
    request_trailer_mode: 'SEND',
    response_trailer_mode: 'SEND',
  };
  filter['allow_mode_override'] = false;
  delete filter['allowed_override_modes'];
}
