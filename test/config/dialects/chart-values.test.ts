import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { chartValues } from '../../../src/config/dialects/chart-values.ts';
import type { Dialect } from '../../../src/config/dialects/dialect.ts';
import { fairnessSection } from '../../../src/config/sections/fairness.ts';
import { sessionBoostSection } from '../../../src/config/sections/session-boost.ts';
import type { Written } from '../../../src/config/written.ts';
import { printedValues } from '../../support/kthena-chart.ts';

/** The content of a values file, and the dialect that it is written in. */
function read(text: string): { root: Written; dialect: Dialect | undefined } {
  const root = parse(text) as Written;
  return { root, dialect: chartValues.find((candidate) => candidate.recognises(root)) };
}

function toSluice(text: string): Written | undefined {
  const { root, dialect } = read(text);
  return dialect?.toSluice(root);
}

/** Place and message of everything that is wrong. */
function findings(text: string): string[] {
  const { root, dialect } = read(text);
  return (dialect?.check?.(root) ?? []).map(({ path, key, message }) => {
    const place = key === undefined ? path : [...path, key];
    return `${place.join('.')}: ${message}`;
  });
}

const { basic, commented, development, production, costSensitive, tls, resource } = printedValues;
/** helm install --set networking.inferGateway.fairness.enabled=true and so on. */
const setByFlags = `
networking:
  inferGateway:
    fairness: { enabled: true, windowSize: 10m, outputTokenWeight: 3.0 }
`;

/** What Kthena's chart has today. */
const today = `
workload:
  enabled: true
networking:
  enabled: true
  kthenaRouter:
    enabled: true
    port: 8080
    debugPort: 15000
    image: { repository: ghcr.io/volcano-sh/kthena-router, tag: latest, pullPolicy: IfNotPresent }
    tls: { enabled: false, dnsName: your-domain.com, secretName: kthena-router-tls }
    webhook: { enabled: true, port: 8443 }
    fairness: { enabled: false, windowSize: 1h, inputTokenWeight: 1.0, outputTokenWeight: 2.0, maxConcurrent: 0 }
    sessionBoost: { enabled: false, header: X-Session-ID, maxSessions: 4096, inflightPerPod: 16, gracePeriod: 0s, timeout: 30s }
    gatewayAPI: { enabled: false, inferenceExtension: false }
    sessionSticky: { store: memory, redis: { address: '', password: '' } }
    jwtAuth: { enabled: false }
    debugBackendPodHeader: false
    kubeAPIQPS: 0
    kubeAPIBurst: 0
    metrics: { port: 9090, exposeOnRouterPort: false }
    terminationGracePeriodSeconds: 330
    nodeSelector: {}
global:
  certManagementMode: auto
`;

const examples: [string, string, object][] = [
  ['the basic example', basic, {}],
  [
    'the fairness example',
    commented,
    { enabled: true, windowSizeMs: 600_000, inputTokenWeight: 1, outputTokenWeight: 2 },
  ],
  [
    'the development example',
    development,
    { enabled: true, windowSizeMs: 120_000, inputTokenWeight: 1, outputTokenWeight: 1 },
  ],
  [
    'the production example',
    production,
    { enabled: true, windowSizeMs: 600_000, inputTokenWeight: 1, outputTokenWeight: 2.5 },
  ],
  [
    'the cost-sensitive example',
    costSensitive,
    { enabled: true, windowSizeMs: 1_800_000, inputTokenWeight: 1, outputTokenWeight: 4 },
  ],
  ['the TLS example', tls, {}],
  ['the resource example', resource, {}],
  [
    'the values of the install example',
    setByFlags,
    { enabled: true, windowSizeMs: 600_000, outputTokenWeight: 3 },
  ],
  ['the values of the present chart', today, { enabled: false, windowSizeMs: 3_600_000, maxConcurrent: 0 }],
];

/** Everything that the present chart says of queues. */
const everyValue = `
kthenaRouter:
  fairness: { enabled: false, windowSize: 30m, inputTokenWeight: 0.5, outputTokenWeight: 3, maxConcurrent: 12 }
  sessionBoost: { enabled: true, header: X-Chat, maxSessions: 64, inflightPerPod: 2, gracePeriod: 250ms, timeout: 0s }
`;

describe('chartValues', () => {
  it.each(examples)('reads %s', (_, text, fairness) => {
    expect(findings(text)).toEqual([]);
    const written = toSluice(text);
    expect(Object.keys(written ?? {})).toEqual(['fairness', 'sessionBoost']);
    expect(fairnessSection.parse(written?.['fairness'])).toEqual({
      ...fairnessSection.parse({}),
      ...fairness,
    });
    expect(sessionBoostSection.parse(written?.['sessionBoost'])).toEqual(sessionBoostSection.parse({}));
  });

  it('reads all that the chart says of queues', () => {
    expect(findings(everyValue)).toEqual([]);
    const written = toSluice(everyValue);
    expect(fairnessSection.parse(written?.['fairness'])).toMatchObject({
      windowSizeMs: 1_800_000,
      inputTokenWeight: 0.5,
      outputTokenWeight: 3,
      maxConcurrent: 12,
    });
    expect(sessionBoostSection.parse(written?.['sessionBoost'])).toEqual({
      enabled: true,
      header: 'x-chat',
      maxSessions: 64,
      inflightPerPod: 2,
      gracePeriodMs: 250,
      timeoutMs: 3_540_000,
    });
  });

  it.each([
    ['inferGateway: {}', 'inferGateway'],
    ['networking: { inferGateway: {} }', 'networking.inferGateway'],
    ['kthenaRouter:', 'kthenaRouter'],
    ['networking: { kthenaRouter: {} }', 'networking.kthenaRouter'],
  ])('recognises %p', (text, place) => {
    const { root, dialect } = read(text);
    expect(dialect?.name).toBe(`Helm values under ${place}`);
    expect(dialect?.check?.(root)).toEqual([]);
    expect(dialect?.toSluice(root)).toEqual({ fairness: {}, sessionBoost: {} });
  });

  it.each([
    '{}',
    'fairness: {}',
    'networking: { webhook: {} }',
    'networking: inferGateway',
    'inferGatway: {}',
  ])('does not recognise %p', (text) => {
    expect(read(text).dialect).toBeUndefined();
  });

  it('puts config at the top, with fairness and sessionBoost beside it', () => {
    const text = `
      networking:
        inferGateway:
          replicas: 2
          config:
            scheduler: { plugins: { Filter: { enabled: [least-request] } } }
            log: { level: debug }
          fairness: { enabled: true }
    `;
    expect(toSluice(text)).toEqual({
      scheduler: { plugins: { Filter: { enabled: ['least-request'] } } },
      log: { level: 'debug' },
      fairness: { enabled: true },
      sessionBoost: {},
    });
    expect(findings(text)).toEqual([]);
  });

  it.each([
    ['inferGateway: {}', 'inferGateway'],
    ['networking: { kthenaRouter: {} }', 'networking.kthenaRouter'],
  ])('knows where %p says things', (text, place) => {
    const { dialect } = read(text);
    const toFile = (...path: (string | number)[]) => dialect?.toFile(path).join('.');
    expect(toFile('fairness', 'windowSize')).toBe(`${place}.fairness.windowSize`);
    expect(toFile('sessionBoost', 'enabled')).toBe(`${place}.sessionBoost.enabled`);
    expect(toFile('scheduler', 'pluginConfig', 0, 'name')).toBe(
      `${place}.config.scheduler.pluginConfig.0.name`,
    );
    expect(toFile()).toBe(`${place}.config`);
  });

  it('puts auth and discovery at the top as well, where they are said', () => {
    const text =
      'inferGateway: { auth: { issuer: x }, discovery: { dnsInterval: 1s }, config: { limits: {} }, envoy: {}, grpc: {} }';
    expect(toSluice(text)).toEqual({
      fairness: {},
      sessionBoost: {},
      auth: { issuer: 'x' },
      discovery: { dnsInterval: '1s' },
      limits: {},
    });
    expect(findings(text)).toEqual([]);
    expect(toSluice('inferGateway: {}')).toEqual({ fairness: {}, sessionBoost: {} });
  });

  it('leaves to the schema what fairness, sessionBoost and config hold', () => {
    const text =
      'inferGateway: { fairness: { windowSise: 5m }, sessionBoost: { timeuot: 5s }, config: { sheduler: {} } }';
    expect(toSluice(text)).toEqual({
      fairness: { windowSise: '5m' },
      sessionBoost: { timeuot: '5s' },
      sheduler: {},
    });
    expect(findings(text)).toEqual([]);
    expect(toSluice('inferGateway: { fairness: 5m }')).toMatchObject({ fairness: '5m' });
  });

  it.each([
    [
      'inferGateway: { fairnes: { enabled: true } }',
      ['inferGateway.fairnes: there is no field "fairnes" here; did you mean "fairness"?'],
    ],
    [
      'networking: { inferGateway: { replica: 2 } }',
      ['networking.inferGateway.replica: there is no field "replica" here; did you mean "replicas"?'],
    ],
    [
      'kthenaRouter: { scheduler: {} }',
      [
        'kthenaRouter.scheduler: there is no field "scheduler" here; Sluice reads fairness, sessionBoost, auth, discovery and config',
      ],
    ],
    [
      'kthenaRouter: { accessLog: { enabled: false }, drainTimeout: 5m }',
      [
        'kthenaRouter.accessLog: is not read here: write log.access, log.format and log.output under kthenaRouter.config',
        'kthenaRouter.drainTimeout: is not read here: write limits.drainTimeout under kthenaRouter.config',
      ],
    ],
    ['inferGateway: on', ['inferGateway: "on" is not a mapping']],
    ['inferGateway: { config: [] }', ['inferGateway.config: [] is not a mapping']],
    [
      'inferGateway: { config: { fairness: {}, sessionBoost: } }',
      [
        'inferGateway.config.fairness: is not read here: write it under inferGateway.fairness',
        'inferGateway.config.sessionBoost: is not read here: write it under inferGateway.sessionBoost',
      ],
    ],
    [
      '{ inferGateway: {}, scheduler: {}, fairness: {}, sessionBoost: {}, webhook: {} }',
      [
        'scheduler: is not read here: write it under inferGateway.config',
        'fairness: is not read here: write it under inferGateway.fairness',
        'sessionBoost: is not read here: write it under inferGateway.sessionBoost',
      ],
    ],
    [
      '{ kthenaRouter: {}, auth: { issuer: x } }',
      ['auth: is not read here: write it under kthenaRouter.auth'],
    ],
    [
      'networking: { kthenaRouter: {}, plugins: {}, enabled: true }',
      ['networking.plugins: is not read here: write it under networking.kthenaRouter.config'],
    ],
    [
      '{ inferGateway: {}, networking: { kthenaRouter: {} } }',
      ['networking.kthenaRouter: there is inferGateway as well: keep one of them'],
    ],
  ])('refuses %p', (text, expected) => {
    expect(findings(text)).toEqual(expected);
  });
});
