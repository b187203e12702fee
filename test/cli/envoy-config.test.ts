import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { envoyConfigCommand } from '../../src/cli/envoy-config.ts';
import { downloadTimeoutMs, envoyBinary, testedEnvoyVersions } from '../support/envoy.ts';

let printed: string;

beforeEach(() => {
  printed = '';
  jest.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
});

afterEach(() => {
  jest.restoreAllMocks();
});

async function run(...args: string[]): Promise<string> {
  let complaint = '';
  const command = envoyConfigCommand()
    .exitOverride()
    .configureOutput({ writeErr: (text) => (complaint += text) });
  try {
    await command.parseAsync(args, { from: 'user' });
    return printed;
  } catch {
    return complaint;
  }
}

/** How the printed configuration has Envoy dial Sluice: the fields of its TLS socket, undefined where it has none. */
async function socketOf(...args: string[]): Promise<unknown> {
  printed = '';
  const { static_resources } = JSON.parse(await run('--format', 'json', ...args)) as {
    static_resources: { clusters: { name: string; transport_socket?: { typed_config: unknown } }[] };
  };
  return static_resources.clusters.find(({ name }) => name === 'ext_proc')?.transport_socket?.typed_config;
}

describe('envoyConfigCommand()', () => {
  it.each(testedEnvoyVersions)(
    'prints YAML that Envoy %s accepts as a file',
    async (version) => {
      const folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
      try {
        const file = path.join(folder, 'envoy.yaml');
        await writeFile(file, await run('--envoy-version', version));
        const { stdout } = await promisify(execFile)(await envoyBinary(version), [
          '--mode',
          'validate',
          '-c',
          file,
          '-l',
          'error',
        ]);
        expect(stdout).toContain('OK');
      } finally {
        await rm(folder, { recursive: true });
      }
    },
    downloadTimeoutMs,
  );

  it('has Envoy dial Sluice over TLS, and check that it is who it should be', async () => {
    const ca = ['--ext-proc-tls-ca', '/tls/ca.crt'];
    expect(await socketOf('--ext-proc', 'sluice.llm.svc:9002', ...ca)).toMatchObject({
      sni: 'sluice.llm.svc',
      common_tls_context: {
        alpn_protocols: ['h2'],
        validation_context: {
          trusted_ca: { filename: '/tls/ca.crt' },
          match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: 'sluice.llm.svc' } }],
        },
      },
    });
    const byAddress = await socketOf('--ext-proc', '10.0.0.7:9002', ...ca);
    expect(byAddress).not.toHaveProperty('sni');
    expect(byAddress).toHaveProperty('common_tls_context.validation_context.match_typed_subject_alt_names', [
      { san_type: 'IP_ADDRESS', matcher: { exact: '10.0.0.7' } },
    ]);
  });

  it('has Envoy believe any certificate of Sluice where it is told to', async () => {
    expect(await socketOf('--ext-proc', 'sluice.llm.svc:9002', '--ext-proc-tls-insecure')).toEqual({
      '@type': expect.stringMatching(/UpstreamTlsContext$/),
      sni: 'sluice.llm.svc',
      common_tls_context: { alpn_protocols: ['h2'] },
    });
  });

  it('has Envoy dial Sluice in plain text otherwise', async () => {
    expect(await socketOf()).toBeUndefined();
  });

  it('says the same in JSON', async () => {
    const yaml: unknown = parse(await run('--listen', '127.0.0.1:8080'));
    printed = '';
    expect(JSON.parse(await run('--listen', '127.0.0.1:8080', '--format', 'json'))).toEqual(yaml);
  });

  it('puts its options where they belong', async () => {
    const text = await run(
      ...['--listen', '[::1]:8080', '--ext-proc', 'unix:/run/sluice.sock', '--admin-port', '9999'],
      ...[
        '--max-body',
        '1MiB',
        '--max-message-timeout',
        '2m',
        '--retries',
        '1',
        '--per-try-idle-timeout',
        '30s',
      ],
      ...['--engine-ca', '/ca.pem', '--health-path', '/ready', '--trusted-hops', '1', '--access-log', 'off'],
      '--client-address',
    );
    for (const expected of [
      'address: ::1',
      'path: /run/sluice.sock',
      'port_value: 9999',
      'request_body_buffer_limit: 1048576',
      'max_message_timeout: 120s',
      'num_retries: 1',
      'per_try_idle_timeout: 30s',
      'filename: /ca.pem',
      'path: /ready',
      'xff_num_trusted_hops: 1',
      '- source.address',
    ]) {
      expect(text).toContain(expected);
    }
    expect(text).not.toContain('StdoutAccessLog');
  });

  it.each([
    [['--listen', 'nowhere'], 'Cannot use address "nowhere": expected host:port'],
    [['--listen', 'unix:/a'], 'Clients connect over TCP: expected host:port'],
    [['--envoy-version', 'new'], 'Cannot read Envoy version "new"'],
    [['--max-body', 'big'], '"big" is not a size'],
    [['--retries', '-1'], 'Expected a whole number from 0 to 10.'],
    [['--idle-timeout', 'long'], '"long" is not a duration'],
    [
      ['--ext-proc-tls-ca', '/ca', '--ext-proc', 'unix:/run/grpc.sock'],
      'Cannot dial "unix:/run/grpc.sock" over TLS: a Unix socket needs none',
    ],
    [
      ['--ext-proc-tls-ca', '/ca', '--ext-proc-tls-insecure'],
      "option '--ext-proc-tls-insecure' cannot be used with option '--ext-proc-tls-ca <file>'",
    ],
  ])('refuses %j', async (args, message) => {
    expect(await run(...args)).toContain(message);
  });
});
