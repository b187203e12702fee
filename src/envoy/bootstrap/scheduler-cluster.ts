/** The cluster of Sluice itself: ext_proc, endpoint discovery and access log share its HTTP/2 connections. */
import { isIP } from 'node:net';
import { envoyAddress, isNumeric } from '../address.ts';
import { schedulerCluster } from './names.ts';
import type { BootstrapSettings } from './options.ts';
import { duration, extension, typed } from './typed.ts';

/** The cluster Envoy reaches Sluice by. */
export function schedulerClusterConfig(settings: BootstrapSettings): object {
  const { extProc, extProcTls, maxBodyBytes } = settings;
  return {
    name: schedulerCluster,
    // A name may stand for several replicas; all of them are used.
    type: isNumeric(extProc) ? 'STATIC' : 'STRICT_DNS',
    // With TLS the handshake counts.
    connect_timeout: duration(extProcTls.kind === 'plain' ? 250 : 1_000),
    lb_policy: 'LEAST_REQUEST',
    ...(extProcTls.kind !== 'plain' && { transport_socket: tlsSocket(settings) }),
    // One message holds a whole request body.
    per_connection_buffer_limit_bytes: 2 * maxBodyBytes,
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        {
          explicit_http_config: {
            http2_protocol_options: {
              max_concurrent_streams: 100_000,
              initial_stream_window_size: 1024 * 1024,
              initial_connection_window_size: 16 * 1024 * 1024,
              connection_keepalive: {
                interval: duration(30_000),
                timeout: duration(5_000),
                connection_idle_interval: duration(60_000),
              },
            },
          },
        },
      ),
    },
    // Every exchange holds a stream until its response ended: the default of 1024 would refuse the rest.
    circuit_breakers: {
      thresholds: [
        { max_connections: 1_000, max_pending_requests: 100_000, max_requests: 200_000, max_retries: 1_000 },
      ],
    },
    health_checks: [
      {
        timeout: duration(1_000),
        interval: duration(2_000),
        no_traffic_interval: duration(2_000),
        unhealthy_threshold: 2,
        healthy_threshold: 1,
        grpc_health_check: { service_name: 'envoy.service.ext_proc.v3.ExternalProcessor' },
      },
    ],
    load_assignment: {
      cluster_name: schedulerCluster,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: clusterAddress(extProc) } }] }],
    },
  };
}

/** The name that is dialled is the one that is asked for, and the one that a checked certificate must have. */
function tlsSocket({ extProc, extProcTls }: BootstrapSettings): object {
  const host = extProc.kind === 'tcp' ? extProc.host : undefined;
  const isName = host !== undefined && isIP(host) === 0;
  return extension(
    'envoy.transport_sockets.tls',
    'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
    {
      ...(isName && { sni: host }),
      common_tls_context: {
        alpn_protocols: ['h2'],
        // Without a validation context Envoy believes every certificate.
        ...(extProcTls.kind === 'verify' && {
          validation_context: {
            trusted_ca: { filename: extProcTls.caFile },
            match_typed_subject_alt_names: [
              { san_type: isName ? 'DNS' : 'IP_ADDRESS', matcher: { exact: host } },
            ],
          },
        }),
      },
    },
  );
}

function clusterAddress(extProc: BootstrapSettings['extProc']): object {
  return extProc.kind === 'unix' ? { pipe: { path: extProc.path } } : envoyAddress(extProc);
}
