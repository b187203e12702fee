import { describe, expect, it } from '@jest/globals';
import { Command } from 'commander';
import { addGrpcTlsOptions, readGrpcTls, type GrpcTlsFlags } from '../../src/cli/grpc-tls-flags.ts';

/** What a command line says of TLS, or why it says nothing. */
function read(...args: readonly string[]): unknown {
  let complaint = '';
  const command = addGrpcTlsOptions(new Command().option('--grpc-listen <address>', '', '127.0.0.1:9002'))
    .exitOverride()
    .configureOutput({ writeErr: (text) => (complaint += text) });
  try {
    return readGrpcTls(command.parse(args, { from: 'user' }).opts<GrpcTlsFlags>());
  } catch (error) {
    return complaint === '' ? String(error) : complaint;
  }
}

const cert = ['--grpc-tls-cert', '/tls/tls.crt'];
const key = ['--grpc-tls-key', '/tls/tls.key'];
const selfSigned = ['--grpc-tls', 'self-signed'];
const unix = ['--grpc-listen', 'unix:/run/sluice/grpc.sock'];

describe('readGrpcTls()', () => {
  it.each([
    ['nothing', [], undefined],
    ['nothing beside a Unix socket', unix, undefined],
    ['two files', [...cert, ...key], { kind: 'files', certFile: '/tls/tls.crt', keyFile: '/tls/tls.key' }],
    ['a certificate of its own', selfSigned, { kind: 'self-signed' }],
  ])('understands %s', (_, args, expected) => {
    expect(read(...args)).toEqual(expected);
  });

  it.each([
    [
      'a certificate without a key',
      cert,
      'Error: Cannot use --grpc-tls-cert "/tls/tls.crt" without --grpc-tls-key: they belong together',
    ],
    [
      'a key without a certificate',
      key,
      'Error: Cannot use --grpc-tls-key "/tls/tls.key" without --grpc-tls-cert: they belong together',
    ],
    [
      'files on a Unix socket',
      [...cert, ...key, ...unix],
      'Error: Cannot serve TLS on "unix:/run/sluice/grpc.sock": a Unix socket needs none; leave out the options of TLS, or listen on host:port',
    ],
    ['a certificate of its own on a Unix socket', [...selfSigned, ...unix], 'Cannot serve TLS on "unix:'],
    ['both', [...selfSigned, ...cert, ...key], "option '--grpc-tls <certificate>' cannot be used with"],
    ['another word', ['--grpc-tls', 'on'], "argument 'on' is invalid. Allowed choices are self-signed."],
  ])('refuses %s', (_, args, message) => {
    expect(read(...args)).toContain(message);
  });
});
