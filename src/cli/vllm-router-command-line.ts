/** What a command line of vllm-router says, and all that is wrong with it. */
import type { ConfigFault } from '../config/config-error.ts';
import { notInRange, shown } from '../config/describe-issue.ts';
import { notOneOf, stated } from '../config/dialects/vllm-router-values.ts';
import { engineApiKey } from '../config/sections/scrape.ts';
import type { Environment } from '../config/load.ts';
import type { Written } from '../config/written.ts';
import { isNumeric, parseSocketAddress } from '../envoy/address.ts';
import type { LogFormat, LogLevel } from '../observability/log.ts';
import { optionOf, type VllmRouterFlags } from './vllm-router-options.ts';
import { refusalsOf } from './vllm-router-refusals.ts';

export interface CommandLine {
  /** Where clients connect, `host:port`. */
  readonly listen: string;
  /** Discovery and routing, as a dynamic configuration would say it. */
  readonly routing: Written;
  /** What else is said, in Sluice's own form. */
  readonly settings: Written;
  /** What vllm-router's defaults are where Sluice has others, in Sluice's own form. */
  readonly defaults: Written;
  /** What else is said of discovery in Kubernetes, in Sluice's own form; it counts where discovery is that. */
  readonly kubernetes: Written;
  /** Parameters of plugins, as `scheduler.pluginConfig` has them, for whatever routing logic uses these. */
  readonly pluginConfig: readonly PluginArgs[];
}

export interface PluginArgs {
  readonly name: string;
  readonly args: Written;
}

interface Reading extends CommandLine {
  /** At most one for each option. Discovery and routing are not checked yet. */
  readonly faults: readonly ConfigFault[];
}

/** Reads the options, and `VLLM_API_KEY`. What is wrong is left out of the rest. */
export function readCommandLine(flags: VllmRouterFlags, env: Environment): Reading {
  const numbers = readNumbers(flags);
  const choices = readChoices(flags);
  const listen = readListen(flags.host ?? '0.0.0.0', numbers.values.port ?? 8001);
  const apiKey = readApiKey(env);
  return {
    listen: listen.value,
    routing: routingOf(flags, numbers.values),
    settings: settingsOf(flags, numbers.values, choices.values),
    defaults: {
      scrape: stated({ interval: '30s', apiKey: apiKey.value }),
      stats: { window: '60s', routingLog: true, vllmNames: true },
      log: { level: 'info', format: 'pretty' },
      routes: { metrics: true },
      admin: { port: 0 },
    },
    kubernetes: kubernetesOf(numbers.values),
    pluginConfig: pluginConfigOf(numbers.values),
    faults: [
      ...listen.faults,
      ...numbers.faults,
      ...choices.faults,
      ...discoveryFaults(flags),
      ...twoFiles(flags),
      ...refusalsOf({ ...flags }).map(([option, message]) => optionFault(option, message)),
      ...apiKey.faults,
    ],
  };
}

/** A fault as it is told. */
export function optionFault(option: string, message: string): ConfigFault {
  return { file: 'command line', line: 0, column: 0, path: option, message };
}

/** Seconds beyond a day are a mistake. */
const seconds = { least: 1, greatest: 86_400 };
/** As `stats.window` has it. */
const windowSeconds = { least: 1, greatest: 3600 };

/** Bytes that are looked at where nothing else is configured, and at most. */
const blockBytes = 64;
const usualBytes = 128 * blockBytes;
const mostBytes = 4096 * blockBytes;

const ranges = {
  port: { least: 0, greatest: 65_535 },
  staticBackendHealthCheckInterval: seconds,
  staticBackendHealthCheckTimeoutSeconds: seconds,
  k8sPort: { least: 1, greatest: 65_535 },
  k8sWatcherTimeoutSeconds: { least: 0, greatest: seconds.greatest },
  backendHealthCheckTimeoutSeconds: seconds,
  prefixMinMatchLength: { least: 0, greatest: mostBytes },
  maxInstanceFailoverRerouteAttempts: { least: 0, greatest: 10 },
  engineStatsInterval: seconds,
  requestStatsWindow: windowSeconds,
  logStatsInterval: seconds,
  adminPort: { least: 0, greatest: 65_535 },
} satisfies { readonly [Option in keyof VllmRouterFlags]?: { least: number; greatest: number } };

type Numbers = Readonly<Partial<Record<keyof typeof ranges, number>>>;

function readNumbers(flags: VllmRouterFlags): { values: Numbers; faults: ConfigFault[] } {
  const values: Partial<Record<keyof typeof ranges, number>> = {};
  const faults: ConfigFault[] = [];
  for (const option of Object.keys(ranges) as (keyof typeof ranges)[]) {
    const text = flags[option];
    if (text === undefined) continue;
    const range = ranges[option];
    const number = /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
    if (Number.isInteger(number) && number! >= range.least && number! <= range.greatest)
      values[option] = number!;
    else faults.push(optionFault(optionOf(option), notInRange(number ?? text, { ...range, whole: true })));
  }
  return { values, faults };
}

const logLevels: Readonly<Record<string, LogLevel>> = {
  critical: 'fatal',
  error: 'error',
  warning: 'warn',
  info: 'info',
  debug: 'debug',
  trace: 'trace',
};

const logFormats: Readonly<Record<string, LogFormat>> = { text: 'pretty', json: 'json' };

const words = {
  logLevel: Object.keys(logLevels),
  logFormat: Object.keys(logFormats),
  k8sServiceDiscoveryType: ['pod-ip', 'service-name'],
} satisfies { readonly [Option in keyof VllmRouterFlags]?: readonly string[] };

type Choices = Readonly<Partial<Record<keyof typeof words, string>>>;

function readChoices(flags: VllmRouterFlags): { values: Choices; faults: ConfigFault[] } {
  const values: Partial<Record<keyof typeof words, string>> = {};
  const faults: ConfigFault[] = [];
  for (const option of Object.keys(words) as (keyof typeof words)[]) {
    const word = flags[option];
    if (word === undefined) continue;
    if (words[option].includes(word)) values[option] = word;
    else faults.push(optionFault(optionOf(option), notOneOf(word, words[option])));
  }
  return { values, faults };
}

function readListen(host: string, port: number): { value: string; faults: ConfigFault[] } {
  const value = host.includes(':') && !host.startsWith('[') ? `[${host}]:${port}` : `${host}:${port}`;
  if (isAddress(value)) return { value, faults: [] };
  const message = `${shown(host)} is not an address to listen on: write an IP address, like 0.0.0.0 or ::`;
  return { value, faults: [optionFault('--host', message)] };
}

function isAddress(listen: string): boolean {
  try {
    return isNumeric(parseSocketAddress(listen));
  } catch {
    return false;
  }
}

/** An empty variable is one that is not set. */
function readApiKey(env: Environment): { value: string | undefined; faults: ConfigFault[] } {
  const name = 'VLLM_API_KEY';
  const text = env[name];
  if (text === undefined || text === '') return { value: undefined, faults: [] };
  const { data, error } = engineApiKey.safeParse(text);
  const faults = error?.issues.map(({ message }) => ({
    ...optionFault(name, message),
    file: 'environment',
  }));
  return { value: data, faults: faults ?? [] };
}

const externalOnly =
  '"external-only" is not in Sluice, which sends requests to your own engines only: use "static", and name them with --static-backends';

const serviceName =
  '"service-name" sends to Services, behind which engines cannot be told apart: use "pod-ip"; or let `sluice router` follow the engines of a Service, which discovery.kubernetes.services names';

/** Where the command line decides: a dynamic configuration takes the place of what is said here. */
function discoveryFaults({
  serviceDiscovery,
  k8sServiceDiscoveryType,
  ...flags
}: VllmRouterFlags): ConfigFault[] {
  if (dynamicConfigOf(flags) !== undefined) return [];
  if (serviceDiscovery === 'external-only') return [optionFault('--service-discovery', externalOnly)];
  return serviceDiscovery === 'k8s' && k8sServiceDiscoveryType === 'service-name'
    ? [optionFault('--k8s-service-discovery-type', serviceName)]
    : [];
}

/** The file of the dynamic configuration. */
export function dynamicConfigOf({
  dynamicConfigJson,
  dynamicConfigYaml,
}: VllmRouterFlags): string | undefined {
  return dynamicConfigJson ?? dynamicConfigYaml;
}

function twoFiles({ dynamicConfigJson, dynamicConfigYaml }: VllmRouterFlags): ConfigFault[] {
  if (dynamicConfigJson === undefined || dynamicConfigYaml === undefined) return [];
  return [optionFault('--dynamic-config-yaml', 'stands beside --dynamic-config-json: give one of them')];
}

function routingOf(flags: VllmRouterFlags, numbers: Numbers): Written {
  return {
    // Also where they are missing: what a dynamic configuration needs shows what is one.
    service_discovery: flags.serviceDiscovery ?? null,
    routing_logic: flags.routingLogic ?? null,
    ...stated({
      static_backends: flags.staticBackends,
      static_models: flags.staticModels,
      static_aliases: flags.staticAliases,
      static_model_types: flags.staticModelTypes,
      static_model_labels: flags.staticModelLabels,
      static_backend_health_checks: flags.staticBackendHealthChecks,
      static_backend_health_check_interval: numbers.staticBackendHealthCheckInterval,
      static_backend_health_check_timeout_seconds: numbers.staticBackendHealthCheckTimeoutSeconds,
      session_key: flags.sessionKey,
      k8s_port: numbers.k8sPort,
      k8s_namespace: flags.k8sNamespace,
      k8s_label_selector: flags.k8sLabelSelector,
    }),
  };
}

function settingsOf(flags: VllmRouterFlags, numbers: Numbers, { logLevel, logFormat }: Choices): Written {
  const failovers = numbers.maxInstanceFailoverRerouteAttempts;
  return sections({
    scrape: { interval: inSeconds(numbers.engineStatsInterval) },
    stats: {
      window: inSeconds(numbers.requestStatsWindow),
      logInterval: flags.logStats === true ? inSeconds(numbers.logStatsInterval ?? 10) : undefined,
    },
    log: {
      level: logLevel === undefined ? undefined : logLevels[logLevel],
      format: logFormat === undefined ? undefined : logFormats[logFormat],
    },
    envoy: { retries: failovers },
    scheduler: { maxEndpoints: failovers === undefined ? undefined : failovers + 1 },
    admin: { host: flags.adminHost, port: numbers.adminPort },
  });
}

/** A watch that vllm-router would end after this time is given up after this time without a sign of life. */
function kubernetesOf({ k8sWatcherTimeoutSeconds: watcher = 0 }: Numbers): Written {
  return watcher === 0 ? {} : { silenceTimeout: inSeconds(Math.max(watcher, leastSilenceSeconds)) };
}

/** As `discovery.kubernetes.silenceTimeout` has it. */
const leastSilenceSeconds = 2;

/** Without fields, and then sections, that say nothing. */
function sections(all: Readonly<Record<string, Written>>): Written {
  const said = Object.entries(all).map(([name, fields]) => [name, stated(fields)] as const);
  return Object.fromEntries(said.filter(([, fields]) => Object.keys(fields).length > 0));
}

function inSeconds(count: number | undefined): string | undefined {
  return count === undefined ? undefined : `${count}s`;
}

function pluginConfigOf({ prefixMinMatchLength, requestStatsWindow }: Numbers): PluginArgs[] {
  const plugins: PluginArgs[] = [];
  if (prefixMinMatchLength !== undefined) {
    const minMatchBytes = prefixMinMatchLength;
    const maxBlocksToMatch = minMatchBytes > usualBytes ? Math.ceil(minMatchBytes / blockBytes) : undefined;
    plugins.push({ name: 'prefix-cache', args: stated({ minMatchBytes, maxBlocksToMatch }) });
  }
  if (requestStatsWindow !== undefined)
    plugins.push({ name: 'session-affinity', args: { statsWindowSeconds: requestStatsWindow } });
  return plugins;
}
