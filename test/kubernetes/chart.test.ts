import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { envoyConfigCommand } from '../../src/cli/envoy-config.ts';
import { fieldsAt } from '../../src/config/fields-at.ts';
import { configForm, fieldsOf, type JsonSchema } from '../../src/config/json-schema.ts';
import { parseConfig } from '../../src/config/load.ts';
import { configSchema, type Config } from '../../src/config/schema.ts';
import {
  containerOf,
  containersOf,
  find,
  forKubernetes,
  helmTemplate,
  kustomized,
  parseManifests,
  podOf,
  templated,
  tool,
  type KubeManifest,
} from './support/manifests.ts';
import { printedValues } from '../support/kthena-chart.ts';

const chart = path.resolve(import.meta.dirname, '../../manifests/chart');

describe('the chart', () => {
  let folder: string;
  let files = 0;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-chart-'));
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** `-f` with these values. */
  async function valuesFile(values: string | object): Promise<string[]> {
    const file = path.join(folder, `values-${files++}.yaml`);
    await writeFile(file, typeof values === 'string' ? values : stringify(values));
    return ['-f', file];
  }

  async function withValues(values: string | object): Promise<KubeManifest[]> {
    return templated(...(await valuesFile(values)));
  }

  const gateway = (inferGateway: object): Promise<KubeManifest[]> => withValues({ inferGateway });

  it('has values that sluice check reads as the chart does', async () => {
    const values = await readFile(path.join(chart, 'values.yaml'), 'utf8');
    expect(parseConfig(values, 'values.yaml').warnings).toEqual([]);
    const withDefaults = parseConfig(values, 'values.yaml').config.fairness;
    expect(withDefaults).toEqual(configOf(await templated()).fairness);
    const everything = await readFile(
      path.join(import.meta.dirname, 'support/chart-everything.yaml'),
      'utf8',
    );
    const { auth, discovery, limits } = parseConfig(everything, 'chart-everything.yaml').config;
    expect(auth.providers).toHaveLength(1);
    expect(discovery.kubernetes?.services).toHaveLength(1);
    expect(limits.drainTimeoutMs).toBe(300_000);
  });

  it('passes helm lint', async () => {
    expect(await tool('helm', ['lint', '--strict', ...forKubernetes, chart])).toContain('0 chart(s) failed');
  });

  describe('takes what the documentation of Kthena’s networking chart prints', () => {
    const printed: readonly (readonly [name: string, values: string, expected: object])[] = [
      ['the basic configuration', printedValues.basic, { fairness: { enabled: false } }],
      [
        'fairness',
        printedValues.commented,
        { fairness: { enabled: true, windowSizeMs: 600_000, inputTokenWeight: 1, outputTokenWeight: 2 } },
      ],
      [
        'the development environment',
        printedValues.development,
        { fairness: { enabled: true, windowSizeMs: 120_000, inputTokenWeight: 1, outputTokenWeight: 1 } },
      ],
      [
        'the production environment',
        printedValues.production,
        { fairness: { enabled: true, windowSizeMs: 600_000, inputTokenWeight: 1, outputTokenWeight: 2.5 } },
      ],
      [
        'the cost-sensitive environment',
        printedValues.costSensitive,
        { fairness: { enabled: true, windowSizeMs: 1_800_000, inputTokenWeight: 1, outputTokenWeight: 4 } },
      ],
      ['TLS', printedValues.tls, {}],
      ['resources', printedValues.resource, {}],
    ];

    it.each(printed)('%s', async (_, values, expected) => {
      expect(configOf(await withValues(values))).toMatchObject(expected);
    });

    it.each(printed)('%s, below networking', async (_, values, expected) => {
      const below = `networking:\n${values.replace(/^(?=.)/gm, '  ')}`;
      const objects = await withValues(below);
      expect(configOf(objects)).toMatchObject(expected);
      expect(objects).toEqual(await withValues(values));
    });

    it('its commands', async () => {
      const objects = await templated(
        ...['--set', 'networking.inferGateway.fairness.enabled=true'],
        ...['--set', 'networking.inferGateway.fairness.windowSize=10m'],
        ...['--set', 'networking.inferGateway.fairness.outputTokenWeight=3.0'],
      );
      expect(configOf(objects).fairness).toMatchObject({
        enabled: true,
        windowSizeMs: 600_000,
        inputTokenWeight: 1,
        outputTokenWeight: 3,
      });
    });

    it('its defaults', async () => {
      const objects = await templated();
      expect(configOf(objects).fairness).toMatchObject({
        enabled: false,
        windowSizeMs: 300_000,
        inputTokenWeight: 1,
        outputTokenWeight: 2,
      });
      expect(find(objects, 'Deployment')['spec']).toMatchObject({ replicas: 1 });
    });

    it('and makes of them what they say', async () => {
      const basic = podOf(await withValues(printed[0]![1]));
      expect(containerOf(basic, 'sluice')).toMatchObject({
        image: 'ghcr.io/volcano-sh/infer-gateway:latest',
        imagePullPolicy: 'IfNotPresent',
      });
      const resources = podOf(await withValues(printed[6]![1]));
      expect(containerOf(resources, 'sluice').resources).toEqual({
        limits: { cpu: '500m', memory: '512Mi' },
        requests: { cpu: '100m', memory: '128Mi' },
      });
    });
  });

  it('takes the values of a chart around it', async () => {
    const around = path.join(folder, 'kthena');
    await mkdir(path.join(around, 'charts'), { recursive: true });
    await cp(chart, path.join(around, 'charts/networking'), { recursive: true });
    await writeFile(
      path.join(around, 'Chart.yaml'),
      stringify({
        apiVersion: 'v2',
        name: 'kthena',
        version: '1.0.0',
        dependencies: [{ name: 'sluice', version: '0.1.0', alias: 'networking' }],
      }),
    );
    const inferGateway = { replicas: 3, fairness: { enabled: true, windowSize: '30m' } };
    const objects = parseManifests(
      await helmTemplate(around, ...(await valuesFile({ networking: { inferGateway } }))),
    );
    expect(objects).toEqual(await gateway(inferGateway));
  });

  it('gives way to nothing where it is not enabled', async () => {
    expect(await gateway({ enabled: false })).toEqual([]);
  });

  describe('refuses', () => {
    it.each([
      ['fairness.windowSize=59s', 'fairness/windowSize'],
      ['fairness.windowSize=30s', 'fairness/windowSize'],
      ['fairness.windowSize=61m', 'fairness/windowSize'],
      ['fairness.windowSize=2h', 'fairness/windowSize'],
      ['fairness.windowSize=1h1s', 'fairness/windowSize'],
      ['fairness.windowSize=3601', 'fairness/windowSize'],
      ['fairness.windowSize=never', 'fairness/windowSize'],
      ['fairness.inputTokenWeight=-0.1', 'fairness/inputTokenWeight'],
      ['fairness.outputTokenWeight=-1', 'fairness/outputTokenWeight'],
      ['fairness.outputTokenWeight=much', 'fairness/outputTokenWeight'],
      ['fairness.enabled=maybe', 'fairness/enabled'],
      ['fairness.windowsize=5m', "'windowsize' not allowed"],
      ['replicas=-1', 'replicas'],
      ['replicas=1.5', 'replicas'],
      ['image.pullPolicy=Sometimes', 'image/pullPolicy'],
      ['image.repository=', 'image/repository'],
      ['tls.dnsName=not a name', 'tls/dnsName'],
      ['tls.secretName=', 'tls/secretName'],
      ['tls.issuerRef.name=letsencrypt', 'dnsName'],
      ['resources.limits.cpu=1', "'resources' not allowed"],
      ['service.port=70000', 'service/port'],
      [
        'config.discovery.dnsInterval=1s',
        'inferGateway.config.discovery is not read: write it under inferGateway.discovery',
      ],
      [
        'config.fairness.enabled=true',
        'inferGateway.config.fairness is not read: write it under inferGateway.fairness',
      ],
      ['config.limits.drainTimeout=soon', '"soon" is not a duration'],
    ])('%s', async (value, words) => {
      await expect(templated('--set', `inferGateway.${value}`)).rejects.toThrow(words);
      await expect(templated('--set', `networking.inferGateway.${value}`)).rejects.toThrow(words);
    });

    it.each(['inferGatway.replicas=1', 'networking.infergateway.replicas=1', 'fairness.enabled=true'])(
      '%s, which nobody reads',
      async (value) => {
        await expect(templated('--set', value)).rejects.toThrow('not allowed');
      },
    );
  });

  it.each(['1m', '60s', '90s', '1m30s', '2.5m', '0.5h', '59m59s', '60m', '1h', '3600s', '60', '3600'])(
    'takes the window %s, as Sluice does',
    async (windowSize) => {
      const { fairness } = configOf(
        await templated('--set', `inferGateway.fairness.windowSize=${windowSize}`),
      );
      expect(fairness.windowSizeMs).toBeGreaterThanOrEqual(60_000);
      expect(fairness.windowSizeMs).toBeLessThanOrEqual(3_600_000);
    },
  );

  it('knows the fields of fairness that Sluice knows', async () => {
    const fields = fieldsAt(configSchema, ['fairness'])!;
    for (const field of fields) await templated('--set-json', `inferGateway.fairness.${field}=null`);
    expect(fields).toContain('windowSize');
  });

  describe('the configuration', () => {
    it('is the whole of it', async () => {
      const config = configOf(
        await gateway({
          config: {
            scheduler: { plugins: { Score: { enabled: [{ name: 'prefix-cache', weight: 2 }] } } },
            models: { aliases: { 'gpt-4o': 'llama' } },
            limits: { maxBodyBytes: 33_554_432 },
          },
          auth: {
            issuer: 'https://issuer.example',
            audiences: ['llm'],
            jwksUri: 'https://issuer.example/jwks',
          },
          discovery: { static: { backends: [{ url: 'http://10.0.0.1:8000' }] } },
        }),
      );
      expect(config.models.aliases).toEqual(new Map([['gpt-4o', 'llama']]));
      expect(config.limits.maxBodyBytes).toBe(33_554_432);
      expect(config.auth.providers).toHaveLength(1);
      expect(config.discovery.static.backends).toHaveLength(1);
    });

    it('may be in a Secret', async () => {
      const objects = await gateway({ secretConfig: true });
      expect(objects.filter(({ kind }) => kind === 'ConfigMap')).toEqual([]);
      expect(find(objects, 'Secret')['stringData']).toHaveProperty(['sluice.yaml']);
      expect(podOf(objects).volumes).toContainEqual({ name: 'config', secret: { secretName: 'sluice' } });
    });

    it('takes effect in the pods that run, as far as it can', async () => {
      const before = podTemplate(await templated());
      const changed = {
        models: { aliases: { a: 'b' } },
        scheduler: { maxEndpoints: 2 },
        log: { level: 'debug' },
      };
      expect(podTemplate(await gateway({ config: changed }))).toEqual(before);
      expect(podTemplate(await gateway({ fairness: { enabled: true } }))).toEqual(before);
    });

    it.each(fieldsAtStart(configForm()))(
      'replaces the pods for what only counts at a start: %s',
      async (field, isMapping) => {
        const [section, ...rest] = field.split('.');
        const value = rest.reduceRight<unknown>(
          (below, name) => ({ [name]: below }),
          isMapping ? { by: 'address' } : 'other',
        );
        const beside = ['auth', 'discovery'].includes(section!);
        const values = beside ? { [section!]: value } : { config: { [section!]: value } };
        expect(podTemplate(await gateway(values))).not.toEqual(podTemplate(await templated()));
      },
    );

    it.each([
      ['1m30s', 90],
      ['500ms', 1],
      ['0', 0],
      [45, 45],
    ])('of a drain of %s gives the pod its time', async (drainTimeout, seconds) => {
      const pod = podOf(await gateway({ config: { limits: { drainTimeout } } }));
      expect(pod.terminationGracePeriodSeconds).toBe(seconds + 15);
      expect(containerOf(pod, 'envoy').lifecycle?.preStop?.exec.command.join()).toContain(
        `pause=5 drain=${seconds}\n`,
      );
    });
  });

  describe('Envoy', () => {
    it.each([
      ['nothing', {}, {}],
      [
        'times',
        {
          config: {
            envoy: { messageTimeout: '20s', maxMessageTimeout: 600, idleTimeout: 0, requestTimeout: 0.5 },
          },
        },
        { messageTimeout: 20_000, maxMessageTimeout: 600_000, idleTimeout: 0, requestTimeout: 500 },
      ],
      [
        'more times',
        { config: { envoy: { connectTimeout: '2s', perTryIdleTimeout: '10m', retries: 0 } } },
        { connectTimeout: 2000, perTryIdleTimeout: 600_000, retries: 0 },
      ],
      ['sizes', { config: { limits: { maxBodyBytes: 33_554_432 } } }, { maxBody: 33_554_432 }],
      ['sizes with a unit', { config: { limits: { maxBodyBytes: '32MiB' } } }, { maxBody: 33_554_432 }],
      [
        'engines',
        { config: { envoy: { upstreamTls: { caFile: '/etc/ca.pem', insecureSkipVerify: true } } } },
        { engineCa: '/etc/ca.pem', engineTlsInsecure: true },
      ],
      [
        'clients',
        { auth: { anonymous: { by: 'address' } }, envoy: { trustedHops: 2 } },
        { clientAddress: true, trustedHops: 2 },
      ],
    ])('runs with what the configuration says: %s', async (_, values, expected) => {
      const { args = [] } = containerOf(podOf(await gateway(values)), 'bootstrap');
      expect(envoyConfigFlags(args)).toMatchObject({
        listen: { host: '0.0.0.0', port: 8080 },
        extProc: { kind: 'unix', path: '/run/sluice/grpc.sock' },
        accessLog: 'off',
        ...expected,
      });
    });

    it('is told which version it is', async () => {
      const { args = [] } = containerOf(
        podOf(await gateway({ envoy: { image: { tag: 'v1.39.3' } } })),
        'bootstrap',
      );
      expect(args).toContain('--envoy-version=1.39.3');
    });

    it('has as many threads as the configuration says', async () => {
      const threads = async (values: object) =>
        containerOf(podOf(await gateway(values)), 'envoy').args?.join(' ');
      expect(await threads({})).toContain('--concurrency 2');
      expect(await threads({ config: { envoy: { concurrency: 8 } } })).toContain('--concurrency 8');
    });
  });

  describe('with tls', () => {
    const tls = { enabled: true, dnsName: 'llm.example', secretName: 'infer-gateway-tls' };

    it('gives the certificate to Envoy alone', async () => {
      const objects = await gateway({ tls });
      const pod = podOf(objects);
      const holders = containersOf(pod).filter(({ volumeMounts = [] }) =>
        volumeMounts.some(({ mountPath }) => mountPath === '/etc/tls'),
      );
      expect(holders.map(({ name }) => name)).toEqual(['envoy']);
      expect(pod.volumes).toContainEqual({ name: 'tls', secret: { secretName: 'infer-gateway-tls' } });
      expect(containerOf(pod, 'envoy').startupProbe?.httpGet).toMatchObject({ scheme: 'HTTPS' });
      expect(containerOf(pod, 'bootstrap').args).toContain('--tls-sds=/etc/envoy/tls.yaml');
      expect(find(objects, 'Service', 'sluice')['spec']).toMatchObject({
        ports: [{ port: 443, appProtocol: 'https' }],
      });
      expect(objects.filter(({ kind }) => kind === 'Certificate')).toEqual([]);
    });

    it('asks cert-manager for it where there is an issuer', async () => {
      const issuerRef = { name: 'letsencrypt', kind: 'ClusterIssuer' };
      expect(find(await gateway({ tls: { ...tls, issuerRef } }), 'Certificate')['spec']).toEqual({
        secretName: 'infer-gateway-tls',
        dnsNames: ['llm.example'],
        issuerRef,
      });
    });
  });

  describe('without an Envoy of its own', () => {
    it('is what manifests/envoy-gateway makes of the base', async () => {
      const own = podOf(await gateway({ envoy: { enabled: false } }));
      expect(withoutChoices(own)).toEqual(
        withoutChoices(podOf(await kustomized('envoy-gateway/kubernetes'))),
      );
    });

    it('serves ext_proc on the port of its Service', async () => {
      const objects = await gateway({ envoy: { enabled: false }, grpc: { port: 9999 } });
      expect(containerOf(podOf(objects), 'sluice').args).toContain('--grpc-listen=0.0.0.0:9999');
      expect(containerOf(podOf(objects), 'sluice').readinessProbe?.grpc).toEqual({
        port: 9999,
        service: 'readiness',
      });
      expect(find(objects, 'Service', 'sluice')['spec']).toMatchObject({
        ports: [{ port: 9999, targetPort: 9999, appProtocol: 'kubernetes.io/h2c' }],
      });
      expect(find(objects, 'NetworkPolicy')['spec']).toMatchObject({
        ingress: [
          {
            from: [
              {
                namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'envoy-gateway-system' } },
              },
            ],
            ports: [{ port: 9999 }],
          },
          {},
        ],
      });
    });

    it('may serve it over TLS', async () => {
      const sluice = async (tls: object) =>
        containerOf(podOf(await gateway({ envoy: { enabled: false }, grpc: { tls } })), 'sluice');
      const ownCertificate = await sluice({ enabled: true });
      expect(ownCertificate.args).toContain('--grpc-tls=self-signed');
      expect(ownCertificate.readinessProbe?.httpGet?.path).toBe('/readyz');
      const { args, volumeMounts } = await sluice({ enabled: true, secretName: 'picker-tls' });
      expect(args).toEqual(
        expect.arrayContaining(['--grpc-tls-cert=/etc/tls/tls.crt', '--grpc-tls-key=/etc/tls/tls.key']),
      );
      expect(volumeMounts).toContainEqual({ name: 'tls', mountPath: '/etc/tls', readOnly: true });
    });
  });

  it('makes the same pod as manifests/base', async () => {
    expect(withoutChoices(podOf(await templated()))).toEqual(withoutChoices(podOf(await kustomized('base'))));
  });

  it.each(['Role', 'PodDisruptionBudget', 'NetworkPolicy'])(
    'makes the same %s as manifests/base',
    async (kind) => {
      const only = ({ rules, spec }: KubeManifest): string =>
        JSON.stringify({ rules, spec }, (key, value: unknown) =>
          key === 'app.kubernetes.io/instance' ? undefined : value,
        );
      expect(JSON.parse(only(find(await templated(), kind)))).toEqual(
        JSON.parse(only(find(await kustomized('base'), kind))),
      );
    },
  );

  describe('the rights of its service account', () => {
    const pods = { apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch'] };
    const slices = {
      apiGroups: ['discovery.k8s.io'],
      resources: ['endpointslices'],
      verbs: ['list', 'watch'],
    };
    const pool = (name: string) => ({
      apiGroups: ['inference.networking.k8s.io'],
      resources: ['inferencepools'],
      resourceNames: [name],
      verbs: ['list', 'watch'],
    });

    it.each<[string, object, object]>([
      ['by default', {}, { llm: [pods] }],
      ['for static engines', { static: { backends: [{ url: 'http://10.0.0.1:8000' }] } }, {}],
      [
        'for pods elsewhere',
        { kubernetes: { pods: [{ namespaces: ['a', 'b'] }, { namespaces: ['a'] }] } },
        { a: [pods], b: [pods] },
      ],
      ['for a Service', { kubernetes: { services: [{ name: 'vllm' }] } }, { llm: [slices] }],
      [
        'for InferencePools',
        { kubernetes: { inferencePools: [{ name: 'one' }, { name: 'two', namespace: 'a' }] } },
        { a: [pool('two'), pods], llm: [pool('one'), pods] },
      ],
      [
        'for all of them',
        { kubernetes: { pods: [{}], services: [{ name: 'x' }], inferencePools: [{ name: 'one' }] } },
        { llm: [pods, pool('one'), slices] },
      ],
    ])('are few %s', async (_, discovery, expected) => {
      const objects = await gateway({ discovery });
      const roles = objects.filter(({ kind }) => kind === 'Role');
      expect(Object.fromEntries(roles.map(({ metadata, rules }) => [metadata.namespace, rules]))).toEqual(
        expected,
      );
      const bindings = objects.filter(({ kind }) => kind === 'RoleBinding');
      expect(bindings.map(({ metadata }) => metadata.namespace)).toEqual(Object.keys(expected));
      for (const { subjects } of bindings)
        expect(subjects).toEqual([{ kind: 'ServiceAccount', name: 'sluice', namespace: 'llm' }]);
      const hasToken = podOf(objects).volumes?.some(({ name }) => name === 'api-token');
      expect(hasToken).toBe(roles.length > 0);
    });

    it('are somebody else’s business with rbac.create: false', async () => {
      const objects = await gateway({
        rbac: { create: false },
        serviceAccount: { create: false, name: 'given' },
      });
      expect(objects.filter(({ kind }) => ['Role', 'RoleBinding', 'ServiceAccount'].includes(kind))).toEqual(
        [],
      );
      expect(podOf(objects).serviceAccountName).toBe('given');
    });
  });

  it('makes a ServiceMonitor for the Service of the metrics, when asked to', async () => {
    expect((await templated()).filter(({ kind }) => kind === 'ServiceMonitor')).toEqual([]);
    const objects = await gateway({ serviceMonitor: { enabled: true, labels: { release: 'prometheus' } } });
    const monitor = find(objects, 'ServiceMonitor');
    expect(monitor.metadata.labels).toMatchObject({ release: 'prometheus' });
    const { selector } = monitor['spec'] as { selector: { matchLabels: object } };
    const selected = objects.filter(
      ({ kind, metadata }) =>
        kind === 'Service' &&
        Object.entries(selector.matchLabels).every(([key, value]) => metadata.labels?.[key] === value),
    );
    expect(selected.map(({ metadata }) => metadata.name)).toEqual(['sluice-admin']);
  });

  it('passes on what is about nodes', async () => {
    const wishes = {
      nodeSelector: { pool: 'cpu' },
      tolerations: [{ key: 'a', operator: 'Exists' }],
      affinity: { podAntiAffinity: {} },
      topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway' }],
      priorityClassName: 'high',
      imagePullSecrets: [{ name: 'registry' }],
    };
    expect(podOf(await gateway(wishes))).toMatchObject(wishes);
  });
});

/** What Sluice makes of the configuration in the ConfigMap; throws where it finds faults. */
function configOf(objects: readonly KubeManifest[]): Config {
  const text = stringify(find(objects, 'ConfigMap', 'sluice'));
  return parseConfig(text, 'chart.yaml').config;
}

function podTemplate(objects: readonly KubeManifest[]): unknown {
  return (find(objects, 'Deployment')['spec'] as { template: unknown }).template;
}

/** The fields that are marked as counting at a start, and whether there is a mapping below. */
function fieldsAtStart(schema: JsonSchema, at = ''): (readonly [field: string, isMapping: boolean])[] {
  const below = Object.entries(fieldsOf(schema));
  if (schema['x-restart'] === true) return [[at, below.length > 0]];
  return below.flatMap(([name, field]) => fieldsAtStart(field, at === '' ? name : `${at}.${name}`));
}

/** The options as `sluice envoy-config` understands them. */
function envoyConfigFlags(args: readonly string[]): unknown {
  const command = envoyConfigCommand()
    .exitOverride()
    .action(() => undefined);
  return command.parse([...args], { from: 'user' }).opts();
}

/** A pod without what only the chart says of it. */
function withoutChoices(pod: unknown): unknown {
  return JSON.parse(
    JSON.stringify(pod, (key, value: unknown) => (key === 'imagePullPolicy' ? undefined : value)),
  );
}
