/** The cluster of engines: its members come from Sluice, and so does the choice among them. */
import {
  destinationKey,
  destinationNamespace,
  endpointsCluster,
  schedulerCluster,
  transportSocketNamespace,
} from './names.ts';
import type { BootstrapSettings, EngineTls } from './options.ts';
import { duration, extension, typed } from './typed.ts';

/** The cluster Envoy reaches engines by. */
export function endpointsClusterConfig(settings: BootstrapSettings): object {
  const { connectTimeoutMs, healthIntervalMs, healthPath, engineTls } = settings;
  return {
    name: endpointsCluster,
    type: 'EDS',
    eds_cluster_config: {
      eds_config: {
        resource_api_version: 'V3',
        initial_fetch_timeout: duration(5_000),
        api_config_source: {
          api_type: 'GRPC',
          transport_api_version: 'V3',
          grpc_services: [{ envoy_grpc: { cluster_name: schedulerCluster, retry_policy: askAgain } }],
        },
      },
    },
    connect_timeout: duration(connectTimeoutMs),
    // What discovery removed is gone, even while it still answers health checks. Running streams go on to their end.
    ignore_health_on_host_removal: true,
    load_balancing_policy: { policies: [{ typed_extension_config: overrideHost }] },
    // An unhealthy engine is never a fallback, however many of them there are.
    common_lb_config: { healthy_panic_threshold: { value: 0 } },
    transport_socket_matches: [tlsMatch(engineTls), plainMatch],
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        {
          // uvicorn closes idle connections after 5 s: let go first, or requests are lost in between.
          common_http_protocol_options: { idle_timeout: duration(4_000) },
          explicit_http_config: { http_protocol_options: {} },
        },
      ),
    },
    // HTTP/1.1 is a connection per exchange; how many an engine gets is decided by the scheduler.
    circuit_breakers: {
      thresholds: [
        { max_connections: 65_535, max_pending_requests: 65_535, max_requests: 65_535, max_retries: 10_000 },
      ],
    },
    health_checks: [
      {
        timeout: duration(2_000),
        interval: duration(healthIntervalMs),
        no_traffic_interval: duration(healthIntervalMs),
        unhealthy_threshold: 2,
        healthy_threshold: 1,
        http_health_check: { path: healthPath },
      },
    ],
    outlier_detection: {
      consecutive_5xx: 20,
      consecutive_gateway_failure: 5,
      interval: duration(5_000),
      base_ejection_time: duration(15_000),
      max_ejection_percent: 50,
    },
  };
}

/** By default Envoy asks again only after up to 30 s, and answers 503 for new endpoints until then. */
const askAgain = { retry_back_off: { base_interval: duration(250), max_interval: duration(2_000) } };

/**
 * Attempt n goes to the n-th endpoint that the decision names. Only metadata is read: a header could come from a client.
 * Least-request serves once the list is used up.
 */
const overrideHost = extension(
  'envoy.load_balancing_policies.override_host',
  'envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost',
  {
    override_host_sources: [{ metadata: { key: destinationNamespace, path: [{ key: destinationKey }] } }],
    fallback_policy: {
      policies: [
        {
          typed_extension_config: extension(
            'envoy.load_balancing_policies.least_request',
            'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest',
            { choice_count: 2 },
          ),
        },
      ],
    },
  },
);

/** For endpoints whose metadata says TLS. SNI and the expected name are the endpoint's hostname. */
function tlsMatch(tls: EngineTls): object {
  return {
    name: 'tls',
    match: { tls: 'true' },
    transport_socket: extension(
      'envoy.transport_sockets.tls',
      'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      {
        auto_host_sni: true,
        auto_sni_san_validation: tls.kind === 'verify',
        // A resumed session is not checked again, and all endpoints share the store of sessions.
        max_session_keys: 0,
        common_tls_context: { alpn_protocols: ['http/1.1'], ...validation(tls) },
      },
    ),
  };
}

function validation(tls: EngineTls): object {
  // Without a validation context Envoy believes every certificate.
  if (tls.kind === 'insecure') return {};
  const trusted_ca = 'caFile' in tls ? { filename: tls.caFile } : { inline_string: tls.caPem };
  return { validation_context: { trusted_ca } };
}

const plainMatch = {
  name: 'plain',
  match: {},
  transport_socket: extension(
    'envoy.transport_sockets.raw_buffer',
    'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer',
  ),
};

/** Endpoint metadata that selects the TLS socket above. */
export const tlsEndpointMetadata = {
  namespace: transportSocketNamespace,
  key: 'tls',
  value: 'true',
} as const;
