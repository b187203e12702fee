/** `sluice serve`: the scheduler for an Envoy that somebody else runs. */
import { Command } from 'commander';
import { startServe } from '../app.ts';
import { addAppOptions, readAppOptions, type AppFlags } from './app-options.ts';
import { addGrpcTlsOptions, readGrpcTls, type GrpcTlsFlags } from './grpc-tls-flags.ts';
import { runApp } from './run-app.ts';

/** The command; its action ends when a signal has stopped everything. */
export function serveCommand(): Command {
  const command = addAppOptions(
    new Command('serve').description('Schedule for an Envoy that runs elsewhere'),
  ).option(
    '--grpc-listen <address>',
    'where Envoy reaches Sluice: host:port or unix:/path',
    '127.0.0.1:9002',
  );
  return addGrpcTlsOptions(command).action(async (flags: AppFlags & GrpcTlsFlags) => {
    const { grpcListen } = flags;
    const grpcTls = readGrpcTls(flags);
    await runApp(async (signal) =>
      startServe({ ...(await readAppOptions(flags, process.env, signal)), grpcListen, grpcTls }),
    );
  });
}
