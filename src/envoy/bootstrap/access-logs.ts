/** What Envoy tells of each exchange: to Sluice in protobuf, to people in lines. */
import {
  destinationKey,
  destinationNamespace,
  exchangeNamespace,
  schedulerCluster,
  usageNamespace,
} from './names.ts';
import type { BootstrapSettings } from './options.ts';
import { duration, extension } from './typed.ts';

/** The access logs of the connection manager. */
export function accessLogs({ accessLog }: BootstrapSettings): object[] {
  return accessLog === 'off' ? [grpcLog] : [grpcLog, lines(accessLog)];
}

/** How Sluice learns outcome and token usage: every metadata namespace is in the entry. */
const grpcLog = extension(
  'envoy.access_loggers.http_grpc',
  'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig',
  {
    common_config: {
      log_name: 'sluice',
      transport_api_version: 'V3',
      grpc_service: {
        envoy_grpc: { cluster_name: schedulerCluster, authority: 'sluice', skip_envoy_headers: true },
      },
      buffer_flush_interval: duration(50),
      buffer_size_bytes: 16 * 1024,
    },
  },
);

/** Fields of a line, in order. Query strings are left out: some clients put keys there. */
const fields = {
  time: '%START_TIME%',
  method: '%REQ(:METHOD)%',
  path: '%PATH(NQ)%',
  status: '%RESPONSE_CODE%',
  upstream: '%UPSTREAM_HOST%',
  attempts: '%UPSTREAM_REQUEST_ATTEMPT_COUNT%',
  chosen: `%DYNAMIC_METADATA(${destinationNamespace}:${destinationKey})%`,
  decision: `%DYNAMIC_METADATA(${exchangeNamespace})%`,
  usage: `%DYNAMIC_METADATA(${usageNamespace})%`,
  first_byte_ms: '%RESPONSE_DURATION%',
  duration_ms: '%DURATION%',
  bytes: '%BYTES_SENT%',
  flags: '%RESPONSE_FLAGS%',
  details: '%RESPONSE_CODE_DETAILS%',
  request_id: '%REQ(X-REQUEST-ID)%',
} as const;

function lines(format: 'text' | 'json'): object {
  const { time, method, path, status, ...rest } = fields;
  const labelled = Object.entries(rest).map(([name, value]) => `${name}=${value}`);
  return extension(
    'envoy.access_loggers.stdout',
    'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
    {
      log_format:
        format === 'json'
          ? { json_format: fields }
          : {
              text_format_source: {
                inline_string: `${[time, method, path, status, ...labelled].join(' ')}\n`,
              },
            },
    },
  );
}
