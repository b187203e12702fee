import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Command } from 'commander';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readVllmRouterOptions } from '../../src/cli/vllm-router-config.ts';
import { addVllmRouterOptions, type VllmRouterFlags } from '../../src/cli/vllm-router-options.ts';
import { explainConfig } from '../../src/config/explain/explain-config.ts';
import type { LoadedConfig } from '../../src/config/load.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sluice-test-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const full = path.join(folder, name);
  writeFileSync(full, text);
  return full;
}

function read(...args: readonly string[]) {
  const command = addVllmRouterOptions(new Command('test')).exitOverride();
  const flags: VllmRouterFlags = command.parse(args, { from: 'user' }).opts();
  return readVllmRouterOptions(flags, {});
}

/** What keeps the command line from being used, a line for each fault, after the first line. */
function faultsOf(...args: readonly string[]): string[] {
  try {
    read(...args);
  } catch (error) {
    const [first, ...lines] = (error as Error).message.split('\n').map((line) => line.trim());
    expect(first).toBe(
      `Cannot use the command line: ${lines.length === 1 ? '1 fault' : `${lines.length} faults`}`,
    );
    return lines;
  }
  return [];
}

const scorersOf = ({ config }: LoadedConfig) =>
  config.scheduler.profile.scorers.map(({ type, weight }) => [type, weight]);
const paramsOf = ({ config }: LoadedConfig, type: string) =>
  config.scheduler.profile.scorers.find((scorer) => scorer.type === type)?.params;

/** The least that a command line must say. */
const least = ['--service-discovery', 'static', '--static-backends', 'http://a:1', '--routing-logic'];
const roundrobin = [...least, 'roundrobin'];
const k8s = ['--service-discovery', 'k8s', '--routing-logic', 'roundrobin'];

describe('readVllmRouterOptions()', () => {
  it("reads the example of vllm-router's README", () => {
    const { listen, loaded, source, reflectsConfig } = read(
      ...['--port', '8000'],
      ...['--service-discovery', 'static'],
      ...['--static-backends', 'http://localhost:9001,http://localhost:9002,http://localhost:9003'],
      '--static-models',
      'facebook/opt-125m,meta-llama/Llama-3.1-8B-Instruct,facebook/opt-125m',
      ...['--engine-stats-interval', '10'],
      '--log-stats',
      ...['--routing-logic', 'roundrobin'],
    );
    expect([listen, source, reflectsConfig]).toEqual(['0.0.0.0:8000', undefined, false]);
    const { config } = loaded;
    expect(config.discovery.static.backends).toEqual([
      { url: 'http://localhost:9001', models: ['facebook/opt-125m'] },
      { url: 'http://localhost:9002', models: ['meta-llama/Llama-3.1-8B-Instruct'] },
      { url: 'http://localhost:9003', models: ['facebook/opt-125m'] },
    ]);
    expect(config.scheduler.profile.filters).toEqual([]);
    expect(scorersOf(loaded)).toEqual([['round-robin', 1]]);
    expect(config.scrape).toMatchObject({ intervalMs: 10_000, staleAfterMs: 30_000 });
    expect(config.stats).toEqual({
      windowMs: 60_000,
      logIntervalMs: 10_000,
      routingLog: true,
      vllmNames: true,
    });
    expect(config.log).toMatchObject({ level: 'info', format: 'pretty' });
    expect(config.routes.metrics).toBe(true);
    expect(config.admin).toEqual({ host: '127.0.0.1', port: 0 });
    expect(config.envoy.retries).toBe(2);
    expect(loaded).toMatchObject({
      file: undefined,
      form: 'vllm-router command line',
      notes: [],
      warnings: [],
    });
  });

  it('reads metrics every 30 seconds by default, and believes them for three times as long', () => {
    expect(read(...roundrobin).loaded.config.scrape).toMatchObject({
      intervalMs: 30_000,
      staleAfterMs: 90_000,
    });
  });

  it('names the header of the session, and counts over the window for requests without one', () => {
    const { loaded } = read(
      ...[...least, 'session', '--session-key', 'X-User-Id', '--request-stats-window', '30'],
    );
    expect(loaded.config.sessions.headers).toEqual(['x-user-id']);
    expect(paramsOf(loaded, 'session-affinity')).toMatchObject({ statsWindowSeconds: 30 });
  });

  it('counts short matches of prefixaware for nothing, also where more is looked at than usual', () => {
    const { loaded } = read(...least, 'prefixaware', '--prefix-min-match-length', '10000');
    expect(scorersOf(loaded)).toEqual([
      ['prefix-cache', 1],
      ['least-request', 0.0001],
    ]);
    expect(paramsOf(loaded, 'prefix-cache')).toMatchObject({ minMatchBytes: 10_000, maxBlocksToMatch: 157 });
  });

  it('keeps the parameters that a routing logic brings along', () => {
    const { loaded } = read(...least, 'loadaware', '--prefix-min-match-length', '100');
    expect(paramsOf(loaded, 'least-request')).toMatchObject({ loadScale: 1 });
    expect(paramsOf(loaded, 'prefix-cache')).toMatchObject({ minMatchBytes: 100, maxBlocksToMatch: 128 });
  });

  it('lets aliases count before served models, and leaves out those of themselves', () => {
    expect(read(...roundrobin, '--static-aliases', 'gpt:m,m:m').loaded.config.models.rewrites).toEqual(
      new Map([['gpt', 'm']]),
    );
  });

  it('checks engines where asked to', () => {
    const args = ['--static-backend-health-checks', '--static-model-types', 'chat'];
    const checked = (...more: readonly string[]) =>
      read(...roundrobin, ...args, ...more).loaded.config.discovery.static;
    expect(checked()).toEqual({
      backends: [{ url: 'http://a:1', models: [], type: 'chat' }],
      healthChecks: { intervalMs: 60_000, timeoutMs: 10_000 },
    });
    expect(
      checked(
        ...['--static-backend-health-check-interval', '5'],
        ...['--static-backend-health-check-timeout-seconds', '2'],
      ).healthChecks,
    ).toEqual({ intervalMs: 5000, timeoutMs: 2000 });
  });

  it('finds engines in Kubernetes, with the defaults of vllm-router', () => {
    expect(read(...k8s).loaded.config.discovery).toMatchObject({
      type: 'kubernetes',
      kubernetes: {
        silenceTimeoutMs: 30_000,
        pods: [{ namespaces: ['default'], labelSelectors: [], port: 8000 }],
      },
    });
    const args = ['--k8s-namespace', 'llm', '--k8s-port', '9000', '--k8s-label-selector', 'app=vllm'];
    // As there, what is for a list of engines is read over.
    const idle = ['--static-backends', 'http://a:1', '--static-backend-health-checks'];
    expect(
      read(...k8s, ...args, ...idle, '--k8s-watcher-timeout-seconds', '60').loaded.config.discovery,
    ).toMatchObject({
      type: 'kubernetes',
      static: { backends: [], healthChecks: undefined },
      kubernetes: {
        silenceTimeoutMs: 60_000,
        pods: [{ namespaces: ['llm'], labelSelectors: ['app=vllm'], port: 9000 }],
      },
    });
  });

  it('minds no option of Kubernetes where engines are listed', () => {
    const args = ['--k8s-port', '9000', '--k8s-watcher-timeout-seconds', '60'];
    expect(read(...roundrobin, ...args).loaded.config.discovery).toMatchObject({
      type: 'static',
      static: { backends: [{ url: 'http://a:1' }] },
      kubernetes: undefined,
    });
  });

  it('tries as many other engines as it is told to', () => {
    const { config } = read(...roundrobin, '--max-instance-failover-reroute-attempts', '5').loaded;
    expect([config.envoy.retries, config.scheduler.maxEndpoints]).toEqual([5, 6]);
  });

  it('keeps the API key of the engines out of explanations', () => {
    const { loaded } = readVllmRouterOptions(
      { serviceDiscovery: 'static', staticBackends: 'http://a:1', routingLogic: 'roundrobin' },
      { VLLM_API_KEY: 'sk-secret' },
    );
    expect(loaded.config.scrape.apiKey).toBe('sk-secret');
    expect(explainConfig(loaded)).toMatch(/scrape\.apiKey +\*{4}/);
    expect(explainConfig(loaded)).not.toContain('sk-secret');
  });

  it.each([
    [
      [],
      [
        '--service-discovery: is missing: it is one of "static", "k8s"',
        '--routing-logic: is missing: it is one of "roundrobin", "session", "prefixaware", "loadaware"',
      ],
    ],
    [
      ['--service-discovery', 'static', '--routing-logic', 'roundrobin'],
      ['--static-backends: is missing: name the URLs of the engines'],
    ],
    [[...least, 'session'], ['--session-key: is missing: name the header that holds the session']],
    [
      [...least, 'sesion'],
      [
        '--routing-logic: "sesion" is not one of "roundrobin", "session", "prefixaware", "loadaware"; did you mean "session"?',
      ],
    ],
    [
      [...least, 'kvaware'],
      [
        '--routing-logic: "kvaware" needs an LMCache controller, which Sluice does not ask; "prefixaware" comes nearest',
      ],
    ],
    [
      [...roundrobin, '--static-backend-health-checks'],
      [
        expect.stringMatching(
          /^--static-model-types: model types must be provided where health checks are on/,
        ),
      ],
    ],
    [
      [...roundrobin, '--static-models', 'm,n', '--static-aliases', 'a', '--port', 'x', '--otel-secure'],
      [
        '--port: "x" is not a whole number from 0 to 65535',
        '--otel-secure: Sluice sends no traces: times are in /metrics, and in a log line for each request',
        '--static-models: 2 models for 1 backend: give one model per backend, in the same order, or leave it out to ask the engines',
        '--static-aliases: "a" is not an alias and a model with one ":" between them; a mapping can have names with more',
      ],
    ],
    [
      [
        '--service-discovery',
        'static',
        '--static-backends',
        'ftp://a,http://u:p@b:1',
        '--routing-logic',
        'x',
      ],
      [
        '--routing-logic: "x" is not one of "roundrobin", "session", "prefixaware", "loadaware"',
        '--static-backends: "ftp://a" is not the URL of an engine: write it like http://10.0.0.1:8000, without path, query or user',
        '--static-backends: "http://…@b:1" is not the URL of an engine: write it like http://10.0.0.1:8000, without path, query or user',
      ],
    ],
    [
      [...k8s, '--k8s-namespace', 'Team A', '--k8s-label-selector', 'app:vllm', '--k8s-port', '0'],
      [
        '--k8s-port: 0 is not a whole number from 1 to 65535',
        '--k8s-namespace: "Team A" is not the name of a namespace',
        '--k8s-label-selector: "app:vllm" is no label selector: write it like app=vllm, app in (a, b), or !app, with commas between',
      ],
    ],
    [[...k8s, '--k8s-namespace', ''], ['--k8s-namespace: "" names no namespace']],
  ])('refuses %j', (args, faults) => {
    expect(faultsOf(...args)).toEqual(faults);
  });

  describe('with --config', () => {
    it('takes everything else from there', () => {
      const config = file('sluice.yaml', 'limits: { drainTimeout: 5m }\nlog: { format: json }');
      const { loaded, source, reload } = read(...roundrobin, '--config', config);
      expect(loaded.config.limits.drainTimeoutMs).toBe(300_000);
      expect(loaded.config.log).toMatchObject({ level: 'info', format: 'json' });
      expect(loaded).toMatchObject({
        file: config,
        form: 'vllm-router command line over Sluice configuration',
      });
      expect(source).toBe(config);
      file('sluice.yaml', 'limits: { drainTimeout: 6m }');
      expect(reload().config.limits.drainTimeoutMs).toBe(360_000);
      expect(reload().config.discovery.static.backends).toEqual([{ url: 'http://a:1', models: [] }]);
    });

    it('lets options beat it, and it the defaults of options', () => {
      const config = file(
        'sluice.yaml',
        `
scrape: { interval: 5s }
stats: { window: 10s, routingLog: false }
admin: { port: 9090 }
sessions: { headers: [x-file] }
discovery: { static: { backends: [{ url: 'http://file:1' }] } }
scheduler:
  pluginConfig: [{ name: prefix-cache, args: { topKMatches: 2, MinMatchBytes: 7 } }, { name: kv-cache }]
  plugins: { Score: { enabled: [{ name: random, weight: 1 }] } }
`,
      );
      const args = [...least, 'prefixaware', '--prefix-min-match-length', '100', '--config', config];
      const { loaded } = read(...args, '--request-stats-window', '20');
      expect(loaded.config.scrape.intervalMs).toBe(5000);
      expect(loaded.config.stats).toMatchObject({ windowMs: 20_000, routingLog: false, vllmNames: true });
      expect(loaded.config.admin.port).toBe(9090);
      expect(loaded.config.sessions.headers).toEqual(['x-file']);
      expect(loaded.config.discovery.static.backends).toEqual([{ url: 'http://a:1', models: [] }]);
      expect(scorersOf(loaded)).toEqual([
        ['prefix-cache', 1],
        ['least-request', 0.0001],
      ]);
      expect(paramsOf(loaded, 'prefix-cache')).toMatchObject({ topKMatches: 2, minMatchBytes: 100 });
    });

    it('lets options say where pods are, and it how the API server is reached', () => {
      const config = file(
        'sluice.yaml',
        'discovery: { kubernetes: { context: prod, pods: [{ port: http, tls: true }] } }',
      );
      expect(read(...k8s, '--config', config).loaded.config.discovery.kubernetes).toMatchObject({
        context: 'prod',
        pods: [{ namespaces: ['default'], port: 8000, tls: false }],
      });
    });

    it.each([
      [
        k8s,
        "discovery: { static: { backends: [{ url: 'http://file:1' }] } }",
        'command line: discovery.static.backends: lists engines, and discovery.kubernetes',
      ],
      [
        roundrobin,
        'discovery: { kubernetes: { pods: [{}] } }',
        '--static-backends: lists engines, and discovery.kubernetes',
      ],
    ])('refuses %j beside engines from elsewhere in it', (args, text, message) => {
      const config = file('sluice.yaml', text);
      expect(() => read(...args, '--config', config)).toThrow(message);
    });

    it('refuses it where it cannot be used, now or later', () => {
      const config = file('sluice.yaml', 'limits: { drainTimeout: long }');
      expect(() => read(...roundrobin, '--config', config)).toThrow('sluice.yaml:1:25: limits.drainTimeout');
      file('sluice.yaml', '{}');
      const { reload } = read(...roundrobin, '--config', config);
      file('sluice.yaml', '');
      expect(reload).toThrow('is empty');
    });
  });

  describe('with a dynamic configuration', () => {
    const readme = {
      service_discovery: 'static',
      routing_logic: 'roundrobin',
      static_backends: 'http://localhost:9001,http://localhost:9002',
      static_models: 'm,n',
    };
    const dynamic = (more: object = {}) => file('dynamic.json', JSON.stringify({ ...readme, ...more }));

    it('takes discovery and routing from there', () => {
      const path = dynamic();
      const { loaded, source, reflectsConfig } = read('--dynamic-config-json', path);
      expect([source, reflectsConfig, loaded.file]).toEqual([path, true, path]);
      expect(loaded.config.discovery.static.backends).toEqual([
        { url: 'http://localhost:9001', models: ['m'] },
        { url: 'http://localhost:9002', models: ['n'] },
      ]);
      expect(scorersOf(loaded)).toEqual([['round-robin', 1]]);
      expect(loaded.config.scrape.intervalMs).toBe(30_000);
      expect(loaded.config.stats.vllmNames).toBe(true);
      expect(loaded.root).toEqual(readme);
    });

    it('reads YAML with the backends of each model', () => {
      const path = file(
        'dynamic.yaml',
        'service_discovery: static\nrouting_logic: loadaware\nstatic_models: { m: { static_backends: [http://b:2] } }',
      );
      const { loaded, source } = read('--dynamic-config-yaml', path);
      expect(source).toBe(path);
      expect(loaded.config.discovery.static.backends).toEqual([{ url: 'http://b:2', models: ['m'] }]);
    });

    it('lets the file take the place of what the command line says of both', () => {
      const args = [...least, 'session', '--session-key', 'x-user', '--static-models', 'other'];
      const { loaded } = read(...args, '--dynamic-config-json', dynamic());
      expect(scorersOf(loaded)).toEqual([['round-robin', 1]]);
      expect(loaded.config.discovery.static.backends.map(({ url }) => url)).toEqual([
        'http://localhost:9001',
        'http://localhost:9002',
      ]);
      expect(loaded.config.sessions.headers).toEqual([]);
    });

    it('keeps over every reload what the file does not say', () => {
      const { loaded, reload } = read(
        ...[
          '--dynamic-config-json',
          dynamic({ routing_logic: 'prefixaware', static_model_types: 'chat,score' }),
        ],
        ...[
          '--prefix-min-match-length',
          '100',
          '--request-stats-window',
          '30',
          '--engine-stats-interval',
          '7',
        ],
        ...['--max-instance-failover-reroute-attempts', '1', '--log-stats', '--static-aliases', 'a:m'],
        ...['--static-backend-health-checks', '--static-backend-health-check-interval', '5'],
      );
      const survives = ({ config }: LoadedConfig) => ({
        failovers: [config.envoy.retries, config.scheduler.maxEndpoints],
        scrapeMs: config.scrape.intervalMs,
        stats: config.stats,
        aliases: [...config.models.rewrites],
        healthChecks: config.discovery.static.healthChecks,
      });
      const expected = {
        failovers: [1, 2],
        scrapeMs: 7000,
        stats: { windowMs: 30_000, logIntervalMs: 10_000, routingLog: true, vllmNames: true },
        aliases: [['a', 'm']],
        healthChecks: { intervalMs: 5000, timeoutMs: 10_000 },
      };
      expect(survives(loaded)).toEqual(expected);
      expect(paramsOf(loaded, 'prefix-cache')).toMatchObject({ minMatchBytes: 100 });

      dynamic({ routing_logic: 'loadaware', static_model_types: 'chat,chat' });
      const second = reload();
      expect(survives(second)).toEqual(expected);
      expect(paramsOf(second, 'prefix-cache')).toMatchObject({ minMatchBytes: 100 });
      expect(paramsOf(second, 'least-request')).toMatchObject({ loadScale: 1 });

      dynamic({ routing_logic: 'session', session_key: 'x-user', static_model_types: 'chat,chat' });
      const third = reload();
      expect(survives(third)).toEqual(expected);
      expect(paramsOf(third, 'session-affinity')).toMatchObject({ statsWindowSeconds: 30 });
      expect(third.config.sessions.headers).toEqual(['x-user']);
    });

    it('lets the file take the place of aliases and health checks where it has some', () => {
      const path = dynamic({ static_aliases: 'b:n', static_backend_health_checks: false });
      const { loaded } = read(
        ...['--dynamic-config-json', path, '--static-aliases', 'a:m', '--static-backend-health-checks'],
      );
      expect(loaded.config.models.rewrites).toEqual(new Map([['b', 'n']]));
      expect(loaded.config.discovery.static.healthChecks).toBeUndefined();
    });

    it('finds engines in Kubernetes, whatever the command line says of a list', () => {
      const path = file(
        'dynamic.json',
        JSON.stringify({ service_discovery: 'k8s', routing_logic: 'roundrobin', k8s_namespace: 'llm' }),
      );
      const { loaded, reload } = read(
        ...['--dynamic-config-json', path, '--static-backend-health-checks', '--static-aliases', 'a:m'],
        ...['--k8s-port', '9000', '--k8s-watcher-timeout-seconds', '60'],
      );
      const discovery = {
        type: 'kubernetes',
        static: { healthChecks: undefined },
        kubernetes: { silenceTimeoutMs: 60_000, pods: [{ namespaces: ['llm'], port: 8000 }] },
      };
      expect(loaded.config.discovery).toMatchObject(discovery);
      expect(loaded.config.models.rewrites).toEqual(new Map([['a', 'm']]));
      expect(reload().config.discovery).toMatchObject(discovery);
      dynamic({ static_model_types: 'chat,chat' });
      expect(reload().config.discovery).toMatchObject({
        type: 'static',
        static: { healthChecks: { intervalMs: 60_000 } },
        kubernetes: undefined,
      });
    });

    it('takes everything else from --config, again with each reload', () => {
      const config = file('sluice.yaml', 'limits: { drainTimeout: 5m }\nmodels: { aliases: { c: m } }');
      const { loaded, reload } = read('--dynamic-config-json', dynamic(), '--config', config);
      expect(loaded.config.limits.drainTimeoutMs).toBe(300_000);
      expect(loaded.config.models.aliases).toEqual(new Map([['c', 'm']]));
      file('sluice.yaml', 'limits: { drainTimeout: 6m }');
      expect(reload().config.limits.drainTimeoutMs).toBe(360_000);
    });

    it.each([
      ['no file', undefined, [/^Cannot read configuration ".*dynamic\.json": there is no such file/]],
      ['broken JSON', '{', [/^Cannot use configuration ".*dynamic\.json": 1 fault/]],
      ['nothing', '', [/dynamic\.json:1:1: is empty$/]],
      [
        'all its faults',
        '{ "service_discovery": "statik", "routing_logic": "x", "static_backends": "http://a:1" }',
        [
          /: 2 faults\n/,
          /dynamic\.json:1:24: service_discovery: "statik"/,
          /dynamic\.json:1:51: routing_logic: "x"/,
        ],
      ],
      [
        'a configuration of Sluice',
        '{ "scrape": { "apiKey": "sk-secret" } }',
        [/dynamic\.json:1:1: is not a dynamic configuration, which has service_discovery and routing_logic/],
      ],
    ])('refuses %s', (_, text, messages) => {
      const args = ['--dynamic-config-json', path.join(folder, 'dynamic.json')];
      if (text !== undefined) file('dynamic.json', text);
      for (const message of messages) expect(() => read(...args)).toThrow(message);
      dynamic();
      const { reload } = read(...args);
      if (text === undefined) rmSync(path.join(folder, 'dynamic.json'));
      else file('dynamic.json', text);
      for (const message of messages) expect(reload).toThrow(message);
    });

    it('refuses aliases of the command line that are none', () => {
      expect(faultsOf('--dynamic-config-json', dynamic(), '--static-aliases', 'a')).toEqual([
        '--static-aliases: "a" is not an alias and a model with one ":" between them; a mapping can have names with more',
      ]);
    });
  });
});
