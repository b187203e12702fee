import { describe, expect, it } from '@jest/globals';
import { Command } from 'commander';
import { dynamicConfigOf, readCommandLine } from '../../src/cli/vllm-router-command-line.ts';
import { addVllmRouterOptions, type VllmRouterFlags } from '../../src/cli/vllm-router-options.ts';

function flagsOf(...args: readonly string[]): VllmRouterFlags {
  return addVllmRouterOptions(new Command('test')).exitOverride().parse(args, { from: 'user' }).opts();
}

const read = (...args: readonly string[]) => readCommandLine(flagsOf(...args), {});

/** Each fault as `option: message`. */
const faultsOf = (...args: readonly string[]) =>
  read(...args).faults.map(({ path, message }) => `${path}: ${message}`);

describe('readCommandLine()', () => {
  it('has the defaults of vllm-router', () => {
    expect(read()).toEqual({
      listen: '0.0.0.0:8001',
      routing: { service_discovery: null, routing_logic: null },
      settings: {},
      defaults: {
        scrape: { interval: '30s' },
        stats: { window: '60s', routingLog: true, vllmNames: true },
        log: { level: 'info', format: 'pretty' },
        routes: { metrics: true },
        admin: { port: 0 },
      },
      kubernetes: {},
      pluginConfig: [],
      faults: [],
    });
  });

  const settings: [string[], Record<string, unknown>][] = [
    [['--engine-stats-interval', '15'], { scrape: { interval: '15s' } }],
    [['--request-stats-window', '30'], { stats: { window: '30s' } }],
    [['--log-stats'], { stats: { logInterval: '10s' } }],
    [['--log-stats', '--log-stats-interval', '30'], { stats: { logInterval: '30s' } }],
    [['--log-stats-interval', '30'], {}],
    [['--log-level', 'critical'], { log: { level: 'fatal' } }],
    [['--log-level', 'error'], { log: { level: 'error' } }],
    [['--log-level', 'warning'], { log: { level: 'warn' } }],
    [['--log-level', 'info'], { log: { level: 'info' } }],
    [['--log-level', 'debug'], { log: { level: 'debug' } }],
    [['--log-level', 'trace'], { log: { level: 'trace' } }],
    [['--log-format', 'text'], { log: { format: 'pretty' } }],
    [['--log-format', 'json'], { log: { format: 'json' } }],
    [
      ['--max-instance-failover-reroute-attempts', '0'],
      { envoy: { retries: 0 }, scheduler: { maxEndpoints: 1 } },
    ],
    [
      ['--max-instance-failover-reroute-attempts', '4'],
      { envoy: { retries: 4 }, scheduler: { maxEndpoints: 5 } },
    ],
    [['--admin-host', '::1', '--admin-port', '9090'], { admin: { host: '::1', port: 9090 } }],
  ];
  it.each(settings)('%j are settings', (args, expected) => {
    expect(read(...args)).toMatchObject({ settings: expected, faults: [] });
    expect(Object.keys(read(...args).settings)).toEqual(Object.keys(expected));
  });

  const routing: [string[], Record<string, unknown>][] = [
    [['--service-discovery', 'static'], { service_discovery: 'static' }],
    [['--static-backends', 'http://a:1,http://b:2'], { static_backends: 'http://a:1,http://b:2' }],
    [['--static-models', 'm,n'], { static_models: 'm,n' }],
    [['--static-aliases', 'a:m'], { static_aliases: 'a:m' }],
    [['--static-model-types', 'chat'], { static_model_types: 'chat' }],
    [['--static-model-labels', 'l'], { static_model_labels: 'l' }],
    [['--static-backend-health-checks'], { static_backend_health_checks: true }],
    [['--static-backend-health-check-interval', '5'], { static_backend_health_check_interval: 5 }],
    [
      ['--static-backend-health-check-timeout-seconds', '3'],
      { static_backend_health_check_timeout_seconds: 3 },
    ],
    [['--routing-logic', 'session'], { routing_logic: 'session' }],
    [['--session-key', 'X-User'], { session_key: 'X-User' }],
    [['--k8s-port', '8000'], { k8s_port: 8000 }],
    [['--k8s-namespace', 'llm'], { k8s_namespace: 'llm' }],
    [['--k8s-label-selector', 'app=vllm'], { k8s_label_selector: 'app=vllm' }],
    [['--k8s-service-discovery-type', 'pod-ip'], {}],
    // vllm-router looks at it only where it discovers in Kubernetes.
    [['--k8s-service-discovery-type', 'service-name'], {}],
    [['--backend-health-check-timeout-seconds', '10'], {}],
  ];
  it.each(routing)('%j are routing, in the words of a dynamic configuration', (args, expected) => {
    expect(read(...args)).toMatchObject({ settings: {}, faults: [] });
    expect(read(...args).routing).toEqual({ service_discovery: null, routing_logic: null, ...expected });
  });

  it.each([
    [['--host', '127.0.0.1', '--port', '8000'], '127.0.0.1:8000'],
    [['--host', '::'], '[::]:8001'],
    [['--host', '[::1]', '--port', '0'], '[::1]:0'],
    [['--host', 'localhost'], 'localhost:8001'],
  ])('listens where %j says', (args, listen) => {
    expect(read(...args)).toMatchObject({ listen, faults: [] });
  });

  const plugins: [string[], unknown[]][] = [
    [['--prefix-min-match-length', '0'], [{ name: 'prefix-cache', args: { minMatchBytes: 0 } }]],
    [['--prefix-min-match-length', '8192'], [{ name: 'prefix-cache', args: { minMatchBytes: 8192 } }]],
    [
      ['--prefix-min-match-length', '8193'],
      [{ name: 'prefix-cache', args: { minMatchBytes: 8193, maxBlocksToMatch: 129 } }],
    ],
    [
      ['--prefix-min-match-length', '262144'],
      [{ name: 'prefix-cache', args: { minMatchBytes: 262_144, maxBlocksToMatch: 4096 } }],
    ],
    [['--request-stats-window', '30'], [{ name: 'session-affinity', args: { statsWindowSeconds: 30 } }]],
  ];
  it.each(plugins)('%j are parameters of plugins', (args, pluginConfig) => {
    expect(read(...args)).toMatchObject({ pluginConfig, faults: [] });
  });

  it.each([
    ['0', {}],
    ['1', { silenceTimeout: '2s' }],
    ['2', { silenceTimeout: '2s' }],
    ['300', { silenceTimeout: '300s' }],
  ])('believes a silent API server as long as --k8s-watcher-timeout-seconds %s says', (text, kubernetes) => {
    expect(read('--k8s-watcher-timeout-seconds', text)).toMatchObject({ settings: {}, faults: [] });
    expect(read('--k8s-watcher-timeout-seconds', text).kubernetes).toEqual(kubernetes);
  });

  it('takes the API key of the engines from the environment', () => {
    const scrapeOf = (key: string) => readCommandLine({}, { VLLM_API_KEY: key }).defaults['scrape'];
    expect(scrapeOf('sk-1')).toEqual({ interval: '30s', apiKey: 'sk-1' });
    expect(scrapeOf('')).toEqual({ interval: '30s' });
  });

  it('never shows an API key that cannot be sent', () => {
    expect(readCommandLine({}, { VLLM_API_KEY: 'my secret' }).faults).toEqual([
      {
        file: 'environment',
        line: 0,
        column: 0,
        path: 'VLLM_API_KEY',
        message: 'must be visible ASCII characters without blanks, as a header needs it',
      },
    ]);
  });

  it.each([
    [['--port', '65536'], '--port: 65536 is not a whole number from 0 to 65535'],
    [['--port', 'http'], '--port: "http" is not a whole number from 0 to 65535'],
    [['--port=-1'], '--port: -1 is not a whole number from 0 to 65535'],
    [['--k8s-port', '0'], '--k8s-port: 0 is not a whole number from 1 to 65535'],
    [['--engine-stats-interval', '0'], '--engine-stats-interval: 0 is not a whole number from 1 to 86400'],
    [
      ['--engine-stats-interval', '1.5'],
      '--engine-stats-interval: 1.5 is not a whole number from 1 to 86400',
    ],
    [['--request-stats-window', '3601'], '--request-stats-window: 3601 is not a whole number from 1 to 3600'],
    [['--log-stats-interval', ''], '--log-stats-interval: "" is not a whole number from 1 to 86400'],
    [
      ['--prefix-min-match-length', '262145'],
      '--prefix-min-match-length: 262145 is not a whole number from 0 to 262144',
    ],
    [
      ['--max-instance-failover-reroute-attempts', '11'],
      '--max-instance-failover-reroute-attempts: 11 is not a whole number from 0 to 10',
    ],
    [
      ['--static-backend-health-check-interval', '0'],
      '--static-backend-health-check-interval: 0 is not a whole number from 1 to 86400',
    ],
    [
      ['--log-level', 'warnings'],
      '--log-level: "warnings" is not one of "critical", "error", "warning", "info", "debug", "trace"; did you mean "warning"?',
    ],
    [['--log-format', 'xml'], '--log-format: "xml" is not one of "text", "json"'],
    [
      ['--k8s-service-discovery-type', 'pods'],
      '--k8s-service-discovery-type: "pods" is not one of "pod-ip", "service-name"',
    ],
    [
      ['--host', 'gpu-1'],
      '--host: "gpu-1" is not an address to listen on: write an IP address, like 0.0.0.0 or ::',
    ],
    [
      ['--service-discovery', 'k8s', '--k8s-service-discovery-type', 'service-name'],
      '--k8s-service-discovery-type: "service-name" sends to Services, behind which engines cannot be told apart: use "pod-ip"; or let `sluice router` follow the engines of a Service, which discovery.kubernetes.services names',
    ],
    [
      ['--service-discovery', 'external-only'],
      '--service-discovery: "external-only" is not in Sluice, which sends requests to your own engines only: use "static", and name them with --static-backends',
    ],
    [
      ['--dynamic-config-json', 'a', '--dynamic-config-yaml', 'b'],
      '--dynamic-config-yaml: stands beside --dynamic-config-json: give one of them',
    ],
    [
      ['--enable-batch-api'],
      '--enable-batch-api: Sluice keeps no files and runs no batches: send each request to /v1/chat/completions',
    ],
  ])('refuses %j', (args, fault) => {
    expect(faultsOf(...args)).toEqual([fault]);
  });

  it('tells of all faults at once, and leaves out what is wrong', () => {
    const args = [
      '--port',
      'x',
      '--engine-stats-interval',
      '0',
      '--log-level',
      'loud',
      '--log-format',
      'json',
    ];
    expect(faultsOf(...args).map((fault) => fault.split(':')[0])).toEqual([
      '--port',
      '--engine-stats-interval',
      '--log-level',
    ]);
    expect(read(...args)).toMatchObject({ listen: '0.0.0.0:8001', settings: { log: { format: 'json' } } });
    expect(read(...args).settings).toEqual({ log: { format: 'json' } });
  });

  it('does not mind discovery that a dynamic configuration takes the place of', () => {
    expect(faultsOf('--service-discovery', 'external-only', '--dynamic-config-json', 'f')).toEqual([]);
    const serviceName = ['--service-discovery', 'k8s', '--k8s-service-discovery-type', 'service-name'];
    expect(faultsOf(...serviceName, '--dynamic-config-json', 'f')).toEqual([]);
  });
});

describe('dynamicConfigOf()', () => {
  it.each([
    [[], undefined],
    [['--dynamic-config-json', 'a.json'], 'a.json'],
    [['--dynamic-config-yaml', 'a.yaml'], 'a.yaml'],
  ])('of %j is %s', (args, file) => {
    expect(dynamicConfigOf(flagsOf(...args))).toBe(file);
  });
});
