/**
 * The dynamic configuration of vllm-router, as JSON or YAML, and the spec of a StaticRoute, which says the same in camel
 * case. Lists are strings with commas there; real lists are taken as well.
 */
import { isMapping, type Written } from '../written.ts';
import type { ConfigPath, Dialect, Finding } from './dialect.ts';
import { aliasedModels, aliasFaults } from './vllm-router-aliases.ts';
import { backendLists, backendsByModel, type BackendForm } from './vllm-router-backends.ts';
import { podFaults, podFieldInFile, podFields, podsFromFields } from './vllm-router-pods.ts';
import { logicFault, schedulerFor } from './vllm-router-logics.ts';
import { notOneOf, stated, unknownFields, type ReadField } from './vllm-router-values.ts';

/** How one file format differs from the others. */
interface Form {
  readonly name: string;
  /** What a field, known by its name in the JSON file, is called. */
  readonly spell: (field: string) => string;
  /** What a required field says where it is absent. */
  readonly defaults: Written;
  /** Fields beyond those of vllm-router, which are not read. */
  readonly otherFields: readonly string[];
  readonly backends: BackendForm;
}

/** Any of these shows what the file is. */
const marks = ['service_discovery', 'routing_logic', 'static_backends', 'static_models'];

/** What says how engines are checked, and the name of that in the `healthChecks` of Sluice's own form. */
const healthCheckFields: Readonly<Record<string, string>> = {
  static_backend_health_checks: 'enabled',
  static_backend_health_check_interval: 'interval',
  static_backend_health_check_timeout_seconds: 'timeout',
};

const readFields = [
  ...marks,
  'static_model_types',
  ...Object.keys(healthCheckFields),
  'static_aliases',
  'session_key',
  ...podFields,
  'callbacks',
];

/** What only routing logics look at that are refused. */
const fieldsWithoutEffect = ['static_model_labels', 'prefill_model_labels', 'decode_model_labels'];

const discoveries = ['static', 'k8s'];

/** The file of `--dynamic-config-json`. */
export const vllmRouter = createDialect({
  name: 'vllm-router dynamic configuration',
  spell: (field) => field,
  defaults: {},
  otherFields: [],
  backends: backendLists,
});

/** The file of `--dynamic-config-yaml`, where `static_models` lists the backends of each model. */
export const vllmRouterByModel = createDialect({
  name: 'vllm-router dynamic configuration by model',
  spell: (field) => field,
  defaults: {},
  otherFields: [],
  backends: backendsByModel,
});

/** The spec of a StaticRoute. What it says to its controller is of no concern here. */
export const staticRouteSpec = createDialect({
  name: 'StaticRoute spec',
  spell: (field) => field.replace(/_./g, (letter) => letter.charAt(1).toUpperCase()),
  defaults: { service_discovery: 'static', routing_logic: 'roundrobin' },
  otherFields: ['routerRef', 'healthCheck', 'configMapName'],
  backends: backendLists,
});

function createDialect({ name, spell, defaults, otherFields, backends }: Form): Dialect {
  const knownFields = [...readFields, ...fieldsWithoutEffect].map(spell).concat(otherFields);
  /** The value of a field; vllm-router writes null where there is none. */
  const read = (root: Written, field: string) => root[spell(field)] ?? defaults[field];
  const spelled = ([field, ...rest]: ConfigPath): ConfigPath => [spell(String(field)), ...rest];

  return {
    name,
    recognises: (root) =>
      marks.some((field) => spell(field) in root) &&
      isMapping(root[spell('static_models')]) === backends.byModel,
    toSluice(root) {
      const value = (field: string) => read(root, field);
      return stated({
        discovery: discoverySection(value, backends),
        scheduler: schedulerFor(value('routing_logic')),
        models: aliasedModels(value('static_aliases')),
        sessions: sessionsSection(value('session_key')),
      });
    },
    check(root) {
      const faults = faultsOf((field) => read(root, field), backends);
      return [
        ...unknownFields([], root, knownFields),
        ...faults.map((fault) => ({ ...fault, path: spelled(fault.path) })),
      ];
    },
    toFile(path) {
      const [section, part, ...rest] = path;
      switch (section) {
        case 'discovery':
          return spelled(discoveryInFile(part, rest, backends));
        case 'scheduler':
          return spelled(['routing_logic']);
        case 'models':
          return spelled(['static_aliases', ...rest]);
        case 'sessions':
          return spelled(['session_key']);
        default:
          return path;
      }
    },
  };
}

function discoverySection(value: ReadField, backends: BackendForm): Written | undefined {
  switch (value('service_discovery')) {
    case 'static':
      return { static: stated({ backends: backends.read(value), healthChecks: healthChecks(value) }) };
    case 'k8s':
      return { kubernetes: { pods: [podsFromFields(value)] } };
    default:
      return undefined;
  }
}

/** Undefined where nothing is said of them. */
function healthChecks(value: ReadField): Written | undefined {
  const checks = stated(
    Object.fromEntries(Object.entries(healthCheckFields).map(([field, name]) => [name, value(field)])),
  );
  return Object.keys(checks).length === 0 ? undefined : checks;
}

function discoveryInFile(part: PropertyKey | undefined, rest: ConfigPath, backends: BackendForm): ConfigPath {
  if (part === 'static' && rest[0] === 'healthChecks') {
    const [field] = Object.entries(healthCheckFields).find(([, name]) => name === rest[1]) ?? [];
    return [field ?? 'static_backend_health_checks'];
  }
  if (part === 'static') return backends.toFile(rest);
  // The path of what pods have is `kubernetes.pods[0].<field>`.
  const podField = part === 'kubernetes' ? podFieldInFile(rest[2]) : undefined;
  return [podField ?? 'service_discovery'];
}

function sessionsSection(key: unknown): Written | undefined {
  return key === undefined || key === '' ? undefined : { headers: [key], fields: [key] };
}

/** What is wrong with the values, at paths that begin with the name of a field in the JSON file. */
function faultsOf(value: ReadField, backends: BackendForm): Finding[] {
  const faults = aliasFaults(value('static_aliases'));
  const discovery = value('service_discovery');
  if (!discoveries.some((known) => known === discovery))
    faults.push({ path: ['service_discovery'], message: notOneOf(discovery, discoveries) });
  if (discovery === 'static') faults.push(...backends.check(value));
  if (discovery === 'k8s') faults.push(...podFaults(value));

  const logic = value('routing_logic');
  const wrongLogic = logicFault(logic);
  if (wrongLogic !== undefined) faults.push({ path: ['routing_logic'], message: wrongLogic });
  if (logic === 'session' && sessionsSection(value('session_key')) === undefined)
    faults.push({ path: ['session_key'], message: 'is missing: name the header that holds the session' });

  const callbacks = value('callbacks');
  if (callbacks !== undefined && callbacks !== '')
    faults.push({ path: ['callbacks'], message: 'Sluice does not run Python code: remove the field' });
  return faults;
}
