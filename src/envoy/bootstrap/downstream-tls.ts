/** TLS towards clients. */
import { extension } from './typed.ts';

/**
 * The transport socket of a listener whose certificate is the resource `server` in a file of Envoy's secret discovery.
 * Only what comes that way can change while Envoy runs: a certificate in the bootstrap would count until a restart.
 */
export function downstreamTls(sdsFile: string): object {
  return extension(
    'envoy.transport_sockets.tls',
    'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
    {
      common_tls_context: {
        alpn_protocols: ['h2', 'http/1.1'],
        tls_params: { tls_minimum_protocol_version: 'TLSv1_2' },
        tls_certificate_sds_secret_configs: [
          {
            name: 'server',
            sds_config: { resource_api_version: 'V3', path_config_source: { path: sdsFile } },
          },
        ],
      },
    },
  );
}
