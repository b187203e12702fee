/** docs/configuration.md: the prose is here, everything else comes from the schema and the plugins. */
import { stringify } from 'yaml';
import { createRegistry } from '../scheduling/registry.ts';
import { effectiveConfig } from './explain/effective-config.ts';
import { configForm, fieldsOf, parametersOf } from './json-schema.ts';
import { kthenaVariables } from './kthena-environment.ts';
import { fieldTable, markdownTable, parameterTable } from './reference/field-table.ts';
import { configSchema } from './schema.ts';
import { configKeys } from './source/config-keys.ts';

/** The page as Markdown. */
export function configReference(): string {
  return [
    introduction,
    sources(),
    configMap,
    checking,
    strictness,
    reloading,
    units,
    ...sections(),
    ...plugins(),
    environment(),
    defaults(),
  ]
    .map((part) => part.trim())
    .join('\n\n')
    .concat('\n');
}

const introduction = `
<!-- Written by \`npm run docs\` from src/config/reference.ts, the schema and the plugins: edit those. -->

# Configuration

All of it is optional: without a configuration, Sluice schedules as a Helm installation of Kthena's router does, and engines are named on the command line.

\`\`\`yaml
scheduler:
  plugins:
    Score:
      enabled:
        - { name: least-request, weight: 1 }
        - { name: prefix-cache, weight: 2 }
discovery:
  static:
    backends:
      - url: http://10.0.0.1:8000
      - url: http://10.0.0.2:8000
limits: { drainTimeout: 5m }
\`\`\`

Engines that Kubernetes knows, in place of a list:

\`\`\`yaml
discovery:
  kubernetes:
    pods:
      - namespaces: [inference]
        labelSelectors: [app=vllm]
        port: http                   # the name of a container's port, or a number
    inferencePools:
      - name: llama-3
\`\`\`

[kubernetes.md](kubernetes.md) has the permissions that this takes.
`;

const configMap = `
### A ConfigMap by its name

With \`--config-map inference/sluice\`, Sluice reads the ConfigMap \`sluice\` of the namespace \`inference\` from the Kubernetes API and follows it there; a name alone is one in Sluice's own namespace. The configuration is under one of the keys above, in any accepted form. The API server is found by \`KUBECONFIG\`, by the service account of the pod, or by \`~/.kube/config\`, in this order. Sluice needs no more rights there than the rule \`{ apiGroups: [''], resources: [configmaps], resourceNames: [sluice], verbs: [list, watch] }\`.

At a start Sluice waits until the API server answers, and says so in the log; a ConfigMap that is not there, or holds no configuration, ends it. Later, an API server that is away, and a ConfigMap that was deleted, leave the last good configuration in effect. \`kubectl get configmap sluice -o yaml | sluice check -\` checks one.
`;

function sources(): string {
  return `
## Where it comes from

\`sluice serve\` and \`sluice router\` take \`--config <path>\`, or \`--config-map <namespace/name>\` for [a ConfigMap that the API server has](#a-configmap-by-its-name). The path is one of:

- a YAML or JSON file in the form of this page;
- the configuration of Kthena's router, with the sections \`scheduler\` and \`auth\`, or the older one, with \`pluginConfig\` and \`plugins\` at the top: both are a part of the form of this page, and [plugins.md](plugins.md#configuration) says where Sluice is stricter;
- a Kubernetes manifest, of one document or several, with a ConfigMap that has one of the keys ${configKeys.map((key) => `\`${key}\``).join(', ')}; Helm expressions beside the configuration are passed over;
- the folder of a mounted ConfigMap, with a file of one of these names;
- the values of Kthena's networking chart, of which \`fairness\`, \`sessionBoost\` and \`config\` are read;
- the dynamic configuration of vllm-router, or a StaticRoute: [plugins.md](plugins.md#vllm-routers-routing-logics) says what its routing logics become.

\`sluice check\` says which of them it sees in a file.

What is said in several places counts in this order, the first wins, field by field; a list counts as a whole:

1. flags: \`--service-discovery\`, \`--static-backends\`, \`--static-models\`, \`--k8s-namespace\`, \`--k8s-port\`, \`--k8s-label-selector\`, \`--admin-host\`, \`--admin-port\`, \`--log-level\`, \`--log-format\`;
2. the file;
3. [the environment variables of Kthena's router](#environment-variables-of-kthenas-router);
4. the default.

\`--service-discovery k8s\` stands for \`discovery.type: kubernetes\`, and the flags \`--k8s-*\` for one item of \`discovery.kubernetes.pods\`, in place of those in the file. Where neither the file nor a flag says which pods are engines, those of Sluice's own namespace are, at port 8000.
`;
}

const checking = `
## Checking a file

\`\`\`sh
sluice check sluice.yaml                       # several files and folders at once, or - for standard input
sluice check --schema > sluice.schema.json     # JSON Schema (draft 2020-12) of the form on this page, for editors
\`\`\`

\`sluice check\` lists every fault of every file, with file, line, column and the nearest valid word, and ends with 1 where there is one. Of a good file it says what it means: who filters and scores, with which share of the total, with which arguments, what is disabled, and what differs from the defaults. \`--json\` says the same to a program. It looks at the file alone; \`--with-env\` counts the environment too, and \`--lenient\` is as below.

With the schema beside it, an editor that knows the YAML language server completes and explains fields after this first line:

\`\`\`yaml
# yaml-language-server: $schema=sluice.schema.json
\`\`\`

The schema asks for the arguments of plugins in the spelling of this page, although any upper and lower case is read, and for something below each section.
`;

const strictness = `
## Strict, and --lenient

A configuration is used whole or not at all: an unknown field, a value out of range, a plugin that does not exist are faults, and Sluice does not start with a fault. With \`--lenient\`, what Kthena's router silently ignores or only logs is a warning, and Sluice does what Kthena's router would do. What would stop Kthena's router from starting, or turn a check of tokens off by mistake, stays a fault.
`;

const reloading = `
## Changes at run time

The file, folder or ConfigMap is watched, and SIGHUP has it read again. A new content is checked and prepared beside the running one, and replaces it between two requests; nothing that is under way is disturbed. A plugin whose arguments stay as they are keeps what it has learned. Fields that say **restart** in the tables keep their value until Sluice is started again.

A content that has a fault changes nothing: the last good configuration stays in effect. What shows it:

| where | what |
| --- | --- |
| the log | one line with all faults |
| \`/health\` on the admin port | the faults, and the fields that wait for a restart |
| \`/debug/config\` on the admin port | the same, and the configuration in effect |
| \`sluice_config_last_reload_successful\` | 0 |

A file or ConfigMap that is empty or gone counts as a fault here, because somebody is about to write it. Mount a ConfigMap as a folder, not with \`subPath\`: Kubernetes never updates what is mounted with \`subPath\`.
`;

const units = `
## Durations and sizes

A duration is written like \`250ms\`, \`10s\`, \`1m30s\`, \`1h\`, or as a number of seconds. A size is written like \`16MiB\`, \`500KB\`, or as a number of bytes.

In the tables, \`a.b\` is the field \`b\` of the mapping \`a\`, and \`a[].b\` that of each item of the list \`a\`. Fields that say **at run time** follow the file; **restart** means that a change waits for one.
`;

function sections(): readonly string[] {
  const tables = Object.entries(fieldsOf(configForm())).map(
    ([name, section]) => `### ${name}\n\n${section.description ?? ''}\n\n${fieldTable(section)}`,
  );
  return ['## Sections', ...tables];
}

const kinds = [
  { kind: 'filter', title: 'Filters', list: '`scheduler.plugins.Filter`' },
  { kind: 'scorer', title: 'Scorers', list: '`scheduler.plugins.Score`' },
  { kind: 'picker', title: 'Picker', list: undefined },
] as const;

function plugins(): readonly string[] {
  const registry = createRegistry();
  const { definitions } = registry;
  const lists = kinds.map(({ kind, title, list }) => {
    const ofKind = definitions.filter((definition) => definition.kind === kind);
    const rows = ofKind.map(({ type, aliases = [], description }) => [
      [type, ...aliases].map((name) => `\`${name}\``).join(' or '),
      description,
    ]);
    const where = list === undefined ? 'There is no choice.' : `Listed in ${list}.`;
    return `### ${title}\n\n${where}\n\n${markdownTable(['name', 'what it does'], rows)}`;
  });
  const types = [...new Set(definitions.map(({ type }) => type))];
  const parameters = types
    .map((type) => ({ type, parameters: parametersOf(registry.named(type)) }))
    .filter((plugin) => Object.keys(plugin.parameters).length > 0)
    .map((plugin) => `#### ${plugin.type}\n\n${parameterTable(plugin.parameters)}`);
  return [
    '## Plugins\n\nFormulas, and what differs from Kthena: [plugins.md](plugins.md).',
    ...lists,
    '### Arguments\n\nEach plugin has one entry in `scheduler.pluginConfig`, with its `name` and its `args`, whose names are matched without regard to case. `least-request` is a filter and a scorer: one entry is for both.',
    ...parameters,
  ];
}

function environment(): string {
  const rows = kthenaVariables.map(({ name, target, remark, accepts, kthenaDefault, implies }) => {
    const implied = implies?.(true);
    const also = implied === undefined ? '' : `; if true, \`${implied.target}: ${String(implied.value)}\``;
    return [
      `\`${name}\``,
      target === undefined ? (remark ?? 'nothing in this version') : `\`${target}\`${also}`,
      accepts,
      kthenaDefault === '' ? '' : `\`${kthenaDefault}\``,
    ];
  });
  return `
## Environment variables of Kthena's router

A deployment of Kthena's router can keep its environment. A variable that is not set, or empty, says nothing: what it would set has the default of this page, not Kthena's. A value that is not accepted is a fault like one in the file; with \`--lenient\` it is a warning, and the default counts, as in Kthena. What is asked for and not in effect in this version is said at the start.

${markdownTable(['variable', 'sets', 'accepts', 'default in Kthena'], rows)}
`;
}

function defaults(): string {
  const config = configSchema.parse({});
  const everything = effectiveConfig(configForm(), { config, written: {} });
  return `
## Everything, with its default

\`\`\`yaml
${stringify(everything, { lineWidth: 0 }).trim()}
\`\`\`
`;
}
