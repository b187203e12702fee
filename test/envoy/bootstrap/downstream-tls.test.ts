import { describe, expect, it } from '@jest/globals';
import { listener } from '../../../src/envoy/bootstrap/listener.ts';
import { bootstrapSettings } from '../../../src/envoy/bootstrap/options.ts';

const settings = {
  listen: { kind: 'tcp', host: '127.0.0.1', port: 8443 },
  extProc: { kind: 'unix', path: '/run/sluice/grpc.sock' },
  engineTls: { kind: 'insecure' },
} as const;

function filterChain(more: object): object {
  const { filter_chains } = listener(bootstrapSettings({ ...settings, ...more })) as {
    filter_chains: [object];
  };
  return filter_chains[0];
}

describe('downstreamTls()', () => {
  it('shows clients the certificate that a file names, and speaks HTTP/2 with those who can', () => {
    expect(filterChain({ tlsSds: '/etc/envoy/tls.yaml' })).toMatchObject({
      transport_socket: {
        typed_config: {
          common_tls_context: {
            alpn_protocols: ['h2', 'http/1.1'],
            tls_certificate_sds_secret_configs: [
              { name: 'server', sds_config: { path_config_source: { path: '/etc/envoy/tls.yaml' } } },
            ],
          },
        },
      },
    });
  });

  it('is left out where there is no such file', () => {
    expect(filterChain({})).not.toHaveProperty('transport_socket');
  });
});
