import { describe, expect, it } from '@jest/globals';
import { staticRouteSpec, vllmRouter, vllmRouterByModel } from '../../../src/config/dialects/vllm-router.ts';
import { parseConfig } from '../../../src/config/load.ts';
import { faultsOf as faultsThrown } from '../source/faults-of.ts';

const faultsOf = (text: string): string[] => faultsThrown(() => parseConfig(text, 'dynamic.yaml'));

/** The engines that a text names, and the scorers with their weights. */
function read(text: string) {
  const { config, form } = parseConfig(text, 'dynamic.yaml');
  const { filters, scorers } = config.scheduler.profile;
  return {
    form,
    backends: config.discovery.static.backends,
    filters: filters.length,
    scorers: scorers.map(({ type, weight }) => [type, weight]),
  };
}

const readme = `{
    "service_discovery": "static",
    "routing_logic": "roundrobin",
    "static_backends": "http://localhost:9001,http://localhost:9002,http://localhost:9003",
    "static_models": "facebook/opt-125m,meta-llama/Llama-3.1-8B-Instruct,facebook/opt-125m"
}`;

const engines = [
  { url: 'http://localhost:9001', models: ['facebook/opt-125m'] },
  { url: 'http://localhost:9002', models: ['meta-llama/Llama-3.1-8B-Instruct'] },
  { url: 'http://localhost:9003', models: ['facebook/opt-125m'] },
];

/** A file with everything that is required, and more. */
const json = (more: Record<string, unknown>) =>
  JSON.stringify({
    service_discovery: 'static',
    routing_logic: 'roundrobin',
    static_backends: 'http://a:1',
    ...more,
  });

describe('vllm-router dialect', () => {
  it("reads the example of vllm-router's README", () => {
    expect(read(readme)).toEqual({
      form: 'vllm-router dynamic configuration',
      backends: engines,
      filters: 0,
      scorers: [['round-robin', 1]],
    });
  });

  it('reads it as real lists, with blanks, and with null where there is nothing', () => {
    const lists = json({
      static_backends: engines.map(({ url }) => url),
      static_models: engines.flatMap(({ models }) => models),
    });
    const blanks = json({
      static_backends: ' http://localhost:9001, http://localhost:9002 ,http://localhost:9003,',
      static_models: 'facebook/opt-125m , meta-llama/Llama-3.1-8B-Instruct,facebook/opt-125m',
      k8s_port: null,
      session_key: null,
      static_aliases: null,
      callbacks: null,
    });
    expect(read(lists)).toEqual(read(readme));
    expect(read(blanks)).toEqual(read(readme));
  });

  it('asks engines what they serve where no models are named', () => {
    expect(read(json({ static_backends: 'http://a:1,http://b:2' })).backends).toEqual([
      { url: 'http://a:1', models: [] },
      { url: 'http://b:2', models: [] },
    ]);
  });

  it('reads YAML with the backends of each model', () => {
    const yaml = `
service_discovery: static
routing_logic: roundrobin
static_models:
  facebook/opt-125m:
    static_backends: [http://localhost:9001, http://localhost:9003]
    static_model_type: completion
  llama:
    static_backends: http://localhost:9001,http://localhost:9002
static_aliases:
  gpt:4: llama
`;
    expect(read(yaml)).toEqual({
      form: 'vllm-router dynamic configuration by model',
      backends: [
        { url: 'http://localhost:9001', models: ['facebook/opt-125m', 'llama'], type: 'completion' },
        { url: 'http://localhost:9003', models: ['facebook/opt-125m'], type: 'completion' },
        { url: 'http://localhost:9002', models: ['llama'] },
      ],
      filters: 0,
      scorers: [['round-robin', 1]],
    });
    expect(parseConfig(yaml, '').config.models.rewrites).toEqual(new Map([['gpt:4', 'llama']]));
  });

  it('reads the spec of a StaticRoute, which needs neither discovery nor logic', () => {
    const spec = `
staticBackends: "http://localhost:9001,http://localhost:9002,http://localhost:9003"
staticModels: "facebook/opt-125m,meta-llama/Llama-3.1-8B-Instruct,facebook/opt-125m"
routerRef: { kind: Service, name: router }
healthCheck: { periodSeconds: 5 }
configMapName: routes
`;
    expect(read(spec)).toEqual({ ...read(readme), form: 'StaticRoute spec' });
    expect(read(`serviceDiscovery: static\nroutingLogic: roundrobin\n${spec}`)).toEqual(read(spec));
  });

  const logics: [string, Record<string, unknown>, [string, number][]][] = [
    ['roundrobin', {}, [['round-robin', 1]]],
    ['session', { session_key: 'X-User-Id' }, [['session-affinity', 1]]],
    [
      'prefixaware',
      {},
      [
        ['prefix-cache', 1],
        ['least-request', 0.0001],
      ],
    ],
    [
      'loadaware',
      {},
      [
        ['prefix-cache', 1],
        ['least-request', 1],
      ],
    ],
  ];
  it.each(logics)('has a profile for %s', (routing_logic, more, scorers) => {
    expect(read(json({ routing_logic, ...more }))).toMatchObject({ filters: 0, scorers });
  });

  it('names the header of the session', () => {
    const text = json({ routing_logic: 'session', session_key: 'X-User-Id' });
    expect(parseConfig(text, '').config.sessions).toEqual({
      headers: ['x-user-id'],
      fields: ['X-User-Id'],
    });
    expect(parseConfig(json({}), '').config.sessions.headers).toEqual([]);
  });

  it('reads aliases, which count before served models and are not listed', () => {
    const text = json({ static_aliases: 'gpt-4:llama, small : facebook/opt-125m,llama:llama' });
    expect(parseConfig(text, '').config.models).toEqual({
      aliases: new Map(),
      rewrites: new Map([
        ['gpt-4', 'llama'],
        ['small', 'facebook/opt-125m'],
      ]),
    });
    const mapping = json({ static_aliases: { same: 'same', 'gpt:4': 'llama' } });
    expect(parseConfig(mapping, '').config.models.rewrites).toEqual(new Map([['gpt:4', 'llama']]));
  });

  it('takes an engine that is listed for several models as one', () => {
    const text = json({ static_backends: 'http://a:1,http://b:2,http://a:1', static_models: 'm,m,n' });
    expect(read(text).backends).toEqual([
      { url: 'http://a:1', models: ['m', 'n'] },
      { url: 'http://b:2', models: ['m'] },
    ]);
  });

  it('reads health checks and what they need', () => {
    const backends = 'http://a:1,http://b:2';
    const types = { static_backends: backends, static_model_types: 'chat, embeddings' };
    const discovery = (more: Record<string, unknown>) =>
      parseConfig(json({ ...types, ...more }), '').config.discovery.static;
    expect(discovery({}).healthChecks).toBeUndefined();
    expect(discovery({ static_backend_health_checks: true })).toEqual({
      backends: [
        { url: 'http://a:1', models: [], type: 'chat' },
        { url: 'http://b:2', models: [], type: 'embeddings' },
      ],
      healthChecks: { intervalMs: 60_000, timeoutMs: 10_000 },
    });
    const checks = {
      static_backend_health_checks: true,
      static_backend_health_check_interval: 5,
      static_backend_health_check_timeout_seconds: 2,
    };
    expect(discovery(checks).healthChecks).toEqual({ intervalMs: 5000, timeoutMs: 2000 });
  });

  it('says nothing of health checks where the file does not', () => {
    const root = { service_discovery: 'static', static_backends: 'http://a:1' };
    expect(vllmRouter.toSluice({ ...root, static_backend_health_checks: null })['discovery']).toEqual({
      static: { backends: [{ url: 'http://a:1' }] },
    });
    expect(vllmRouter.toSluice({ ...root, static_backend_health_check_interval: 9 })['discovery']).toEqual({
      static: { backends: [{ url: 'http://a:1' }], healthChecks: { interval: 9 } },
    });
  });

  it('takes no notice of labels', () => {
    const more = { static_model_labels: 'a', prefill_model_labels: 'p', decode_model_labels: 'd' };
    expect(read(json(more))).toEqual(read(json({})));
  });

  it('toSluice() gives what it says about Kubernetes, and toFile() the way back', () => {
    const root = {
      service_discovery: 'k8s',
      routing_logic: 'roundrobin',
      k8s_port: 8000,
      k8s_namespace: 'llm',
      k8s_label_selector: 'app=vllm',
    };
    expect(vllmRouter.check?.(root)).toEqual([]);
    expect(vllmRouter.toSluice(root)['discovery']).toEqual({
      kubernetes: { pods: [{ namespaces: ['llm'], labelSelectors: ['app=vllm'], port: 8000 }] },
    });
    const camel = { serviceDiscovery: 'k8s', k8sPort: 9000, k8sNamespace: null };
    expect(staticRouteSpec.toSluice(camel)['discovery']).toEqual({
      kubernetes: { pods: [{ namespaces: ['default'], labelSelectors: [], port: 9000 }] },
    });
  });

  const k8s = { service_discovery: 'k8s', routing_logic: 'roundrobin' };
  it.each<[object, object]>([
    [{}, { namespaces: ['default'], labelSelectors: [], port: 8000 }],
    [
      { k8s_namespace: null, k8s_port: null, k8s_label_selector: null },
      { namespaces: ['default'], labelSelectors: [], port: 8000 },
    ],
    [{ k8s_label_selector: '' }, { labelSelectors: [] }],
    [{ k8s_label_selector: 'app in (a, b),tier=x' }, { labelSelectors: ['app in (a, b),tier=x'] }],
    [{ k8s_namespace: 'one, two' }, { namespaces: ['one', 'two'] }],
    [{ k8s_port: 'http' }, { port: 'http' }],
    [{ static_backends: 'http://a:1', static_backend_health_checks: true }, { port: 8000 }],
  ])('finds pods where %j says', (fields, pods) => {
    const { config } = parseConfig(JSON.stringify({ ...k8s, ...fields }), 'f');
    expect(config.discovery).toMatchObject({
      type: 'kubernetes',
      static: { backends: [], healthChecks: undefined },
      kubernetes: { pods: [pods], inferencePools: [], services: [] },
    });
  });

  it.each<[object, string]>([
    [{ k8s_namespace: 'Team A' }, '1:73 k8s_namespace: "Team A" is not the name of a namespace'],
    [{ k8s_namespace: '' }, '1:73 k8s_namespace: "" names no namespace'],
    [
      { k8s_namespace: 5 },
      '1:73 k8s_namespace: 5 is neither a list nor a string with commas between its items',
    ],
    [{ k8s_port: 0 }, '1:68 k8s_port: 0 is too small: the least is 1'],
    [{ k8s_port: '8000' }, '1:68 k8s_port: "8000" is not a whole number from 1 to 65535: remove the quotes'],
    [
      { k8s_label_selector: 'app:vllm' },
      '1:78 k8s_label_selector: "app:vllm" is no label selector: write it like app=vllm, app in (a, b), or !app, with commas between',
    ],
  ])('refuses %j', (fields, fault) => {
    expect(faultsOf(JSON.stringify({ ...k8s, ...fields }))).toEqual([fault]);
  });

  it.each([
    [
      ['discovery', 'kubernetes', 'pods', 0, 'labelSelectors', 0],
      ['k8s_label_selector'],
      ['k8sLabelSelector'],
    ],
    [['discovery', 'kubernetes', 'pods', 0, 'namespaces', 1], ['k8s_namespace'], ['k8sNamespace']],
    [['discovery', 'kubernetes', 'pods', 0, 'port'], ['k8s_port'], ['k8sPort']],
    [['discovery', 'kubernetes'], ['service_discovery'], ['serviceDiscovery']],
    [['discovery', 'type'], ['service_discovery'], ['serviceDiscovery']],
    [['discovery', 'static', 'backends'], ['static_backends'], ['staticBackends']],
    [
      ['discovery', 'static', 'backends', 1, 'url'],
      ['static_backends', 1],
      ['staticBackends', 1],
    ],
    [
      ['discovery', 'static', 'backends', 1, 'models', 0],
      ['static_models', 1],
      ['staticModels', 1],
    ],
    [
      ['discovery', 'static', 'backends', 1, 'type'],
      ['static_model_types', 1],
      ['staticModelTypes', 1],
    ],
    [
      ['discovery', 'static', 'healthChecks', 'enabled'],
      ['static_backend_health_checks'],
      ['staticBackendHealthChecks'],
    ],
    [
      ['discovery', 'static', 'healthChecks', 'interval'],
      ['static_backend_health_check_interval'],
      ['staticBackendHealthCheckInterval'],
    ],
    [
      ['discovery', 'static', 'healthChecks', 'timeout'],
      ['static_backend_health_check_timeout_seconds'],
      ['staticBackendHealthCheckTimeoutSeconds'],
    ],
    [['scheduler', 'plugins', 'Score'], ['routing_logic'], ['routingLogic']],
    [['sessions', 'headers', 0], ['session_key'], ['sessionKey']],
    [
      ['models', 'rewrites', 'a'],
      ['static_aliases', 'a'],
      ['staticAliases', 'a'],
    ],
    [[], [], []],
  ])('toFile() knows where %j is', (path, snakeCase, camelCase) => {
    expect(vllmRouter.toFile(path)).toEqual(snakeCase);
    expect(staticRouteSpec.toFile(path)).toEqual(camelCase);
  });

  const recognised: [string, Record<string, unknown>, string | undefined][] = [
    ['service_discovery', { service_discovery: 'static' }, vllmRouter.name],
    ['routing_logic', { routing_logic: 'session' }, vllmRouter.name],
    ['static_backends', { static_backends: 'http://a:1' }, vllmRouter.name],
    ['static_models as a list', { static_models: ['m'] }, vllmRouter.name],
    ['static_models as a mapping', { static_models: {} }, vllmRouterByModel.name],
    ['serviceDiscovery', { serviceDiscovery: 'static' }, staticRouteSpec.name],
    ['staticBackends', { staticBackends: 'http://a:1' }, staticRouteSpec.name],
    ['sections of Sluice', { discovery: { static: {} }, scheduler: {} }, undefined],
    ['sections of Kthena', { scheduler: { plugins: {} } }, undefined],
  ];
  it.each(recognised)('recognises %s', (_, root, name) => {
    const all = [vllmRouter, vllmRouterByModel, staticRouteSpec];
    expect(all.filter((dialect) => dialect.recognises(root)).map((dialect) => dialect.name)).toEqual(
      name === undefined ? [] : [name],
    );
  });

  const faults: [string, string, unknown[]][] = [
    [
      'missing fields',
      'static_backends: http://a:1',
      [
        '1:1 service_discovery: is missing: it is one of "static", "k8s"',
        '1:1 routing_logic: is missing: it is one of "roundrobin", "session", "prefixaware", "loadaware"',
      ],
    ],
    [
      'missing backends',
      'service_discovery: static\nrouting_logic: roundrobin',
      ['1:1 static_backends: is missing: name the URLs of the engines'],
    ],
    [
      'words that it does not know',
      'service_discovery: statik\nrouting_logic: round-robin\nstatic_backend: a',
      [
        '1:20 service_discovery: "statik" is not one of "static", "k8s"; did you mean "static"?',
        '2:16 routing_logic: "round-robin" is not one of "roundrobin", "session", "prefixaware", "loadaware"; did you mean "roundrobin"?',
        '3:1 static_backend: there is no field "static_backend" here; did you mean "static_backends"?',
      ],
    ],
    [
      'routing logics that there is no profile for',
      json({ routing_logic: 'kvaware' }),
      [
        '1:47 routing_logic: "kvaware" needs an LMCache controller, which Sluice does not ask; "prefixaware" comes nearest',
      ],
    ],
    [
      'names of object members as routing logics',
      'service_discovery: static\nrouting_logic: constructor\nstatic_backends: http://a:1',
      ['2:16 routing_logic: "constructor" is not one of "roundrobin", "session", "prefixaware", "loadaware"'],
    ],
    [
      'a session without a header',
      'service_discovery: static\nrouting_logic: session\nstatic_backends: http://a:1\nsession_key: ""',
      ['4:14 session_key: is missing: name the header that holds the session'],
    ],
    [
      'what is no name of a header',
      'service_discovery: static\nrouting_logic: session\nstatic_backends: http://a:1\nsession_key: user id',
      ['4:14 session_key: "user id" is not the name of a header'],
    ],
    [
      'lists of different lengths',
      'service_discovery: static\nrouting_logic: roundrobin\nstatic_backends: "http://a:1,http://b:2"\nstatic_models: m',
      [
        '4:16 static_models: 1 model for 2 backends: give one model per backend, in the same order, or leave it out to ask the engines',
      ],
    ],
    [
      'types that are too many, and no types',
      'service_discovery: static\nrouting_logic: roundrobin\nstatic_backends: http://a:1\nstatic_model_types: "chatt,chat"',
      [
        '4:21 static_model_types: 2 types for 1 backend: give one type per backend, in the same order, or leave it out',
        '4:21 static_model_types[0]: "chatt" is not one of "chat", "completion", "embeddings", "rerank", "score", "transcription", "vision", "messages"; did you mean "chat"?',
      ],
    ],
    [
      'health checks without types',
      'service_discovery: static\nrouting_logic: roundrobin\nstatic_backends: http://a:1\nstatic_backend_health_checks: true',
      [expect.stringMatching(/^1:1 static_model_types\[0\]: model types must be provided/)],
    ],
    [
      'health checks that are none',
      'service_discovery: static\nrouting_logic: roundrobin\nstatic_backends: http://a:1\nstatic_backend_health_checks: maybe\nstatic_backend_health_check_interval: 0',
      [
        '4:31 static_backend_health_checks: "maybe" is not true or false',
        '5:39 static_backend_health_check_interval: duration 0 is out of range: more than 0 to 24 days',
      ],
    ],
    [
      'an engine that is listed twice for one model',
      'service_discovery: static\nrouting_logic: roundrobin\nstatic_backends: "http://a:1,http://a:1"\nstatic_models: "m,m"',
      ['3:18 static_backends[1]: "http://a:1" is the same engine as item 1 of the list'],
    ],
    [
      'items, by their place in the text',
      'service_discovery: static\nrouting_logic: roundrobin\nstatic_backends: "http://a:1,,ftp://c"\nstatic_models: [m, "", 7]',
      [
        '3:18 static_backends[1]: "" is not the URL of an engine: write it like http://10.0.0.1:8000, without path, query or user',
        '3:18 static_backends[2]: "ftp://c" is not the URL of an engine: write it like http://10.0.0.1:8000, without path, query or user',
        '4:20 static_models[1]: must not be empty',
        '4:24 static_models[2]: 7 is not a string',
      ],
    ],
    [
      'what is neither a list nor a string',
      'service_discovery: static\nrouting_logic: roundrobin\nstatic_backends: 8000\nstatic_aliases: true',
      [
        '3:18 static_backends: 8000 is neither a list nor a string with commas between its items',
        '4:17 static_aliases: true is neither a list nor a string with commas between its items',
      ],
    ],
    [
      'empty lists',
      'service_discovery: static\nrouting_logic: roundrobin\nstatic_backends: ""',
      ['3:18 static_backends: names no engine'],
    ],
    [
      'aliases that are no pairs',
      'serviceDiscovery: static\nstaticBackends: http://a:1\nstaticAliases: "a:b,c,d:e:f"',
      [
        '3:16 staticAliases[1]: "c" is not an alias and a model with one ":" between them; a mapping can have names with more',
        '3:16 staticAliases[2]: "d:e:f" is not an alias and a model with one ":" between them; a mapping can have names with more',
      ],
    ],
    [
      'callbacks',
      'service_discovery: static\nrouting_logic: roundrobin\nstatic_backends: http://a:1\ncallbacks: my.module',
      ['4:12 callbacks: Sluice does not run Python code: remove the field'],
    ],
    [
      'models without backends',
      'service_discovery: static\nrouting_logic: roundrobin\nstatic_backends: http://a:1\nstatic_model_types: chat\nstatic_models:\n  a: [http://a:1]\n  b: {static_backend: http://a:1}\n  c: {static_backends: 7}\n  d: {static_backends: []}',
      [
        '3:18 static_backends: stands beside static_models, which lists the backends of each model already: remove it',
        '4:21 static_model_types: stands beside static_models, which says the type of each model already: remove it',
        '6:6 static_models.a: ["http://a:1"] is not a mapping with static_backends',
        '7:6 static_models.b.static_backends: is missing',
        '7:7 static_models.b.static_backend: there is no field "static_backend" here; did you mean "static_backends"?',
        '8:24 static_models.c.static_backends: 7 is neither a list nor a string with commas between its items',
        '9:24 static_models.d.static_backends: names no engine',
      ],
    ],
    [
      'no models',
      'service_discovery: static\nrouting_logic: roundrobin\nstatic_models: {}',
      ['3:16 static_models: names no model'],
    ],
  ];
  it.each(faults)('reports %s', (_, text, expected) => {
    expect(faultsOf(text)).toEqual(expected);
  });
});
