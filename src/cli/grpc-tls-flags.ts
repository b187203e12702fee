/** The options that put TLS on the port where Envoy reaches Sluice. */
import { Option, type Command } from 'commander';
import type { AppOptions } from '../app.ts';

/** As commander parses them. */
export interface GrpcTlsFlags {
  readonly grpcListen: string;
  readonly grpcTls?: 'self-signed';
  readonly grpcTlsCert?: string;
  readonly grpcTlsKey?: string;
}

/** Adds the options to a command that has --grpc-listen. */
export function addGrpcTlsOptions(command: Command): Command {
  return command
    .option(
      '--grpc-tls-cert <file>',
      'serve Envoy over TLS with this certificate and those above it, in PEM; read again when it changes',
    )
    .option('--grpc-tls-key <file>', 'its private key, in PEM')
    .addOption(
      new Option('--grpc-tls <certificate>', 'serve Envoy over TLS with a certificate of its own making')
        .choices(['self-signed'])
        .conflicts(['grpcTlsCert', 'grpcTlsKey']),
    );
}

/**
 * Where the certificate comes from; undefined where nothing was said of TLS.
 *
 * @throws Error that names the option that is missing, or has no meaning.
 */
export function readGrpcTls(flags: GrpcTlsFlags): AppOptions['grpcTls'] {
  const { grpcListen, grpcTls, grpcTlsCert: certFile, grpcTlsKey: keyFile } = flags;
  if (grpcTls === undefined && certFile === undefined && keyFile === undefined) return undefined;
  if (grpcListen.startsWith('unix:')) {
    throw new Error(
      `Cannot serve TLS on "${grpcListen}": a Unix socket needs none; leave out the options of TLS, or listen on host:port`,
    );
  }
  if (grpcTls !== undefined) return { kind: grpcTls };
  if (certFile === undefined) throw withoutOther('--grpc-tls-key', keyFile, '--grpc-tls-cert');
  if (keyFile === undefined) throw withoutOther('--grpc-tls-cert', certFile, '--grpc-tls-key');
  return { kind: 'files', certFile, keyFile };
}

function withoutOther(option: string, file: string | undefined, missing: string): Error {
  return new Error(`Cannot use ${option} "${file ?? ''}" without ${missing}: they belong together`);
}
