/**
 * The Envoys of the measurement: one that plays idle engines by direct responses, and edges in front of it. The plain edge
 * is the one that other endpoint pickers were measured behind, so that figures compare; the shipped one is what
 * `sluice router` runs.
 */
import { loadConfig } from '../../src/config/load.ts';
import { envoyAddress, parseSocketAddress } from '../../src/envoy/address.ts';
import { envoyBootstrap } from '../../src/envoy/bootstrap.ts';
import { duration, extension, typed } from '../../src/envoy/bootstrap/typed.ts';
import { managedBootstrap } from '../../src/router.ts';
import { idleMetricsPage, modelsPage } from './idle-engines.ts';

/** Addresses of engines: 127.0.1.1, 127.0.1.2, …, all on one port. */
export function engineAddresses(count: number, port: number): string[] {
  return Array.from({ length: count }, (_, i) => `127.0.1.${i + 1}:${port}`);
}

/** Engines that answer at once, each at an address of its own. */
export function enginesBootstrap(addresses: readonly string[]): object {
  const [first, ...others] = addresses.map((address) => ({
    address: envoyAddress(parseSocketAddress(address)),
  }));
  return bootstrap(
    [
      {
        name: 'engines',
        ...first,
        additional_addresses: others,
        filter_chains: [
          chain(
            [bodyBuffer],
            [
              directResponse('/metrics', idleMetricsPage, 'text/plain; version=0.0.4'),
              directResponse('/v1/models', modelsPage, 'application/json'),
              directResponse('/health', 'ok', 'text/plain'),
              directResponse('/', completion, 'application/json'),
            ],
          ),
        ],
      },
    ],
    [],
  );
}

/** The plain edge: ext_proc in BUFFERED mode, or with `extProc` undefined no picker at all. */
export function plainEdge(listen: string, engines: readonly string[], extProc: string | undefined): object {
  const route = {
    match: { prefix: '/' },
    route: {
      cluster: 'pods',
      timeout: '0s',
      retry_policy: { retry_on: 'connect-failure,refused-stream', num_retries: 1 },
    },
  };
  return {
    layered_runtime: {
      layers: [
        {
          name: 'bench',
          static_layer: { 'envoy.reloadable_features.ext_proc_graceful_grpc_close': true },
        },
      ],
    },
    ...bootstrap(
      [
        {
          name: 'edge',
          address: envoyAddress(parseSocketAddress(listen)),
          per_connection_buffer_limit_bytes: bufferBytes,
          filter_chains: [chain([extProc === undefined ? bodyBuffer : extProcFilter], [route])],
        },
      ],
      [
        ...(extProc === undefined ? [] : [pickerCluster(extProc)]),
        {
          name: 'pods',
          type: 'STATIC',
          connect_timeout: duration(1000),
          load_balancing_policy: { policies: [{ typed_extension_config: overrideHost }] },
          circuit_breakers: {
            thresholds: [{ max_connections: 65_535, max_pending_requests: 65_535, max_requests: 65_535 }],
          },
          load_assignment: assignment('pods', engines),
        },
      ],
    ),
  };
}

/** What `sluice router` gives its Envoy. */
export function shippedEdge(listen: string, extProc: string): Bootstrap {
  return parseBootstrap(
    envoyBootstrap({ ...managedBootstrap(loadConfig(undefined).config, listen, extProc), admin: noAdmin }),
  );
}

/** The same without a picker: the body is buffered by Envoy's own filter, and nothing is told to Sluice. */
export function shippedEdgeAlone(listen: string, extProc: string): object {
  const edge = shippedEdge(listen, extProc);
  for (const { filter_chains } of edge.static_resources.listeners) {
    for (const { typed_config: manager } of filter_chains.flatMap(({ filters }) => filters)) {
      manager.access_log = [];
      const router = manager.http_filters.at(-1)!;
      manager.http_filters = [bodyBuffer, router];
    }
  }
  return edge;
}

/** The parts of a bootstrap that are changed here. */
interface Bootstrap {
  readonly static_resources: {
    readonly listeners: readonly {
      readonly filter_chains: readonly {
        readonly filters: readonly {
          readonly typed_config: { access_log: object[]; http_filters: object[] };
        }[];
      }[];
    }[];
  };
}

/** A copy that may be changed: bootstraps share constants. */
function parseBootstrap(data: object): Bootstrap {
  return JSON.parse(JSON.stringify(data)) as Bootstrap;
}

const bufferBytes = 32 * 1024 * 1024;
/** Any free port: nobody asks. */
const noAdmin = parseSocketAddress('127.0.0.1:0');

const bodyBuffer = extension('envoy.filters.http.buffer', 'envoy.extensions.filters.http.buffer.v3.Buffer', {
  max_request_bytes: bufferBytes,
});

const completion = JSON.stringify({
  id: 'cmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 10, completion_tokens: 1, total_tokens: 11 },
});

const extProcFilter = extension(
  'envoy.filters.http.ext_proc',
  'envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor',
  {
    grpc_service: { envoy_grpc: { cluster_name: 'picker', authority: 'picker' } },
    failure_mode_allow: false,
    message_timeout: duration(30_000),
    max_message_timeout: duration(120_000),
    processing_mode: {
      request_header_mode: 'SEND',
      request_body_mode: 'BUFFERED',
      request_trailer_mode: 'SKIP',
      response_header_mode: 'SEND',
      response_body_mode: 'NONE',
      response_trailer_mode: 'SEND',
    },
    allow_mode_override: true,
    metadata_options: {
      forwarding_namespaces: { untyped: ['envoy.lb'] },
      receiving_namespaces: { untyped: ['envoy.lb', 'sluice'] },
    },
  },
);

const overrideHost = extension(
  'envoy.load_balancing_policies.override_host',
  'envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost',
  {
    override_host_sources: [
      { metadata: { key: 'envoy.lb', path: [{ key: 'x-gateway-destination-endpoint' }] } },
      { header: 'x-gateway-destination-endpoint' },
    ],
    fallback_policy: {
      policies: [
        {
          typed_extension_config: extension(
            'envoy.load_balancing_policies.round_robin',
            'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin',
          ),
        },
      ],
    },
  },
);

function pickerCluster(address: string): object {
  return {
    name: 'picker',
    type: 'STATIC',
    connect_timeout: duration(1000),
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        {
          explicit_http_config: {
            http2_protocol_options: {
              max_concurrent_streams: 100_000,
              initial_stream_window_size: 1024 * 1024,
              initial_connection_window_size: 16 * 1024 * 1024,
            },
          },
        },
      ),
    },
    circuit_breakers: {
      thresholds: [
        { max_connections: 40_000, max_pending_requests: 40_000, max_requests: 40_000, max_retries: 1000 },
      ],
    },
    load_assignment: assignment('picker', [address]),
  };
}

function assignment(cluster: string, addresses: readonly string[]): object {
  const lbEndpoints = addresses.map((address) => ({
    endpoint: { address: envoyAddress(parseSocketAddress(address)) },
  }));
  return { cluster_name: cluster, endpoints: [{ lb_endpoints: lbEndpoints }] };
}

function bootstrap(listeners: readonly object[], clusters: readonly object[]): object {
  return { static_resources: { listeners, clusters } };
}

function chain(filters: readonly object[], routes: readonly object[]): object {
  const router = extension('envoy.filters.http.router', 'envoy.extensions.filters.http.router.v3.Router');
  return {
    filters: [
      extension(
        'envoy.filters.network.http_connection_manager',
        'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
        {
          stat_prefix: 'bench',
          http_filters: [...filters, router],
          route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
        },
      ),
    ],
  };
}

function directResponse(prefix: string, body: string, contentType: string): object {
  return {
    match: { prefix },
    direct_response: { status: 200, body: { inline_string: body } },
    response_headers_to_add: [
      {
        header: { key: 'content-type', value: contentType },
        append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
      },
    ],
  };
}
