#!/usr/bin/env -S node --max-semi-space-size=1
/** Parses the command line, runs one command, and turns an error into an exit code. */
import { Command } from 'commander';
import { checkCommand } from './cli/check.ts';
import { envoyConfigCommand } from './cli/envoy-config.ts';
import { installEnvoyCommand } from './cli/install-envoy.ts';
import { routerCommand } from './cli/router.ts';
import { serveCommand } from './cli/serve.ts';
import { simulateCommand } from './cli/simulate.ts';
import { packageVersion } from './version.ts';

const program = new Command('sluice')
  .description('A scheduler for LLM inference behind Envoy')
  .version(await packageVersion())
  .addCommand(routerCommand())
  .addCommand(serveCommand())
  .addCommand(checkCommand())
  .addCommand(envoyConfigCommand())
  .addCommand(installEnvoyCommand())
  .addCommand(simulateCommand());

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`sluice: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
