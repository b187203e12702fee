import { describe, expect, it } from '@jest/globals';
import { explainConfig } from '../../../src/config/explain/explain-config.ts';
import { loadConfig, parseConfig, type LoadOptions } from '../../../src/config/load.ts';

/** The lines below each title; the first title names the file. */
function blocks(text: string, options?: LoadOptions): Record<string, string[]> {
  return Object.fromEntries(
    explainConfig(parseConfig(text, 'sluice.yaml', options))
      .trimEnd()
      .split('\n\n')
      .map((block) => block.split('\n'))
      .map(([title = '', ...lines]) => [title, lines.map((line) => line.trim().replace(/ {2,}/g, ' | '))]),
  );
}

describe('explainConfig()', () => {
  it('explains a whole configuration', () => {
    const text = `
pluginConfig:
  - name: least-request
    args: { maxWaitingRequests: 5 }
plugins:
  Score:
    enabled: [{ name: least-request, weight: 1 }, { name: gpu-usage, weight: 3 }]
  Filter:
    disabled: [lora-affinity]
`;
    expect(explainConfig(parseConfig(text, 'sluice.yaml')).replace(/form .*/, 'form …'))
      .toBe(`sluice.yaml: can be used
  form …

Filters (default)
  least-request  Drops endpoints whose engine has too many requests in its queue.

Scorers
  least-request  weight 1  25 % of the total  Prefers endpoints with fewer requests in flight, and strongly those whose engine does not queue them.
  kv-cache       weight 3  75 % of the total  Prefers endpoints with more free KV cache. The same as gpu-usage.

Arguments
  least-request  maxWaitingRequests  5
                 loadScale           10 (default)

Disabled
  lora-affinity  filter  was not enabled
  \`disabled\` removes a plugin whatever enables it; Kthena's router ignores it.

Decisions
  maxEndpoints  3 (default)  How many endpoints a decision names: one to go to, the others to fail over to.

Auth
  no issuer: nobody has to show a token

Discovery
  none here: name engines with --static-backends, or find them with --service-discovery k8s

Everything else
  has its default
`);
  });

  it('shows all of a section about users or engines, with what is default in it', () => {
    expect(
      blocks(
        `discovery: { static: { backends: [{ url: 'http://10.0.0.1:8000', models: [m, n] }, { url: 'http://10.0.0.2:8000' }] } }`,
      ),
    ).toHaveProperty('Discovery', [
      'dnsInterval | 10s (default)',
      'static.backends[0].url | http://10.0.0.1:8000',
      'static.backends[0].models | m, n',
      'static.backends[1].url | http://10.0.0.2:8000',
      'static.backends[1].models | none (default)',
      'static.healthChecks.enabled | false (default)',
      'static.healthChecks.interval | 1m (default)',
      'static.healthChecks.timeout | 10s (default)',
    ]);
    expect(blocks('models: { aliases: { gpt-4: llama } }')).toHaveProperty('Models', [
      'aliases.gpt-4 | llama',
      'rewrites | none (default)',
    ]);
    expect(blocks('fairness: { windowSize: 600 }')['Fairness']).toEqual(
      expect.arrayContaining([
        'enabled | false (default)',
        'windowSize | 10m',
        'queueTimeout | 1m (default)',
      ]),
    );
  });

  it('says that engines are missing even where the section says something else', () => {
    expect(blocks('discovery: { dnsInterval: 1m }')).toHaveProperty('Discovery', [
      'none here: name engines with --static-backends, or find them with --service-discovery k8s',
      'dnsInterval | 1m',
      'static.backends | none (default)',
      'static.healthChecks.enabled | false (default)',
      'static.healthChecks.interval | 1m (default)',
      'static.healthChecks.timeout | 10s (default)',
    ]);
  });

  it('says how engines are found in Kubernetes', () => {
    expect(
      blocks('discovery: { kubernetes: { pods: [{ port: http }, {}], services: [{ name: a }] } }'),
    ).toHaveProperty('Discovery', [
      'dnsInterval | 10s (default)',
      'static.backends | none (default)',
      'static.healthChecks.enabled | false (default)',
      'static.healthChecks.interval | 1m (default)',
      'static.healthChecks.timeout | 10s (default)',
      'kubernetes.silenceTimeout | 30s (default)',
      'kubernetes.pods[0].namespaces | none (default)',
      'kubernetes.pods[0].labelSelectors | none (default)',
      'kubernetes.pods[0].port | http',
      'kubernetes.pods[0].tls | false (default)',
      'kubernetes.pods[1].namespaces | none (default)',
      'kubernetes.pods[1].labelSelectors | none (default)',
      'kubernetes.pods[1].port | 8000 (default)',
      'kubernetes.pods[1].tls | false (default)',
      'kubernetes.inferencePools | none (default)',
      'kubernetes.services[0].name | a',
      'kubernetes.services[0].tls | false (default)',
    ]);
  });

  it('shows of all other sections what is not as it would be anyway', () => {
    const text = `
limits: { maxBodyBytes: 16777216, drainTimeout: 300, maxBodyDepth: 128 }
envoy: { upstreamTls: { caFile: ca.pem } }
routes: { allow: [/a, '/b/*'] }
log: { level: debug, access: true }
`;
    expect(blocks(text)).toHaveProperty('Everything else', [
      'limits.drainTimeout | 5m | instead of 30s',
      'routes.allow | /a, /b/* | instead of none',
      'envoy.upstreamTls.caFile | ca.pem',
      'log.level | debug | instead of info',
      'What is not listed has its default.',
    ]);
  });

  it('shows what was skipped, let pass and without effect', () => {
    const text =
      'kind: ConfigMap\nmetadata: {name: c}\ndata: {routerConfiguration: "surprise: 1"}\n---\nkind: Secret\nmetadata: {name: s}\n';
    const env = {
      ENABLE_FAIRNESS_SCHEDULING: 'true',
      FAIRNESS_PRIORITY_REFRESH_RETRIES: '1',
      REDIS_HOST: 'redis',
      REDIS_PASSWORD: 'open/sesame',
    };
    const explained = blocks(text, { lenient: true, env });
    expect(explained).toHaveProperty(
      ['sluice.yaml: can be used'],
      [
        expect.stringContaining('key routerConfiguration of ConfigMap "c"'),
        expect.stringMatching(/^skipped \| Secret "s"/),
      ],
    );
    expect(explained).toHaveProperty(
      ['Warnings: let pass by --lenient'],
      [expect.stringContaining('surprise: there is no field "surprise" here')],
    );
    expect(explained['Notes']).toContainEqual(
      expect.stringContaining('FAIRNESS_PRIORITY_REFRESH_RETRIES is not in effect'),
    );
    expect(explained['Everything else']).toContain(
      'limits.store | redis://****@redis:6379 | instead of memory',
    );
    expect(JSON.stringify(explained)).not.toContain('sesame');
  });

  it('explains the defaults', () => {
    const text = explainConfig(loadConfig(undefined));
    expect(text).toMatch(/^The defaults: can be used\n/);
    expect(text).toContain('Scorers (default)\n');
    expect(text).toMatch(/\n {2}prefix-cache {2,}weight 1 {2,}25 % of the total/);
  });
});
