/**
 * The dynamic configuration of vllm-router, as JSON or YAML, and the spec of a StaticRoute, which says the same in camel
 * case. Lists are strings with commas there; real lists are taken as well.
 */
import { shown } from '../describe-issue.ts';
import { isMapping, type Written } from '../written.ts';
import type { ConfigPath, Dialect, Finding } from './dialect.ts';
import { backendLists, backendsByModel, type BackendForm } from './vllm-router-backends.ts';
import { logicFault, schedulerFor } from './vllm-router-logics.ts';
import { commaList, notAList, notOneOf, unknownFields } from './vllm-router-values.ts';

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

const readFields = [
  ...marks,
  'static_aliases',
  'session_key',
  'k8s_port',
  'k8s_namespace',
  'k8s_label_selector',
  'callbacks',
];

/** What Sluice finds out for itself (who is healthy), and what only routing logics look at that are refused. */
const fieldsWithoutEffect = [
  'static_model_types',
  'static_backend_health_checks',
  'static_backend_health_check_interval',
  'static_backend_health_check_timeout_seconds',
  'static_model_labels',
  'prefill_model_labels',
  'decode_model_labels',
];

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
        models: modelsSection(value('static_aliases')),
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

type ReadField = (field: string) => unknown;

function discoverySection(value: ReadField, backends: BackendForm): Written | undefined {
  switch (value('service_discovery')) {
    case 'static':
      return { static: { backends: backends.read(value('static_backends'), value('static_models')) } };
    case 'k8s':
      return {
        kubernetes: stated({
          port: value('k8s_port'),
          namespace: value('k8s_namespace'),
          labelSelector: value('k8s_label_selector'),
        }),
      };
    default:
      return undefined;
  }
}

function discoveryInFile(part: PropertyKey | undefined, rest: ConfigPath, backends: BackendForm): ConfigPath {
  if (part === 'static') return backends.toFile(rest);
  switch (part === 'kubernetes' ? rest[0] : undefined) {
    case 'port':
      return ['k8s_port'];
    case 'namespace':
      return ['k8s_namespace'];
    case 'labelSelector':
      return ['k8s_label_selector'];
    default:
      return ['service_discovery'];
  }
}

/** `alias:model,alias:model`, or a mapping. */
function modelsSection(aliases: unknown): Written | undefined {
  if (aliases === undefined) return undefined;
  if (isMapping(aliases)) return { aliases };
  const pairs = (commaList(aliases) ?? []).map(aliasAndModel).filter((pair) => pair !== undefined);
  return { aliases: Object.fromEntries(pairs) };
}

function checkAliases(aliases: unknown): Finding[] {
  if (aliases === undefined || isMapping(aliases)) return [];
  const items = commaList(aliases);
  if (items === undefined) return [notAList(['static_aliases'], aliases)];
  return items.flatMap((item, i) => {
    if (aliasAndModel(item) !== undefined) return [];
    const message = `${shown(item)} is not an alias and a model with one ":" between them; a mapping can have names with more`;
    return [{ path: ['static_aliases', i], message }];
  });
}

function aliasAndModel(item: unknown): readonly [string, string] | undefined {
  const [alias, model, ...more] = typeof item === 'string' ? item.split(':') : [];
  return alias === undefined || model === undefined || more.length > 0
    ? undefined
    : [alias.trim(), model.trim()];
}

function sessionsSection(key: unknown): Written | undefined {
  return key === undefined || key === '' ? undefined : { headers: [key] };
}

/** What is wrong with the values, at paths that begin with the name of a field in the JSON file. */
function faultsOf(value: ReadField, backends: BackendForm): Finding[] {
  const faults = checkAliases(value('static_aliases'));
  const discovery = value('service_discovery');
  if (!discoveries.some((known) => known === discovery))
    faults.push({ path: ['service_discovery'], message: notOneOf(discovery, discoveries) });
  if (discovery === 'static')
    faults.push(...backends.check(value('static_backends'), value('static_models')));

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

/** Without fields that say nothing. */
function stated(fields: Written): Written {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
