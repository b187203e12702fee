/** The options that say where engines are, and what they are in the configuration. */
import { Option, type Command } from 'commander';
import { valueAt, type Written } from '../config/written.ts';
import { parseBackends, type StaticBackend } from '../discovery/static.ts';

/** As commander parses them. */
export interface DiscoveryFlags {
  readonly serviceDiscovery?: 'static' | 'k8s';
  readonly staticBackends?: string;
  readonly staticModels?: string;
  readonly k8sNamespace?: string;
  readonly k8sPort?: string;
  readonly k8sLabelSelector?: string;
}

/** Adds the options to a command. None has a default: it would beat what the file says. */
export function addDiscoveryOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--service-discovery <kind>', 'where endpoints come from').choices(['static', 'k8s']),
    )
    .option('--static-backends <urls>', 'engines, e.g. http://10.0.0.1:8000,http://10.0.0.2:8000')
    .option(
      '--static-models <names>',
      'the model of each engine, in the same order; without it engines are asked',
    )
    .option('--k8s-namespace <names>', "where the engines' pods are (default: the namespace of Sluice)")
    .option(
      '--k8s-port <port>',
      "where an engine listens: a number, or the name of a container's port (default: 8000)",
    )
    .option(
      '--k8s-label-selector <selector>',
      "labels of the engines' pods, e.g. app=vllm (default: all pods)",
    );
}

/**
 * The `discovery` section that the options stand for; undefined where there are none.
 *
 * @throws Error that names an option that has no meaning beside the others.
 */
export function discoveryFromFlags(flags: DiscoveryFlags): Written | undefined {
  const isKubernetes = flags.serviceDiscovery === 'k8s';
  for (const [option, value] of Object.entries(isKubernetes ? staticOptions(flags) : podOptions(flags))) {
    if (value !== undefined) throw misplaced(option, isKubernetes);
  }
  if (isKubernetes) {
    const pods = podsFromFlags(flags);
    return { type: 'kubernetes', ...(pods === undefined ? {} : { kubernetes: { pods: [pods] } }) };
  }
  const { staticBackends, staticModels, serviceDiscovery: type } = flags;
  if (staticBackends === undefined && staticModels !== undefined) {
    throw new Error(
      'Cannot use --static-models without --static-backends: they belong together item by item',
    );
  }
  if (type === undefined && staticBackends === undefined) return undefined;
  return {
    ...(type === undefined ? {} : { type }),
    ...(staticBackends === undefined
      ? {}
      : { static: { backends: parseBackends(staticBackends, staticModels).map(writtenBackend) } }),
  };
}

/** What `--service-discovery k8s` alone means where the file does not say where the pods are. */
export function discoveryBelowFile({ serviceDiscovery }: DiscoveryFlags, file: Written): Written {
  const isSaid = valueAt(file, ['discovery', 'kubernetes']) !== undefined;
  return serviceDiscovery !== 'k8s' || isSaid ? {} : { discovery: { kubernetes: { pods: [{}] } } };
}

function podsFromFlags({ k8sNamespace, k8sPort, k8sLabelSelector }: DiscoveryFlags): Written | undefined {
  if (k8sNamespace === undefined && k8sPort === undefined && k8sLabelSelector === undefined) return undefined;
  return {
    ...(k8sNamespace === undefined ? {} : { namespaces: namespaceList(k8sNamespace) }),
    ...(k8sLabelSelector === undefined || k8sLabelSelector === ''
      ? {}
      : { labelSelectors: [k8sLabelSelector] }),
    ...(k8sPort === undefined ? {} : { port: /^\d+$/.test(k8sPort) ? Number(k8sPort) : k8sPort }),
  };
}

/** Items without surrounding blanks. An empty one is left in, to be refused: a variable was not set, perhaps. */
function namespaceList(text: string): readonly string[] {
  return text.split(',').map((item) => item.trim());
}

function staticOptions({ staticBackends, staticModels }: DiscoveryFlags): Record<string, string | undefined> {
  return { '--static-backends': staticBackends, '--static-models': staticModels };
}

function podOptions(flags: DiscoveryFlags): Record<string, string | undefined> {
  return {
    '--k8s-namespace': flags.k8sNamespace,
    '--k8s-port': flags.k8sPort,
    '--k8s-label-selector': flags.k8sLabelSelector,
  };
}

function misplaced(option: string, isKubernetes: boolean): Error {
  return new Error(
    isKubernetes
      ? `Cannot use ${option} with --service-discovery k8s: engines are listed, or found in Kubernetes; leave out one of the two`
      : `Cannot use ${option} without --service-discovery k8s: it says which pods are engines`,
  );
}

function writtenBackend({ host, port, tls, models }: StaticBackend): Written {
  const authority = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return { url: `${tls ? 'https' : 'http'}://${authority}`, models };
}
