import { describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { rootCertificates } from 'node:tls';
import { promisify } from 'node:util';
import { envoyBootstrap, type BootstrapOptions } from '../../src/envoy/bootstrap.ts';
import { parseEnvoyVersion } from '../../src/envoy/version.ts';
import { makeCertificate } from '../support/certificates.ts';
import { downloadTimeoutMs, envoyBinary, testedEnvoyVersions } from '../support/envoy.ts';

const { certFile } = makeCertificate('DNS:sluice.default.svc');

const required: BootstrapOptions = {
  listen: { kind: 'tcp', host: '0.0.0.0', port: 8001 },
  extProc: { kind: 'tcp', host: '127.0.0.1', port: 9002 },
  engineTls: { kind: 'insecure' },
};

const choices: readonly (readonly [string, Partial<BootstrapOptions>])[] = [
  ['the defaults', {}],
  ['Sluice behind a Unix socket', { extProc: { kind: 'unix', path: '/run/sluice/grpc.sock' } }],
  ['Sluice behind a name', { extProc: { kind: 'tcp', host: 'sluice.default.svc', port: 9002 } }],
  [
    'Sluice behind a name, over TLS',
    {
      extProc: { kind: 'tcp', host: 'sluice.default.svc', port: 9002 },
      extProcTls: { kind: 'verify', caFile: certFile },
    },
  ],
  ['Sluice behind an address, over TLS', { extProcTls: { kind: 'verify', caFile: certFile } }],
  ['Sluice over TLS, unchecked', { extProcTls: { kind: 'insecure' } }],
  ['admin on a Unix socket', { admin: { kind: 'unix', path: '/run/sluice/admin.sock' } }],
  ['IPv6', { listen: { kind: 'tcp', host: '::', port: 8001 } }],
  ['JSON lines', { accessLog: 'json' }],
  ['no lines', { accessLog: 'off' }],
  ['verified engines', { engineTls: { kind: 'verify', caPem: rootCertificates[0]! } }],
  [
    'no bounds of time, and no retries',
    { requestTimeoutMs: 0, idleTimeoutMs: 0, perTryIdleTimeoutMs: 0, retries: 0, trustedHops: 2 },
  ],
];

describe('envoyBootstrap()', () => {
  it.each(testedEnvoyVersions)(
    'passes the validation of Envoy %s whatever is chosen',
    async (version) => {
      const binary = await envoyBinary(version);
      const folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
      try {
        for (const [index, [, choice]] of choices.entries()) {
          const file = path.join(folder, `${index}.json`);
          const bootstrap = envoyBootstrap({ ...required, ...choice, version: parseEnvoyVersion(version) });
          await writeFile(file, JSON.stringify(bootstrap));
          const { stdout } = await promisify(execFile)(binary, [
            '--mode',
            'validate',
            '-c',
            file,
            '-l',
            'error',
          ]);
          expect(stdout).toContain('OK');
        }
      } finally {
        await rm(folder, { recursive: true });
      }
    },
    downloadTimeoutMs,
  );

  it.each([
    ['1.37.0', false],
    ['1.38.0', true],
  ])('for Envoy %s reads usage from responses: %s', (version, expected) => {
    const text = JSON.stringify(envoyBootstrap({ ...required, version: parseEnvoyVersion(version) }));
    expect(text.includes('sse_to_metadata')).toBe(expected);
  });

  it('bounds bodies per connection where Envoy cannot do it per route', () => {
    const version = parseEnvoyVersion('1.36.4');
    const bootstrap = envoyBootstrap({ ...required, version, maxBodyBytes: 5_000_000 });
    expect(bootstrap).toHaveProperty(
      'static_resources.listeners.0.per_connection_buffer_limit_bytes',
      5_000_000,
    );
    expect(JSON.stringify(bootstrap)).not.toContain('request_body_buffer_limit');
  });

  it('keeps the admin pages on loopback unless told otherwise', () => {
    expect(envoyBootstrap(required)).toHaveProperty('admin.address.socket_address.address', '127.0.0.1');
  });

  it('chooses endpoints by metadata, which clients cannot write, and never by a header', () => {
    expect(envoyBootstrap(required)).toHaveProperty(
      'static_resources.clusters.1.load_balancing_policy.policies.0.typed_extension_config.typed_config.override_host_sources',
      [{ metadata: { key: 'envoy.lb', path: [{ key: 'x-gateway-destination-endpoint' }] } }],
    );
  });
});
