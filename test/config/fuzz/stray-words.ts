/** Which keys of a configuration are words that nobody knows. */
import { configForm, fieldsOf, itemsOf, type JsonSchema } from '../../../src/config/json-schema.ts';
import { isMapping, valueAt, type Written } from '../../../src/config/written.ts';

const form = configForm();

/** The keys of a mapping in Sluice's own form that have no meaning where they are, as paths. */
export function strayWords(written: Written): string[] {
  return strayIn([form], written, '');
}

/** The same for a file of another form, known by what the loader calls it. */
export function strayWordsOfForm(name: string, root: Written): string[] {
  if (name.startsWith('Sluice')) return strayWords(root);
  if (name.startsWith('Kthena scheduler')) return strayWords({ scheduler: root });
  if (name.startsWith('vllm-router'))
    return strayIn([routerForm(name.endsWith('by model') ? byModel : free)], root, '');
  if (name.startsWith('StaticRoute')) return strayIn([staticRouteForm], root, '');
  const [, place] = /^Helm values under (\S+?),?$/.exec(name.split(', ')[0]!) ?? [];
  if (place === undefined) return [`there is no form ${name}`];
  const values = valueAt(root, place.split('.'));
  return isMapping(values) ? strayIn([chartForm], values, '') : [];
}

/** Below which anything may be. */
const free: JsonSchema = {};

const byModel: JsonSchema = {
  additionalProperties: { properties: { static_backends: free, static_model_type: free } },
};

function routerForm(models: JsonSchema): JsonSchema {
  const names = [
    ...['service_discovery', 'routing_logic', 'static_backends', 'static_aliases', 'session_key', 'k8s_port'],
    ...['k8s_namespace', 'k8s_label_selector', 'callbacks', 'static_model_types', 'static_model_labels'],
    ...['static_backend_health_checks', 'static_backend_health_check_interval', 'prefill_model_labels'],
    ...['static_backend_health_check_timeout_seconds', 'decode_model_labels'],
  ];
  return { properties: { ...freeFields(names), static_models: models } };
}

const staticRouteForm: JsonSchema = {
  properties: freeFields([
    ...['serviceDiscovery', 'routingLogic', 'staticBackends', 'staticModels', 'staticAliases', 'sessionKey'],
    ...['k8sPort', 'k8sNamespace', 'k8sLabelSelector', 'callbacks', 'staticModelTypes', 'staticModelLabels'],
    ...['staticBackendHealthChecks', 'staticBackendHealthCheckInterval', 'prefillModelLabels'],
    ...['staticBackendHealthCheckTimeoutSeconds', 'decodeModelLabels'],
    ...['routerRef', 'healthCheck', 'configMapName'],
  ]),
};

const { fairness, sessionBoost, ...sections } = fieldsOf(form);
const chartForm: JsonSchema = {
  properties: {
    ...freeFields([
      ...['enabled', 'replicas', 'image', 'resource', 'resources', 'port', 'debugPort', 'tls', 'webhook'],
      ...['metrics', 'autoscaling', 'gatewayAPI', 'kubeAPIQPS', 'kubeAPIBurst', 'jwtAuth', 'sessionSticky'],
      ...[
        'debugBackendPodHeader',
        'terminationGracePeriodSeconds',
        'nodeSelector',
        'affinity',
        'tolerations',
      ],
      'topologySpreadConstraints',
    ]),
    fairness: fairness ?? free,
    sessionBoost: sessionBoost ?? free,
    config: { properties: sections },
  },
};

function freeFields(names: readonly string[]): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(names.map((name) => [name, free]));
}

function strayIn(schemas: readonly JsonSchema[], value: unknown, path: string): string[] {
  const forms = schemas.flatMap((schema) => branchesOf(schema, value));
  if (forms.some(isFree)) return [];
  if (Array.isArray(value)) {
    const items = forms.map(itemsOf).filter((item) => item !== undefined);
    return value.flatMap((item, i) => strayIn(items, item, `${path}[${i}]`));
  }
  if (!isMapping(value)) return [];
  // Names of arguments do not depend on their case.
  const spelt = path.endsWith('.args') ? (name: string) => name.toLowerCase() : (name: string) => name;
  return Object.entries(value).flatMap(([name, member]) => {
    const at = path === '' ? name : `${path}.${name}`;
    const below = forms.flatMap((one): JsonSchema[] => {
      const field = Object.entries(fieldsOf(one)).find(([known]) => spelt(known) === spelt(name));
      if (field !== undefined) return [field[1]];
      const { additionalProperties } = one;
      return typeof additionalProperties === 'object' ? [additionalProperties] : [];
    });
    return below.length === 0 ? [at] : strayIn(below, member, at);
  });
}

/** Of several forms those that the value may have; of the arguments of plugins, those of the plugin. */
function branchesOf(schema: JsonSchema, value: unknown): JsonSchema[] {
  const branches = [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])].filter(
    (branch): branch is JsonSchema => typeof branch === 'object',
  );
  if (branches.length === 0) return [schema];
  return branches.flatMap((branch) => {
    const names = fieldsOf(branch)['name']?.enum;
    const isMeant = names === undefined || names.some((name) => name === valueAt(value, ['name']));
    return isMeant ? branchesOf(branch, value) : [];
  });
}

function isFree({ properties, additionalProperties, type }: JsonSchema): boolean {
  return (
    properties === undefined &&
    typeof additionalProperties !== 'object' &&
    (type === undefined || type === 'object') &&
    additionalProperties !== false
  );
}
