/** Values of Helm charts: what Kthena's networking chart says of its router, by its old and its present name. */
import { didYouMean, shown } from '../describe-issue.ts';
import { configSchema } from '../schema.ts';
import { isMapping, valueAt, type Written } from '../written.ts';
import type { ConfigPath, Dialect, Finding } from './dialect.ts';

/** The networking chart's own values, and those of the chart around it. */
const places: readonly ConfigPath[] = ['inferGateway', 'kthenaRouter'].flatMap((name) => [
  [name],
  ['networking', name],
]);

/** What the chart makes of Kubernetes objects. Sluice has no use for it. */
const chartFields = [
  'enabled',
  'replicas',
  'image',
  'resource',
  'resources',
  'port',
  'debugPort',
  'tls',
  'webhook',
  'metrics',
  'autoscaling',
  'gatewayAPI',
  'kubeAPIQPS',
  'kubeAPIBurst',
  'jwtAuth',
  'sessionSticky',
  'debugBackendPodHeader',
  'terminationGracePeriodSeconds',
  'nodeSelector',
  'affinity',
  'tolerations',
  'topologySpreadConstraints',
  // Of Sluice's own chart.
  'envoy',
  'grpc',
  'imagePullSecrets',
  'networkPolicy',
  'podAnnotations',
  'podDisruptionBudget',
  'podLabels',
  'priorityClassName',
  'rbac',
  'secretConfig',
  'service',
  'serviceAccount',
  'serviceMonitor',
] as const;

/** What the chart says as Sluice's own form does, beside `config`. */
const ownSections = ['fairness', 'sessionBoost', 'auth', 'discovery'] as const;

/** What the chart passes on to Kthena's router, and what says it in a configuration. */
const movedFields: Readonly<Record<string, string>> = {
  accessLog: 'log.access, log.format and log.output',
  drainTimeout: 'limits.drainTimeout',
};

/** One for each place where the router's values can be. */
export const chartValues: readonly Dialect[] = places.map(valuesAt);

function valuesAt(place: ConfigPath): Dialect {
  return {
    name: `Helm values under ${place.join('.')}`,
    recognises: (root) => valueAt(root, place) !== undefined,
    toSluice(root) {
      const { config, ...values } = mappingAt(root, place);
      const beside = Object.entries(values).filter(([name]) => isOwnSection(name));
      return {
        ...(isMapping(config) ? config : {}),
        fairness: {},
        sessionBoost: {},
        ...Object.fromEntries(beside),
      };
    },
    check: (root) => [
      ...otherPlaces(root, place),
      ...strayedSections(root, place),
      ...fieldFaults(root, place),
    ],
    toFile: (path) => [...placeOf(path[0], place), ...path],
  };
}

/** Where the values say what a section of Sluice's own form says. */
function placeOf(section: PropertyKey | undefined, place: ConfigPath): ConfigPath {
  return isOwnSection(section) ? place : [...place, 'config'];
}

function isOwnSection(name: PropertyKey | undefined): boolean {
  return ownSections.some((section) => section === name);
}

/** Nothing is an empty mapping, as everywhere. */
function mappingAt(root: Written, path: ConfigPath): Written {
  const value = valueAt(root, path);
  return isMapping(value) ? value : {};
}

/** The values of two routers: it would not be clear whose are meant. */
function otherPlaces(root: Written, place: ConfigPath): readonly Finding[] {
  return places
    .filter((other) => other !== place && valueAt(root, other) !== undefined)
    .map((other) => ({
      path: other.slice(0, -1),
      key: String(other.at(-1)),
      message: `there is ${place.join('.')} as well: keep one of them`,
    }));
}

/** Sections of Sluice beside the router's values: the chart knows nothing of them, and they would be lost. */
function strayedSections(root: Written, place: ConfigPath): readonly Finding[] {
  const around = place.slice(0, -1);
  const sections = [...Object.keys(configSchema.shape), 'auth', 'pluginConfig', 'plugins'];
  return Object.keys(mappingAt(root, around))
    .filter((key) => sections.includes(key))
    .map((key) => ({ path: around, key, message: elsewhere(key, place) }));
}

function fieldFaults(root: Written, place: ConfigPath): readonly Finding[] {
  const values = valueAt(root, place);
  if (values !== null && !isMapping(values)) return [{ path: place, message: notMapping(values) }];
  const findings = Object.keys(values ?? {}).flatMap((key): readonly Finding[] => {
    const message = fieldFault(key, place);
    return message === undefined ? [] : [{ path: place, key, message }];
  });
  const config = valueAt(root, [...place, 'config']);
  if (config !== undefined && config !== null && !isMapping(config))
    findings.push({ path: [...place, 'config'], message: notMapping(config) });
  for (const key of ownSections)
    if (isMapping(config) && Object.hasOwn(config, key))
      findings.push({ path: [...place, 'config'], key, message: elsewhere(key, place) });
  return findings;
}

function fieldFault(key: string, place: ConfigPath): string | undefined {
  const own = [...ownSections, 'config', ...chartFields];
  if (Object.hasOwn(movedFields, key))
    return `is not read here: write ${movedFields[key]!} under ${place.join('.')}.config`;
  if (own.includes(key)) return undefined;
  const hint = didYouMean(key, [...own, ...Object.keys(movedFields)]);
  return `there is no field ${shown(key)} here${hint === '' ? `; Sluice reads ${ownSections.join(', ')} and config` : hint}`;
}

function elsewhere(section: string, place: ConfigPath): string {
  const path = isOwnSection(section) ? [...place, section] : [...place, 'config'];
  return `is not read here: write it under ${path.join('.')}`;
}

function notMapping(value: unknown): string {
  return `${shown(value)} is not a mapping`;
}
