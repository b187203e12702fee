/** The filter that shows each exchange to Sluice. */
import { destinationNamespace, exchangeNamespace, schedulerCluster } from './names.ts';
import type { BootstrapSettings } from './options.ts';
import { duration, extension } from './typed.ts';

/** ext_proc: body buffered, response headers, and the stream held open until the response ended. */
export function extProcFilter(settings: BootstrapSettings): object {
  const { messageTimeoutMs, maxMessageTimeoutMs, clientAddress } = settings;
  return extension(
    'envoy.filters.http.ext_proc',
    'envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor',
    {
      stat_prefix: 'sluice',
      grpc_service: {
        envoy_grpc: { cluster_name: schedulerCluster, authority: 'sluice', skip_envoy_headers: true },
        retry_policy: {
          retry_on: 'connect-failure,refused-stream,reset-before-request,unavailable',
          num_retries: 2,
        },
      },
      // Sluice decides who may pass: without it nobody does.
      failure_mode_allow: false,
      status_on_error: { code: 'ServiceUnavailable' },
      message_timeout: duration(messageTimeoutMs),
      max_message_timeout: duration(Math.max(maxMessageTimeoutMs, messageTimeoutMs)),
      processing_mode: { request_header_mode: 'SEND', ...mode('BUFFERED', 'SEND', 'NONE') },
      allow_mode_override: true,
      // Compared with the effective mode, field by field: every one is spelled out.
      allowed_override_modes: [
        mode('BUFFERED', 'SEND', 'STREAMED'),
        mode('BUFFERED', 'SEND', 'NONE'),
        mode('BUFFERED', 'SKIP', 'NONE', 'SKIP'),
        mode('NONE', 'SEND', 'STREAMED'),
        mode('NONE', 'SEND', 'NONE'),
        mode('NONE', 'SKIP', 'NONE', 'SKIP'),
      ],
      mutation_rules: { disallow_system: false, allow_envoy: false, disallow_is_error: true },
      ...(clientAddress && { request_attributes: ['source.address'] }),
      response_attributes: ['upstream.address', 'upstream.request_attempt_count'],
      metadata_options: { receiving_namespaces: { untyped: [destinationNamespace, exchangeNamespace] } },
    },
  );
}

/** Response trailers are asked for because the stream then stays open, free of messages, until the response ended. */
function mode(
  requestBody: string,
  responseHeaders: string,
  responseBody: string,
  responseTrailers = 'SEND',
): object {
  return {
    request_body_mode: requestBody,
    request_trailer_mode: 'SKIP',
    response_header_mode: responseHeaders,
    response_body_mode: responseBody,
    response_trailer_mode: responseTrailers,
  };
}
