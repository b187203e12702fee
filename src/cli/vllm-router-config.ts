/**
 * The configuration of a vllm-router: its command line, or the dynamic configuration that takes the place of what the
 * command line says of discovery and routing, over a configuration of Sluice for everything else.
 */
import { ConfigError, type ConfigFault } from '../config/config-error.ts';
import { aliasFaults } from '../config/dialects/vllm-router-aliases.ts';
import { schedulerFor } from '../config/dialects/vllm-router-logics.ts';
import { vllmRouter, vllmRouterByModel } from '../config/dialects/vllm-router.ts';
import { loadConfig, parseConfig, type Environment, type LoadedConfig } from '../config/load.ts';
import { readConfigSource } from '../config/source/config-source.ts';
import { isMapping, layered, valueAt, type Written } from '../config/written.ts';
import {
  dynamicConfigOf,
  optionFault,
  readCommandLine,
  type CommandLine,
  type PluginArgs,
} from './vllm-router-command-line.ts';
import { optionOf, type VllmRouterFlags } from './vllm-router-options.ts';

/** What a vllm-router starts with, and how it is read again. */
export interface VllmRouterOptions {
  /** Where clients connect, `host:port`. */
  readonly listen: string;
  readonly envoyBin: string | undefined;
  readonly loaded: LoadedConfig;
  /** The file to watch: that of the dynamic configuration, where there is one. */
  readonly source: string | undefined;
  readonly reload: () => LoadedConfig;
  /** Whether there is a dynamic configuration, which `/health` shows. */
  readonly reflectsConfig: boolean;
}

/**
 * Reads the command line, and the files that it names.
 *
 * @throws Error with all faults of the command line; ConfigError with all of a file; Error where there is nothing to read.
 */
export function readVllmRouterOptions(flags: VllmRouterFlags, env: Environment): VllmRouterOptions {
  const commandLine = checkedCommandLine(flags, env);
  const dynamicConfig = dynamicConfigOf(flags);
  const load = (refuseEmpty: boolean): LoadedConfig => {
    const file = flags.config === undefined ? undefined : loadConfig(flags.config, { refuseEmpty });
    return dynamicConfig === undefined
      ? fromCommandLine(commandLine, file)
      : fromDynamicConfig(dynamicConfig, commandLine, file?.written ?? {});
  };
  return {
    listen: commandLine.listen,
    envoyBin: flags.envoyBin,
    loaded: load(false),
    source: dynamicConfig ?? flags.config,
    reload: () => load(true),
    reflectsConfig: dynamicConfig !== undefined,
  };
}

/** The name of the command line in faults. */
const itself = 'command line';

function checkedCommandLine(flags: VllmRouterFlags, env: Environment): CommandLine {
  const { faults, ...commandLine } = readCommandLine(flags, env);
  const told = new Set(faults.map(({ path }) => path));
  const others =
    dynamicConfigOf(flags) === undefined ? faultsOfRouting(commandLine) : faultsBesideFile(commandLine);
  const lines = [...faults, ...others.filter(({ path }) => !told.has(path))].map(
    ({ path, message }) => `  ${path}: ${message}`,
  );
  if (lines.length === 0) return commandLine;
  const all = [...new Set(lines)];
  const count = all.length === 1 ? '1 fault' : `${all.length} faults`;
  throw new Error([`Cannot use the command line: ${count}`, ...all].join('\n'));
}

function faultsOfRouting(commandLine: CommandLine): readonly ConfigFault[] {
  try {
    fromCommandLine(commandLine, undefined);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
}

function faultsBesideFile({ routing }: CommandLine): readonly ConfigFault[] {
  return aliasFaults(routing['static_aliases']).map(({ message }) =>
    optionFault(optionOf('static_aliases'), message),
  );
}

/** The command line is read as a dynamic configuration that nobody wrote to a file. */
function fromCommandLine(
  { routing, settings, defaults, kubernetes, pluginConfig }: CommandLine,
  file: LoadedConfig | undefined,
): LoadedConfig {
  const discovery = kubernetesSettings(routing, kubernetes);
  const under = file?.written ?? {};
  try {
    const loaded = parseConfig(JSON.stringify(routing), itself, {
      base: layered(defaults, under),
      flags: layered(settings, discovery, withPlugins(under, routing['routing_logic'], pluginConfig)),
    });
    const form = file === undefined ? '' : ` over ${file.form}`;
    return { ...loaded, file: file?.file, form: `vllm-router command line${form}` };
  } catch (error) {
    if (error instanceof ConfigError) throw new ConfigError(itself, error.faults.map(namedByOption));
    throw error;
  }
}

/** What has a place in the text was said by an option; the text itself is of our making. */
function namedByOption(fault: ConfigFault): ConfigFault {
  if (fault.file !== itself || fault.line === 0) return fault;
  return optionFault(optionOf(/^\w*/.exec(fault.path)?.[0] ?? ''), fault.message);
}

/** What the command line says beside `routing` of discovery in Kubernetes, where discovery is that. */
function kubernetesSettings(routing: Written, kubernetes: Written): Written {
  return isKubernetes(routing) ? { discovery: { kubernetes } } : {};
}

function isKubernetes(routing: Written): boolean {
  return routing['service_discovery'] === 'k8s';
}

/** What of the command line counts beside a dynamic configuration that does not say it. */
const keptFields = [
  'static_aliases',
  'static_backend_health_checks',
  'static_backend_health_check_interval',
  'static_backend_health_check_timeout_seconds',
];

function fromDynamicConfig(
  path: string,
  { routing, settings, defaults, kubernetes, pluginConfig }: CommandLine,
  under: Written,
): LoadedConfig {
  const root = dynamicRoot(path);
  const kept = keptFields
    .filter((field) => routing[field] !== undefined && (root[field] ?? undefined) === undefined)
    .map((field) => [field, routing[field]] as const);
  // Checks are for listed engines.
  const service_discovery = isKubernetes(root) ? null : 'static';
  const besides = vllmRouter.toSluice({ service_discovery, ...Object.fromEntries(kept) });
  return loadConfig(path, {
    base: layered(defaults, under, besides, settings, kubernetesSettings(root, kubernetes)),
    flags: withPlugins(under, root['routing_logic'], pluginConfig),
    refuseEmpty: true,
  });
}

/** `/health` shows clients all that the file says, so nothing but a dynamic configuration may be in it. */
function dynamicRoot(path: string): Written {
  const source = readConfigSource(path);
  const { file, root } = source;
  if (Object.keys(root).length === 0 || [vllmRouter, vllmRouterByModel].some((form) => form.recognises(root)))
    return root;
  const message =
    'is not a dynamic configuration, which has service_discovery and routing_logic; one of Sluice is for --config';
  throw new ConfigError(file, [{ file, ...source.position([]), path: '', message }]);
}

/** Parameters of plugins from everywhere: a later one beats an earlier one, parameter by parameter. */
function withPlugins(under: Written, logic: unknown, pluginConfig: readonly PluginArgs[]): Written {
  const args = new Map<string, Written>();
  for (const entry of [
    ...pluginConfigOf(under),
    ...pluginConfigOf({ scheduler: schedulerFor(logic) }),
    ...pluginConfig,
  ])
    args.set(entry.name, withArgs(args.get(entry.name) ?? {}, entry.args));
  return args.size === 0
    ? {}
    : { scheduler: { pluginConfig: [...args].map(([name, own]) => ({ name, args: own })) } };
}

/** What is below is checked before: it is left out where it cannot be read. */
function pluginConfigOf(config: Written): PluginArgs[] {
  const entries = valueAt(config, ['scheduler', 'pluginConfig']);
  if (!Array.isArray(entries)) return [];
  return entries.flatMap((entry: unknown) => {
    if (!isMapping(entry) || typeof entry['name'] !== 'string') return [];
    return [{ name: entry['name'], args: isMapping(entry['args']) ? entry['args'] : {} }];
  });
}

/** Names of parameters are the same in upper and lower case. */
function withArgs(below: Written, above: Written): Written {
  const given = new Set(Object.keys(above).map((name) => name.toLowerCase()));
  const left = Object.entries(below).filter(([name]) => !given.has(name.toLowerCase()));
  return { ...Object.fromEntries(left), ...above };
}
