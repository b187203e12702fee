/** `sluice router`: the scheduler with an Envoy of its own. */
import { Command } from 'commander';
import { startRouter } from '../router.ts';
import { addAppOptions, parsePort, readAppOptions, type AppFlags } from './app-options.ts';
import { runApp } from './run-app.ts';

interface RouterFlags extends AppFlags {
  readonly host: string;
  readonly port: number;
  readonly envoyBin?: string;
}

/** The command; its action ends when a signal has stopped everything. */
export function routerCommand(): Command {
  return addAppOptions(
    new Command('router').description('Route clients to engines, with an Envoy that Sluice runs itself'),
  )
    .option('--host <address>', 'address where clients connect', '0.0.0.0')
    .option('--port <port>', 'port where clients connect', parsePort, 8001)
    .option(
      '--envoy-bin <file>',
      'the Envoy to run (default: ENVOY_BIN, .venv, `sluice install-envoy`, PATH)',
    )
    .action(async (flags: RouterFlags) => {
      const { host, port, envoyBin } = flags;
      const listen = host.includes(':') && !host.startsWith('[') ? `[${host}]:${port}` : `${host}:${port}`;
      await runApp(async (signal) =>
        startRouter({ ...(await readAppOptions(flags, process.env, signal)), listen, envoyBin }),
      );
    });
}
