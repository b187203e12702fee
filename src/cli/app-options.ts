/** The options that `serve` and `router` share, and what they make of the configuration: flags beat the file. */
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { configuredBackends } from '../app.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { parseBackends, type StaticBackend } from '../discovery/static.ts';
import { logLevels, type LogFormat, type LogLevel } from '../observability/log.ts';

/** As commander parses them. */
export interface AppFlags {
  readonly config?: string;
  readonly serviceDiscovery: 'static';
  readonly staticBackends?: string;
  readonly staticModels?: string;
  readonly adminHost?: string;
  readonly adminPort?: number;
  readonly logLevel?: LogLevel;
  readonly logFormat?: LogFormat;
}

/** Adds the shared options to a command. */
export function addAppOptions(command: Command): Command {
  return command
    .option('--config <file>', 'configuration file (YAML)')
    .addOption(
      new Option('--service-discovery <kind>', 'where endpoints come from')
        .choices(['static'])
        .default('static'),
    )
    .option('--static-backends <urls>', 'engines, e.g. http://10.0.0.1:8000,http://10.0.0.2:8000')
    .option(
      '--static-models <names>',
      'the model of each engine, in the same order; without it engines are asked',
    )
    .option('--admin-host <address>', 'address of the admin pages (default: 127.0.0.1)')
    .option('--admin-port <port>', 'port of the admin pages, 0 for any (default: 9090)', parsePort)
    .addOption(new Option('--log-level <level>', 'least severe level that is logged').choices(logLevels))
    .addOption(
      new Option('--log-format <format>', 'auto is pretty on a terminal, JSON elsewhere').choices([
        'auto',
        'json',
        'pretty',
      ]),
    );
}

/** Reads the configuration and lays the flags over it. Throws ConfigError or an Error that names the flag. */
export function readAppOptions(flags: AppFlags): {
  readonly config: Config;
  readonly backends: readonly StaticBackend[];
} {
  const file = loadConfig(flags.config);
  const config: Config = {
    ...file,
    admin: { host: flags.adminHost ?? file.admin.host, port: flags.adminPort ?? file.admin.port },
    log: { ...file.log, level: flags.logLevel ?? file.log.level, format: flags.logFormat ?? file.log.format },
  };
  if (flags.staticBackends === undefined && flags.staticModels !== undefined) {
    throw new Error(
      'Cannot use --static-models without --static-backends: they belong together item by item',
    );
  }
  const backends =
    flags.staticBackends === undefined
      ? configuredBackends(config)
      : parseBackends(flags.staticBackends, flags.staticModels);
  return { config, backends };
}

/** A TCP port, 0 included. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535)
    throw new InvalidArgumentError('a port is a number from 0 to 65535');
  return port;
}
