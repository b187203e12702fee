/** The examples of the manuals that people bring their configuration from, as they are printed there. */
import { describe, expect, it } from '@jest/globals';
import path from 'node:path';
import { readConfigSource } from '../../../src/config/source/config-source.ts';

const fixture = (name: string) => path.join(import.meta.dirname, '../fixtures', `${name}.txt`);

const schedulerSection = {
  pluginConfig: [
    { name: 'least-request', args: { maxWaitingRequests: 10 } },
    { name: 'least-latency', args: { TTFTTPOTWeightFactor: 0.5 } },
    {
      name: 'prefix-cache',
      args: { blockSizeToHash: 64, maxBlocksToMatch: 128, maxHashCacheSize: 50_000 },
    },
  ],
  plugins: {
    Filter: { enabled: ['least-request'], disabled: ['lora-affinity'] },
    Score: {
      enabled: ['least-request', 'kv-cache', 'least-latency', 'prefix-cache'].map((name) => ({
        name,
        weight: 1,
      })),
    },
  },
};

const auth = (audience: string) => ({
  issuer: 'testing@secure.istio.io',
  audiences: [audience],
  jwksUri: 'https://raw.githubusercontent.com/istio/istio/release-1.27/security/tools/jwt/samples/jwks.json',
});

const fairness = (windowSize: string, outputTokenWeight: number) => ({
  inferGateway: { fairness: { enabled: true, windowSize, inputTokenWeight: 1, outputTokenWeight } },
});

const backends = 'http://localhost:9001,http://localhost:9002,http://localhost:9003';
const models = 'facebook/opt-125m,meta-llama/Llama-3.1-8B-Instruct,facebook/opt-125m';

describe('readConfigSource() of an example', () => {
  it.each([
    [
      'kthena-scheduler.yaml',
      'key schedulerConfiguration of ConfigMap "kthena-infer-router-config"',
      schedulerSection,
    ],
    [
      'kthena-router.yaml',
      'key routerConfiguration of ConfigMap "{{ include "kthena.name" . }}-infer-router-config"',
      { scheduler: schedulerSection, auth: auth('kthena.io') },
    ],
    [
      'matrixinfer-scheduler.yaml',
      'key schedulerConfiguration of ConfigMap "matrixinfer-infer-gateway-config"',
      schedulerSection,
    ],
    [
      'matrixinfer-gateway.yaml',
      'key gatewayConfiguration of ConfigMap "{{ include "matrixinfer.name" . }}-infer-gateway-config"',
      { scheduler: schedulerSection, auth: auth('matrixinfer.io') },
    ],
    [
      'networking-chart-basic.yaml',
      '',
      {
        inferGateway: {
          enabled: true,
          replicas: 1,
          image: {
            repository: 'ghcr.io/volcano-sh/infer-gateway',
            tag: 'latest',
            pullPolicy: 'IfNotPresent',
          },
        },
      },
    ],
    ['networking-chart-fairness.yaml', '', fairness('10m', 2)],
    ['networking-chart-development.yaml', '', fairness('2m', 1)],
    ['networking-chart-production.yaml', '', fairness('10m', 2.5)],
    ['networking-chart-cost-sensitive.yaml', '', fairness('30m', 4)],
    [
      'networking-chart-tls.yaml',
      '',
      {
        inferGateway: { tls: { enabled: true, dnsName: 'your-domain.com', secretName: 'infer-gateway-tls' } },
      },
    ],
    [
      'networking-chart-resource.yaml',
      '',
      {
        inferGateway: {
          resource: {
            limits: { cpu: '500m', memory: '512Mi' },
            requests: { cpu: '100m', memory: '128Mi' },
          },
        },
      },
    ],
    [
      'static-route.yaml',
      'StaticRoute "staticroute-sample"',
      {
        serviceDiscovery: 'static',
        routingLogic: 'roundrobin',
        staticBackends: backends,
        staticModels: models,
        routerRef: { kind: 'Service', apiVersion: 'v1', name: 'vllm-router', namespace: 'default' },
        configMapName: 'vllm-router-config',
      },
    ],
    [
      'dynamic-config.json',
      '',
      {
        service_discovery: 'static',
        routing_logic: 'roundrobin',
        static_backends: backends,
        static_models: models,
      },
    ],
    ['health.json', '', { status: 'healthy', dynamic_config: '<current_dynamic_config (JSON object)>' }],
  ])('finds the configuration in %s', (name, form, root) => {
    expect(readConfigSource(fixture(name))).toMatchObject({ form, root, skipped: [] });
    expect(readConfigSource(fixture(name)).root).toEqual(root);
  });

  it.each([
    ['kthena-scheduler.yaml', ['plugins', 'Score', 'enabled', 1, 'name'], '35:19'],
    ['kthena-router.yaml', ['auth', 'audiences', 0], '39:19'],
    ['matrixinfer-gateway.yaml', ['scheduler', 'pluginConfig', 1, 'args', 'TTFTTPOTWeightFactor'], '15:33'],
    ['static-route.yaml', ['staticBackends'], '13:19'],
    ['dynamic-config.json', ['routing_logic'], '3:22'],
    ['networking-chart-fairness.yaml', ['inferGateway', 'fairness', 'windowSize'], '8:17'],
  ])('places values of %s', (name, at, expected) => {
    const { line, column } = readConfigSource(fixture(name)).position(at);
    expect(`${line}:${column}`).toBe(expected);
  });

  it.each([
    ['inference-service.yaml', 'holds InferenceService "basic-inference" (line 1)'],
    ['inference-gateway.yaml', 'holds InferenceGateway "llm-gateway" (line 1)'],
    [
      'inference-cache.yaml',
      'holds InferenceCache "llama3-chatbot-cache" (line 1), SpeculativeDecoding "sd-llama3-chatbot" (line 13), PrefillDecodingDisaggregation "pdd-llama3-chatbot" (line 21)',
    ],
  ])('finds none in %s', (name, found) => {
    expect(() => readConfigSource(fixture(name))).toThrow(`${found}, which does not configure Sluice`);
  });
});
