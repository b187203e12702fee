/** The options that `serve` and `router` share, and what they make of the configuration: flags beat the file. */
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import {
  loadConfig,
  parseConfigMap,
  type Environment,
  type LoadedConfig,
  type LoadOptions,
} from '../config/load.ts';
import type { Written } from '../config/written.ts';
import { createLogger, logLevels, type Logger, type LogFormat, type LogLevel } from '../observability/log.ts';
import { findConfigMap, readConfigMap } from './config-map.ts';
import {
  addDiscoveryOptions,
  discoveryBelowFile,
  discoveryFromFlags,
  type DiscoveryFlags,
} from './discovery-flags.ts';

/** As commander parses them. */
export interface AppFlags extends DiscoveryFlags {
  readonly config?: string;
  readonly configMap?: string;
  readonly lenient?: boolean;
  readonly adminHost?: string;
  readonly adminPort?: number;
  readonly logLevel?: LogLevel;
  readonly logFormat?: LogFormat;
}

/** Adds the shared options to a command. */
export function addAppOptions(command: Command): Command {
  command
    .option(
      '--config <path>',
      'configuration: a YAML file, a ConfigMap manifest, or a mounted ConfigMap folder',
    )
    .addOption(
      new Option(
        '--config-map <name>',
        'configuration: a ConfigMap that the Kubernetes API has, as namespace/name',
      ).conflicts('config'),
    )
    .option('--lenient', 'only warn of what Kthena would silently ignore in the configuration');
  return addDiscoveryOptions(command)
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
  /** The file or folder to watch; undefined where there is none. */
  readonly source?: string | undefined;
  /** Watches where else the configuration comes from; the result ends it. */
  readonly watch?: (onChange: () => void) => () => void;
  readonly reload: () => LoadedConfig;
  /** Absent: to be created from the configuration. */
  readonly log?: Logger;
}

/**
 * Reads the configuration: flags beat the file, the file beats the environment. A ConfigMap is waited for.
 *
 * @throws ConfigError; an Error that names the flag, or what cannot be found; what aborts the signal.
 */
export async function readAppOptions(
  flags: AppFlags,
  env: Environment,
  signal: AbortSignal,
): Promise<ReadOptions> {
  const options: LoadOptions = {
    env,
    base: (file) => discoveryBelowFile(flags, file),
    flags: writtenFlags(flags),
    lenient: flags.lenient ?? false,
  };
  if (flags.configMap === undefined) {
    const load = (refuseEmpty: boolean): LoadedConfig =>
      loadConfig(flags.config, { ...options, refuseEmpty });
    return { loaded: load(false), source: flags.config, reload: () => load(true) };
  }
  const source = await findConfigMap(flags.configMap, env);
  const { logLevel: level = 'info', logFormat: format = 'auto' } = flags;
  return readConfigMap(
    source,
    {
      load: (texts, refuseEmpty) => parseConfigMap(texts, source.name, { ...options, refuseEmpty }),
      log: createLogger({ level, format }),
      createLog: ({ config }) => createLogger(config.log),
    },
    signal,
  );
}

/** The flags, as the configuration file would say it. */
function writtenFlags(flags: AppFlags): Written {
  const { adminHost, adminPort, logLevel, logFormat } = flags;
  return given({
    admin: given({ host: adminHost, port: adminPort }),
    log: given({ level: logLevel, format: logFormat }),
    discovery: discoveryFromFlags(flags),
  });
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
