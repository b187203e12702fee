/** The options that `serve` and `router` share, and what they make of the configuration: flags beat the file. */
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { loadConfig, type Environment, type LoadedConfig } from '../config/load.ts';
import type { Written } from '../config/written.ts';
import { parseBackends, type StaticBackend } from '../discovery/static.ts';
import { logLevels, type LogFormat, type LogLevel } from '../observability/log.ts';

/** As commander parses them. */
export interface AppFlags {
  readonly config?: string;
  readonly lenient?: boolean;
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
    .option(
      '--config <path>',
      'configuration: a YAML file, a ConfigMap manifest, or a mounted ConfigMap folder',
    )
    .option('--lenient', 'only warn of what Kthena would silently ignore in the configuration')
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

/** What `serve` and `router` start with, and how it is read again. */
export interface ReadOptions {
  readonly loaded: LoadedConfig;
  /** The file or folder to watch; undefined where everything comes from flags and the environment. */
  readonly source: string | undefined;
  readonly reload: () => LoadedConfig;
}

/**
 * Reads the configuration: flags beat the file, the file beats the environment.
 *
 * @throws ConfigError, or an Error that names the flag.
 */
export function readAppOptions(flags: AppFlags, env: Environment = process.env): ReadOptions {
  const options = { env, flags: writtenFlags(flags), lenient: flags.lenient ?? false };
  const load = (refuseEmpty: boolean): LoadedConfig => loadConfig(flags.config, { ...options, refuseEmpty });
  return { loaded: load(false), source: flags.config, reload: () => load(true) };
}

/** The flags, as the configuration file would say it. */
function writtenFlags(flags: AppFlags): Written {
  if (flags.staticBackends === undefined && flags.staticModels !== undefined) {
    throw new Error(
      'Cannot use --static-models without --static-backends: they belong together item by item',
    );
  }
  const { adminHost, adminPort, logLevel, logFormat, staticBackends, staticModels } = flags;
  return given({
    admin: given({ host: adminHost, port: adminPort }),
    log: given({ level: logLevel, format: logFormat }),
    discovery:
      staticBackends === undefined
        ? undefined
        : { static: { backends: parseBackends(staticBackends, staticModels).map(writtenBackend) } },
  });
}

function writtenBackend({ host, port, tls, models }: StaticBackend): Written {
  const authority = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return { url: `${tls ? 'https' : 'http'}://${authority}`, models };
}

/** Without the fields that nobody gave. */
function given(fields: Written): Written {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** A TCP port, 0 included. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535)
    throw new InvalidArgumentError('a port is a number from 0 to 65535');
  return port;
}
