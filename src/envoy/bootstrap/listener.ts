/** The listener clients connect to: what is believed of a request, who is asked, and how it is routed. */
import { envoyAddress } from '../address.ts';
import { accessLogs } from './access-logs.ts';
import { downstreamTls } from './downstream-tls.ts';
import { extProcFilter } from './ext-proc-filter.ts';
import { localReplies } from './local-replies.ts';
import { endpointsCluster } from './names.ts';
import { connectionBufferBytes, hasBodyLimitPerRoute, type BootstrapSettings } from './options.ts';
import { duration, extension } from './typed.ts';
import { usageFilters, withoutEventFilter } from './usage-filters.ts';

/** The one listener, with its connection manager. */
export function listener(settings: BootstrapSettings): object {
  return {
    name: 'sluice',
    address: envoyAddress(settings.listen),
    per_connection_buffer_limit_bytes: connectionBufferBytes(settings),
    filter_chains: [
      {
        filters: [connectionManager(settings)],
        ...(settings.tlsSds !== undefined && { transport_socket: downstreamTls(settings.tlsSds) }),
      },
    ],
  };
}

function connectionManager(settings: BootstrapSettings): object {
  return extension(
    'envoy.filters.network.http_connection_manager',
    'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    {
      stat_prefix: 'sluice',
      codec_type: 'AUTO',
      server_name: 'sluice',
      use_remote_address: true,
      xff_num_trusted_hops: settings.trustedHops,
      // Engines answer `//v1/…` and `/v1%2F…` too. The request is rewritten, not redirected: SDKs do not repeat a POST,
      // and so the path that was judged is the path the engine gets.
      normalize_path: true,
      merge_slashes: true,
      path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD',
      generate_request_id: true,
      preserve_external_request_id: true,
      always_set_request_id_in_response: true,
      request_headers_timeout: duration(10_000),
      request_timeout: duration(0),
      stream_idle_timeout: duration(settings.idleTimeoutMs),
      // An engine that dies mid-stream is an end without a last chunk: tell HTTP/1.1 clients at once.
      delayed_close_timeout: duration(100),
      max_request_headers_kb: 64,
      common_http_protocol_options: {
        idle_timeout: duration(3_600_000),
        // A server behind us may read `_` as `-`, and so a name that was not stripped here.
        headers_with_underscores_action: 'DROP_HEADER',
      },
      http_protocol_options: { accept_http_10: true, default_host_for_http_10: 'sluice' },
      http2_protocol_options: {
        max_concurrent_streams: 1_000,
        initial_stream_window_size: 1024 * 1024,
        initial_connection_window_size: 4 * 1024 * 1024,
        connection_keepalive: { interval: duration(30_000), timeout: duration(10_000) },
      },
      early_header_mutation_extensions: [stripControlHeaders],
      local_reply_config: localReplies(settings),
      access_log: accessLogs(settings),
      http_filters: [
        extProcFilter(settings),
        ...usageFilters(settings),
        extension('envoy.filters.http.router', 'envoy.extensions.filters.http.router.v3.Router', {
          suppress_envoy_headers: true,
        }),
      ],
      route_config: routes(settings),
    },
  );
}

/** Names that would choose an endpoint, change retries and timeouts, or speak for Sluice, had the client sent them. */
const controlHeaderPrefixes = [
  'x-gateway-destination-endpoint',
  'x-prefiller-host-port',
  'x-sluice-',
  'x-envoy-',
];

const stripControlHeaders = extension(
  'envoy.http.early_header_mutation.header_mutation',
  'envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation',
  {
    mutations: controlHeaderPrefixes.map((prefix) => ({
      remove_on_match: { key_matcher: { prefix, ignore_case: true } },
    })),
  },
);

function routes(settings: BootstrapSettings): object {
  return {
    name: 'sluice',
    virtual_hosts: [
      {
        name: 'all',
        domains: ['*'],
        ...(hasBodyLimitPerRoute(settings) && { request_body_buffer_limit: settings.maxBodyBytes }),
        include_request_attempt_count: true,
        // Token counts are read from the response as it passes, which a compressed one does not allow.
        request_headers_to_add: [
          {
            header: { key: 'accept-encoding', value: 'identity' },
            append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
          },
        ],
        routes: [
          {
            name: 'inference',
            match: { safe_regex: { regex: '/v1/(chat/completions|completions|responses|messages)' } },
            route: routeAction(settings),
          },
          {
            name: 'other',
            match: { prefix: '/' },
            route: routeAction(settings),
            ...withoutEventFilter(settings),
          },
        ],
      },
    ],
  };
}

function routeAction({
  idleTimeoutMs,
  requestTimeoutMs,
  perTryIdleTimeoutMs,
  retries,
}: BootstrapSettings): object {
  return {
    cluster: endpointsCluster,
    // Endpoints that have a hostname are called by it.
    auto_host_rewrite: true,
    timeout: duration(0),
    idle_timeout: duration(idleTimeoutMs),
    max_stream_duration: { max_stream_duration: duration(requestTimeoutMs) },
    retry_policy: {
      // `reset` is an engine that died before its response began; generating again harms nobody. 503 is an engine that
      // is full or going down. Other answers are answers.
      retry_on: 'connect-failure,refused-stream,reset,retriable-status-codes',
      retriable_status_codes: [503],
      num_retries: retries,
      // Never per_try_timeout: a long generation is not a failure.
      per_try_idle_timeout: duration(perTryIdleTimeoutMs),
      retry_back_off: { base_interval: duration(25), max_interval: duration(250) },
    },
  };
}
