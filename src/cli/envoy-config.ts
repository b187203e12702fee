/** `sluice envoy-config`: prints the configuration for an Envoy that somebody else runs. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { stringify } from 'yaml';
import type { ZodType } from 'zod';
import { duration, size } from '../config/units.ts';
import { parseSocketAddress, type SocketAddress } from '../envoy/address.ts';
import { envoyBootstrap, type BootstrapOptions } from '../envoy/bootstrap.ts';
import { engineTls } from '../envoy/engine-tls.ts';
import {
  formatEnvoyVersion,
  managedEnvoyVersion,
  parseEnvoyVersion,
  type EnvoyVersion,
} from '../envoy/version.ts';

interface EnvoyConfigFlags {
  readonly listen: SocketAddress;
  readonly extProc: SocketAddress;
  readonly extProcTlsCa?: string;
  readonly extProcTlsInsecure?: boolean;
  readonly envoyVersion: EnvoyVersion;
  readonly adminPort: number;
  readonly format: 'yaml' | 'json';
  readonly maxBody: number;
  readonly accessLog: NonNullable<BootstrapOptions['accessLog']>;
  readonly messageTimeout: number;
  readonly maxMessageTimeout: number;
  readonly retries: number;
  readonly perTryIdleTimeout: number;
  readonly idleTimeout: number;
  readonly requestTimeout: number;
  readonly connectTimeout: number;
  readonly healthPath: string;
  readonly healthInterval: number;
  readonly engineCa?: string;
  readonly engineTlsInsecure: boolean;
  readonly trustedHops: number;
  readonly clientAddress: boolean;
  readonly tlsSds?: string;
}

/** The command; writes the configuration to standard output. */
export function envoyConfigCommand(): Command {
  const zero = duration({ zero: true });
  const options = [
    option('--listen <host:port>', 'where Envoy listens for clients', tcpAddress, '0.0.0.0:8001'),
    option(
      '--ext-proc <address>',
      'where Sluice serves gRPC: host:port or unix:/path',
      address,
      '127.0.0.1:9002',
    ),
    new Option(
      '--ext-proc-tls-ca <file>',
      'dial Sluice over TLS; authorities of its certificate, in PEM, or the certificate itself',
    ),
    new Option('--ext-proc-tls-insecure', 'dial Sluice over TLS without checking its certificate').conflicts(
      'extProcTlsCa',
    ),
    option(
      '--envoy-version <x.y.z>',
      'the Envoy that will run it',
      version,
      formatEnvoyVersion(managedEnvoyVersion),
    ),
    option('--admin-port <port>', "port of Envoy's admin pages on 127.0.0.1", count(65_535), '9901'),
    new Option('--format <format>', 'how to print it').choices(['yaml', 'json']).default('yaml'),
    option('--max-body <size>', 'largest request body', unit(size()), '16MiB'),
    new Option('--access-log <format>', 'a line for each exchange on standard output')
      .choices(['text', 'json', 'off'])
      .default('text'),
    option(
      '--message-timeout <duration>',
      "longest wait for each of Sluice's answers",
      unit(duration()),
      '10s',
    ),
    option(
      '--max-message-timeout <duration>',
      'how far Sluice may extend it for a queue',
      unit(duration()),
      '5m',
    ),
    option('--retries <count>', 'other endpoints tried where one fails before it answers', count(10), '2'),
    option(
      '--per-try-idle-timeout <duration>',
      'longest silence of one engine; 0 means no bound',
      unit(zero),
      '5m',
    ),
    option(
      '--idle-timeout <duration>',
      'longest silence of an exchange; 0 means no bound',
      unit(zero),
      '10m',
    ),
    option('--request-timeout <duration>', 'longest exchange; 0 means no bound', unit(zero), '0'),
    option('--connect-timeout <duration>', 'longest time to connect to an engine', unit(duration()), '1s'),
    option('--health-path <path>', 'what a working engine answers 200 to', String, '/health'),
    option('--health-interval <duration>', 'between two health checks of an engine', unit(duration()), '2s'),
    new Option(
      '--engine-ca <file>',
      "authorities of https:// engines' certificates, in PEM (default: the system's)",
    ),
    new Option('--engine-tls-insecure', "do not check https:// engines' certificates").default(false),
    option('--trusted-hops <count>', 'proxies in front of Envoy that write X-Forwarded-For', count(100), '0'),
    new Option('--client-address', 'tell Sluice the address of each client').default(false),
    new Option(
      '--tls-sds <file>',
      "speak TLS with clients; a file of Envoy's secret discovery names the certificate, as resource `server`",
    ),
  ];
  const command = new Command('envoy-config').description(
    'Print a bootstrap for an Envoy that you run yourself, in front of `sluice serve`',
  );
  for (const each of options) command.addOption(each);
  return command.action((flags: EnvoyConfigFlags) => {
    if (flags.extProc.kind === 'unix' && extProcTls(flags).kind !== 'plain') {
      command.error(
        `error: Cannot dial "unix:${flags.extProc.path}" over TLS: a Unix socket needs none; leave out the options of TLS`,
      );
    }
    process.stdout.write(render(flags));
  });
}

/** An option whose default is written as a user would write it. */
function option(
  flags: string,
  description: string,
  parse: (text: string) => unknown,
  written: string,
): Option {
  return new Option(flags, description).argParser(parse).default(parse(written), written);
}

function render(flags: EnvoyConfigFlags): string {
  const bootstrap = envoyBootstrap({
    listen: flags.listen,
    extProc: flags.extProc,
    extProcTls: extProcTls(flags),
    engineTls: engineTls({ caFile: flags.engineCa, insecureSkipVerify: flags.engineTlsInsecure }),
    version: flags.envoyVersion,
    admin: { kind: 'tcp', host: '127.0.0.1', port: flags.adminPort },
    maxBodyBytes: flags.maxBody,
    accessLog: flags.accessLog,
    messageTimeoutMs: flags.messageTimeout,
    maxMessageTimeoutMs: flags.maxMessageTimeout,
    retries: flags.retries,
    perTryIdleTimeoutMs: flags.perTryIdleTimeout,
    idleTimeoutMs: flags.idleTimeout,
    requestTimeoutMs: flags.requestTimeout,
    connectTimeoutMs: flags.connectTimeout,
    healthPath: flags.healthPath,
    healthIntervalMs: flags.healthInterval,
    trustedHops: flags.trustedHops,
    clientAddress: flags.clientAddress,
    tlsSds: flags.tlsSds,
  });
  if (flags.format === 'json') return `${JSON.stringify(bootstrap, null, 2)}\n`;
  const header = `# Envoy ${formatEnvoyVersion(flags.envoyVersion)} in front of Sluice, printed by \`sluice envoy-config\`.\n`;
  return header + stringify(bootstrap, { aliasDuplicateObjects: false, lineWidth: 0 });
}

function extProcTls({
  extProcTlsCa: caFile,
  extProcTlsInsecure,
}: EnvoyConfigFlags): NonNullable<BootstrapOptions['extProcTls']> {
  if (caFile !== undefined) return { kind: 'verify', caFile };
  return { kind: extProcTlsInsecure === true ? 'insecure' : 'plain' };
}

function address(text: string): SocketAddress {
  return argument(() => parseSocketAddress(text));
}

function tcpAddress(text: string): SocketAddress {
  const parsed = address(text);
  if (parsed.kind === 'tcp') return parsed;
  throw new InvalidArgumentError('Clients connect over TCP: expected host:port');
}

function version(text: string): EnvoyVersion {
  return argument(() => parseEnvoyVersion(text));
}

function count(max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from 0 to ${max}.`);
  };
}

function unit(type: ZodType<number>): (text: string) => number {
  return (text) => {
    const result = type.safeParse(text);
    if (result.success) return result.data;
    throw new InvalidArgumentError(result.error.issues[0]!.message);
  };
}

function argument<Value>(parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}
