import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { parseConfig } from '../../src/config/load.ts';
import type { KubernetesSource } from '../../src/discovery/kubernetes.ts';
import { formatEnvoyVersion, managedEnvoyVersion } from '../../src/envoy/version.ts';
import { eventually } from '../support/eventually.ts';
import { createAdmin, type Admin } from './support/admin.ts';
import { startApiServer, type ApiServer } from './support/api-server.ts';
import { componentPath, crdFiles } from './support/components.ts';
import { startDiscovery, type DiscoveryRig } from './support/discovery-rig.ts';
import {
  containerOf,
  containersOf,
  find,
  kustomized,
  podOf,
  templated,
  type KubeManifest,
  type PodSpec,
} from './support/manifests.ts';
import { createReadyPod } from './support/pods.ts';

jest.setTimeout(120_000);

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../..');

const deployments: readonly (readonly [name: string, objects: () => Promise<KubeManifest[]>])[] = [
  ['manifests/base', () => kustomized('base')],
  ['manifests/envoy-gateway/kubernetes', () => kustomized('envoy-gateway/kubernetes')],
  ['the chart', () => templated()],
  ['the chart with tls', () => templated('--set', 'inferGateway.tls.enabled=true')],
  ['the chart without Envoy', () => templated('--set', 'inferGateway.envoy.enabled=false')],
  ['manifests/simulator', () => kustomized('simulator')],
];

describe.each(deployments)('the pod of %s', (_, objects) => {
  let pod: PodSpec;

  beforeAll(async () => {
    pod = podOf(await objects());
  });

  it('has no rights on its node', () => {
    expect(pod.securityContext).toMatchObject({
      runAsNonRoot: true,
      runAsUser: 65532,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    for (const { securityContext } of containersOf(pod))
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
  });

  it('has resources, and a limit of memory', () => {
    for (const { resources } of containersOf(pod))
      expect(resources).toMatchObject({
        requests: { cpu: expect.any(String), memory: expect.any(String) },
        limits: { memory: expect.any(String) },
      });
  });

  it('is probed', () => {
    for (const { name, startupProbe, livenessProbe, readinessProbe } of containersOf(pod)) {
      if (name === 'bootstrap') continue;
      expect([name, startupProbe, livenessProbe, readinessProbe]).not.toContain(undefined);
    }
  });

  it('shows the token of its service account to Sluice alone, if at all', () => {
    expect(pod.automountServiceAccountToken).toBe(false);
    const holders = containersOf(pod).filter(({ volumeMounts = [] }) =>
      volumeMounts.some(({ name }) => name === 'api-token'),
    );
    expect(['sluice', undefined]).toContain(holders[0]?.name);
    expect(holders.length).toBeLessThanOrEqual(1);
  });
});

describe('the times of manifests/base', () => {
  it('match: who is told to stop has the time that Sluice gives to exchanges', async () => {
    const pod = podOf(await kustomized('base'));
    const script = containerOf(pod, 'envoy').lifecycle?.preStop?.exec.command.join('\n') ?? '';
    const [, pause, drain] = /pause=(\d+) drain=(\d+)/.exec(script)!.map(Number) as [number, number, number];
    const { config } = parseConfig('', 'empty');
    expect(drain * 1000).toBe(config.limits.drainTimeoutMs);
    expect(pod.terminationGracePeriodSeconds).toBe(pause + drain + 10);
  });

  it('and those of manifests/envoy-gateway as well', async () => {
    const pod = podOf(await kustomized('envoy-gateway/kubernetes'));
    const pause = Number(containerOf(pod, 'sluice').lifecycle?.preStop?.exec.command[1]);
    const { config } = parseConfig('', 'empty');
    expect(pod.terminationGracePeriodSeconds).toBe(pause + config.limits.drainTimeoutMs / 1000 + 10);
    const { extProc } = find(await kustomized('envoy-gateway/kubernetes'), 'EnvoyExtensionPolicy')[
      'spec'
    ] as {
      readonly extProc: readonly [{ readonly messageTimeout: string }];
    };
    expect(Number.parseInt(extProc[0].messageTimeout) * 1000).toBeGreaterThan(config.fairness.queueTimeoutMs);
  });
});

describe('what is about pods in the manifests', () => {
  const selecting: readonly (readonly [kind: string, select: (spec: never) => object])[] = [
    ['Service', ({ selector }: { readonly selector: object }) => selector],
    [
      'PodDisruptionBudget',
      ({ selector }: { readonly selector: { readonly matchLabels: object } }) => selector.matchLabels,
    ],
    [
      'NetworkPolicy',
      ({ podSelector }: { readonly podSelector: { readonly matchLabels: object } }) =>
        podSelector.matchLabels,
    ],
    [
      'Deployment',
      ({ selector }: { readonly selector: { readonly matchLabels: object } }) => selector.matchLabels,
    ],
  ];

  it.each([
    ['manifests/base', () => kustomized('base')],
    ['the chart', () => templated()],
  ])('is about the pods of %s', async (_, list) => {
    const objects = await list();
    const { template } = find(objects, 'Deployment')['spec'] as { readonly template: KubeManifest };
    for (const [kind, select] of selecting) {
      const found = objects.filter((object) => object.kind === kind);
      expect(found).not.toEqual([]);
      for (const object of found)
        expect(template.metadata.labels).toMatchObject(select(object['spec'] as never));
    }
  });

  it.each([
    ['manifests/base', () => kustomized('base')],
    ['manifests/envoy-gateway/kubernetes', () => kustomized('envoy-gateway/kubernetes')],
    ['the chart', () => templated()],
    ['the chart without Envoy', () => templated('--set', 'inferGateway.envoy.enabled=false')],
  ])('leads to ports that %s has', async (_, list) => {
    const objects = await list();
    const services = objects.filter(
      ({ kind, metadata }) => kind === 'Service' && metadata.name !== 'engines',
    );
    const targets = services.flatMap(({ spec }) =>
      (spec as { readonly ports: readonly { readonly targetPort: number }[] }).ports.map(
        ({ targetPort }) => targetPort,
      ),
    );
    const { ingress } = find(objects, 'NetworkPolicy')['spec'] as {
      readonly ingress: readonly { readonly ports: readonly { readonly port: number }[] }[];
    };
    const declared = containersOf(podOf(objects)).flatMap(({ ports = [] }) =>
      ports.map(({ containerPort }) => containerPort),
    );
    expect(targets.sort()).toEqual(declared.sort());
    expect(ingress.flatMap(({ ports }) => ports.map(({ port }) => port)).sort()).toEqual(declared);
  });

  it('names the versions of this repository', async () => {
    const { version } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    const chart = parse(await readFile(path.join(root, 'manifests/chart/Chart.yaml'), 'utf8')) as object;
    expect(chart).toMatchObject({ version, appVersion: version });
    const envoy = `envoyproxy/envoy:v${formatEnvoyVersion(managedEnvoyVersion)}`;
    for (const objects of [await kustomized('base'), await templated()])
      expect(containersOf(podOf(objects)).map(({ image }) => image)).toEqual([
        `sluice:${version}`,
        `sluice:${version}`,
        envoy,
      ]);
    expect(podOf(await kustomized('simulator')).containers[0]?.image).toBe(`sluice:${version}`);
    expect(containerOf(podOf(await kustomized('base')), 'bootstrap').args).toContain(
      `--envoy-version=${formatEnvoyVersion(managedEnvoyVersion)}`,
    );
  });

  it('reads metrics from where they are', async () => {
    const objects = await kustomized('prometheus');
    const { selector, endpoints } = find(objects, 'ServiceMonitor')['spec'] as {
      readonly selector: { readonly matchLabels: object };
      readonly endpoints: readonly { readonly port: string; readonly path: string }[];
    };
    const service = find(objects, 'Service', 'sluice-admin');
    expect(service.metadata.labels).toMatchObject(selector.matchLabels);
    expect(find(objects, 'Service', 'sluice').metadata.labels).not.toMatchObject(selector.matchLabels);
    expect(endpoints).toEqual([{ port: 'admin', path: '/metrics', interval: '15s' }]);
    expect(service['spec']).toMatchObject({ ports: [{ name: 'admin' }] });
  });
});

describe('on a real API server', () => {
  let server: ApiServer;
  let admin: Admin;
  let folder: string;
  let rig: DiscoveryRig | undefined;

  beforeAll(async () => {
    server = await startApiServer();
    admin = createAdmin(server);
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-manifests-'));
    for (const file of crdFiles('gateway-api-inference-extension'))
      if (file.endsWith('_inferencepools.yaml'))
        await admin.create(
          '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
          parse(await readFile(file, 'utf8')) as object,
        );
    await admin.served('/apis/inference.networking.k8s.io/v1/inferencepools');
  });

  afterEach(async () => {
    await rig?.stop();
    rig = undefined;
  });

  afterAll(async () => {
    await admin.close();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function kubectl(...args: string[]): Promise<string> {
    const kubeconfig = await server.kubeconfig('admin');
    const { stdout } = await run(componentPath('kubectl'), ['--kubeconfig', kubeconfig, ...args], {
      cwd: root,
    });
    return stdout;
  }

  /** Applies them in another namespace than they name. */
  async function applied(objects: readonly KubeManifest[], namespace: string): Promise<void> {
    const file = path.join(folder, 'objects.yaml');
    const there = objects.map(({ metadata, ...object }) => ({
      ...object,
      metadata: { ...metadata, namespace },
    }));
    await writeFile(file, there.map((each) => stringify(each)).join('---\n'));
    await kubectl('apply', '--server-side', '--force-conflicts', '--validate=strict', '-f', file);
  }

  const everything = path.join(root, 'test/kubernetes/support/chart-everything.yaml');

  it.each([
    ['base', () => kustomized('base')],
    ['simulator', () => kustomized('simulator')],
    ['chart', () => templated()],
    ['chart-with-everything', () => templated('-f', everything)],
    ['chart-without-envoy', () => templated('--set', 'inferGateway.envoy.enabled=false')],
  ])('%s is accepted, without an unknown field', async (name, list) => {
    await admin.namespace(name);
    // Their kinds are not Kubernetes' own.
    const objects = (await list()).filter(({ kind }) => kind !== 'Certificate' && kind !== 'ServiceMonitor');
    await applied(objects, name);
    const deployment = find(objects, 'Deployment').metadata.name;
    expect(await kubectl('get', 'deployment', deployment, '--namespace', name, '--output', 'name')).toBe(
      `deployment.apps/${deployment}\n`,
    );
  });

  describe('each right of the service account is needed:', () => {
    const all = {
      kubernetes: {
        pods: [{ labelSelectors: ['app=vllm'] }],
        inferencePools: [{ name: 'llama' }],
        services: [{ name: 'engines' }],
      },
    };
    const sources: readonly KubernetesSource[] = [
      { kind: 'pods', namespace: 'llm', labelSelector: 'app=vllm', port: 8000, tls: false },
      { kind: 'pool', namespace: 'llm', name: 'llama', tls: false },
      { kind: 'service', namespace: 'llm', name: 'engines', tls: false },
    ];

    interface Rule {
      readonly apiGroups: readonly string[];
      readonly resources: readonly string[];
      readonly resourceNames?: readonly string[];
      readonly verbs: readonly string[];
    }

    let objects: KubeManifest[];
    let rules: readonly Rule[];

    beforeAll(async () => {
      await admin.namespace('llm');
      objects = await templated('--set-json', `inferGateway.discovery=${JSON.stringify(all)}`);
      rules = find(objects, 'Role')['rules'] as readonly Rule[];
      await createReadyPod(admin, 'llm', 'engine', '10.0.0.1', { labels: { app: 'vllm' } });
      await admin.create('/apis/inference.networking.k8s.io/v1/namespaces/llm/inferencepools', {
        apiVersion: 'inference.networking.k8s.io/v1',
        kind: 'InferencePool',
        metadata: { name: 'llama' },
        spec: {
          selector: { matchLabels: { app: 'vllm' } },
          targetPorts: [{ number: 8001 }],
          endpointPickerRef: { name: 'sluice', port: { number: 9002 } },
        },
      });
      await admin.create('/apis/discovery.k8s.io/v1/namespaces/llm/endpointslices', {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: 'engines-1', labels: { 'kubernetes.io/service-name': 'engines' } },
        addressType: 'IPv4',
        ports: [{ name: '', port: 8002, protocol: 'TCP' }],
        endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: true } }],
      });
    });

    /** Discovers with the rights that these rules give to the service account, and no others. */
    async function discoverWith(allowed: readonly Rule[]): Promise<DiscoveryRig> {
      await applied(
        objects.map((object) => (object.kind === 'Role' ? { ...object, rules: allowed } : object)),
        'llm',
      );
      for (const rule of rules)
        for (const verb of rule.verbs)
          await untilAllowed(
            verb,
            rule,
            allowed.some((each) => allows(each, verb, rule)),
          );
      const token = await kubectl('create', 'token', 'sluice', '--namespace', 'llm');
      const kubeconfig = path.join(folder, 'service-account.kubeconfig');
      const config = parse(await readFile(await server.kubeconfig('nobody'), 'utf8')) as {
        users: [{ user: object }];
      };
      config.users[0].user = { token: token.trim() };
      await writeFile(kubeconfig, stringify(config));
      rig = await startDiscovery({ kubeconfig, sources });
      return rig;
    }

    const allows = (rule: Rule, verb: string, { resources }: Rule): boolean =>
      rule.resources[0] === resources[0] && rule.verbs.includes(verb);

    /** The API server hears of its own changes a moment later. */
    async function untilAllowed(
      verb: string,
      { apiGroups, resources, resourceNames = [] }: Rule,
      expected: boolean,
    ) {
      const what = [resources[0], apiGroups[0]].filter(Boolean).join('.');
      const which = resourceNames.map((name) => `${what}/${name}`).concat(what)[0]!;
      await eventually(async () => {
        const who = 'system:serviceaccount:llm:sluice';
        const said = await kubectl('auth', 'can-i', verb, which, '--namespace', 'llm', '--as', who).catch(
          () => 'no',
        );
        return said.startsWith('yes') === expected;
      });
    }

    it('with all of them every engine is found', async () => {
      const found = await discoverWith(rules);
      await found.becomes('10.0.0.1:8000', '10.0.0.1:8001', '10.0.0.1:8002');
      await found.well();
    });

    it.each(
      ['pods', 'inferencepools', 'endpointslices'].flatMap((resource) =>
        ['list', 'watch'].map((verb) => [verb, resource] as const),
      ),
    )('without %s on %s not', async (verb, resource) => {
      const fewer = rules.map((rule) =>
        rule.resources[0] === resource
          ? { ...rule, verbs: rule.verbs.filter((each) => each !== verb) }
          : rule,
      );
      expect(fewer).not.toEqual(rules);
      const found = await discoverWith(fewer);
      await expect(found.problem(new RegExp(`Cannot ${verb} ${resource}`))).resolves.toContain('forbidden');
    });

    it('and the tests know all of them', () => {
      expect(rules.flatMap(({ resources, verbs }) => verbs.map((verb) => [verb, ...resources]))).toHaveLength(
        6,
      );
    });
  });
});
