/** The command line of vllm-router, as people have it. */
import { Option, type Command } from 'commander';
import { addRefusedOptions } from './vllm-router-refusals.ts';

/** As they were typed: what is wrong with them is told all at once, by readCommandLine. */
export interface VllmRouterFlags {
  readonly host?: string;
  readonly port?: string;
  readonly serviceDiscovery?: string;
  readonly staticBackends?: string;
  readonly staticModels?: string;
  readonly staticAliases?: string;
  readonly staticModelTypes?: string;
  readonly staticModelLabels?: string;
  readonly staticBackendHealthChecks?: boolean;
  readonly staticBackendHealthCheckInterval?: string;
  readonly staticBackendHealthCheckTimeoutSeconds?: string;
  readonly k8sServiceDiscoveryType?: string;
  readonly k8sPort?: string;
  readonly k8sNamespace?: string;
  readonly k8sLabelSelector?: string;
  readonly k8sWatcherTimeoutSeconds?: string;
  readonly backendHealthCheckTimeoutSeconds?: string;
  readonly routingLogic?: string;
  readonly sessionKey?: string;
  readonly prefixMinMatchLength?: string;
  readonly maxInstanceFailoverRerouteAttempts?: string;
  readonly engineStatsInterval?: string;
  readonly requestStatsWindow?: string;
  readonly logStats?: boolean;
  readonly logStatsInterval?: string;
  readonly logLevel?: string;
  readonly logFormat?: string;
  readonly dynamicConfigJson?: string;
  readonly dynamicConfigYaml?: string;
  readonly config?: string;
  readonly adminHost?: string;
  readonly adminPort?: string;
  readonly envoyBin?: string;
}

/** By the heading in the help: how an option is written, and what it does. */
const groups: Readonly<Record<string, readonly (readonly [flags: string, description: string])[]>> = {
  'Where clients connect:': [
    ['--host <address>', 'address to listen on (default: 0.0.0.0)'],
    ['--port <port>', 'port to listen on (default: 8001)'],
  ],
  'Engines:': [
    ['--service-discovery <kind>', 'where engines come from: static or k8s (required)'],
    ['--static-backends <urls>', 'engines, like http://10.0.0.1:8000,http://10.0.0.2:8000'],
    ['--static-models <names>', 'the model of each, in the same order; without it engines are asked'],
    ['--static-aliases <pairs>', 'other names of models, like gpt-4:llama,small:opt'],
    ['--static-model-types <types>', 'what each model is for, in the same order, like chat,embeddings'],
    ['--static-model-labels <labels>', 'a label for each engine; read over'],
    ['--static-backend-health-checks', 'send each engine a small request now and then; needs the types'],
    ['--static-backend-health-check-interval <seconds>', 'between two of them (default: 60)'],
    ['--static-backend-health-check-timeout-seconds <seconds>', 'how long one may take (default: 10)'],
  ],
  'Engines in Kubernetes:': [
    ['--k8s-namespace <namespace>', 'where the pods are (default: default)'],
    ['--k8s-port <port>', 'port of each engine (default: 8000)'],
    ['--k8s-label-selector <selector>', 'labels of the pods, like app=vllm (default: all pods)'],
    ['--k8s-service-discovery-type <type>', 'pod-ip, which is the default'],
    [
      '--k8s-watcher-timeout-seconds <seconds>',
      'how long a silent connection is believed; 0 is the default, 30 seconds',
    ],
  ],
  'Routing:': [
    ['--routing-logic <logic>', 'roundrobin, session, prefixaware or loadaware (required)'],
    ['--session-key <header>', 'header that names the session; required by session'],
    ['--prefix-min-match-length <characters>', 'shorter matches do not count for prefixaware (default: 0)'],
    [
      '--max-instance-failover-reroute-attempts <count>',
      'other engines tried where one fails before it answers (default: 2)',
    ],
  ],
  'Statistics and log:': [
    ['--engine-stats-interval <seconds>', 'how often the metrics of engines are read (default: 30)'],
    ['--request-stats-window <seconds>', 'span of the statistics of requests (default: 60)'],
    ['--log-stats', 'log the statistics of each engine'],
    ['--log-stats-interval <seconds>', 'how often they are logged (default: 10)'],
    ['--log-level <level>', 'critical, error, warning, info, debug or trace (default: info)'],
    ['--log-format <format>', 'text or json (default: text)'],
  ],
  'Files:': [
    ['--dynamic-config-json <file>', 'discovery and routing from a file, which is followed'],
    ['--dynamic-config-yaml <file>', 'the same in YAML'],
    ['--config <file>', 'everything else: a configuration of Sluice, which is followed; options beat it'],
  ],
  'Sluice:': [
    ['--admin-host <address>', 'address of the admin pages (default: 127.0.0.1)'],
    ['--admin-port <port>', 'port of the admin pages (default: any free one, which the log names)'],
    ['--envoy-bin <file>', 'the Envoy to run (default: ENVOY_BIN, .venv, `sluice install-envoy`, PATH)'],
  ],
};

/** Understood, and without effect: `scrape.timeout` says how long an engine has for an answer. */
const idleOption = '--backend-health-check-timeout-seconds <seconds>';

/** Adds every option that vllm-router has, and a few of Sluice's own. */
export function addVllmRouterOptions(command: Command): Command {
  for (const [heading, options] of Object.entries(groups))
    for (const [flags, description] of options)
      command.addOption(new Option(flags, description).helpGroup(heading));
  command.addOption(new Option(idleOption).hideHelp());
  return addRefusedOptions(command);
}

/** How an option is written whose name in VllmRouterFlags, or in a dynamic configuration, is this. */
export function optionOf(name: string): string {
  return `--${name.replaceAll('_', '-').replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
