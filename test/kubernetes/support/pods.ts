/** Pods as a kubelet would leave them: of the usual size, in any state. */
import type { Admin } from './admin.ts';

export interface PodState {
  /** `status` of the condition Ready; undefined: there is no such condition yet. */
  readonly ready: 'True' | 'False' | 'Unknown' | undefined;
  readonly ip: string | undefined;
  readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
}

export interface PodOptions {
  readonly labels?: Readonly<Record<string, string>>;
  /** Default: one container, `vllm`, with the port `http`, 8000. */
  readonly containers?: readonly object[];
  readonly initContainers?: readonly object[];
}

/** A container as engines have it. */
export function container(name: string, ports: Readonly<Record<string, number>>): object {
  return {
    name,
    image: 'vllm/vllm-openai:v0.11.0',
    command: [
      'vllm',
      'serve',
      'meta-llama/Llama-3.1-8B-Instruct',
      '--enable-prefix-caching',
      '--max-model-len=32768',
    ],
    env: Array.from({ length: 24 }, (_, i) => ({
      name: `SETTING_${i}`,
      value: `a value of some length, ${i}`,
    })),
    ports: Object.entries(ports).map(([portName, containerPort]) => ({ name: portName, containerPort })),
    resources: { requests: { cpu: '8', memory: '64Gi' }, limits: { memory: '64Gi' } },
    readinessProbe: { httpGet: { path: '/health', port: Object.values(ports)[0] ?? 8000 }, periodSeconds: 5 },
    volumeMounts: [{ name: 'models', mountPath: '/models' }],
  };
}

/** The collection of a namespace. */
export function podsOf(namespace: string): string {
  return `/api/v1/namespaces/${namespace}/pods`;
}

/** Creates a pod that somebody put on a node, so that it takes its time when it is deleted. */
export async function createPod(
  admin: Admin,
  namespace: string,
  name: string,
  { labels = {}, containers = [container('vllm', { http: 8000 })], initContainers = [] }: PodOptions = {},
): Promise<void> {
  await admin.create(podsOf(namespace), {
    metadata: { name, labels },
    spec: {
      nodeName: 'node-1',
      containers,
      initContainers,
      volumes: [{ name: 'models', emptyDir: {} }],
      tolerations: [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }],
    },
  });
}

/** Reports a state, as the kubelet does. */
export async function reportPod(
  admin: Admin,
  namespace: string,
  name: string,
  { ready, ip, phase }: PodState,
): Promise<void> {
  const at = '2026-01-01T00:00:00Z';
  const other = ['PodReadyToStartContainers', 'Initialized', 'ContainersReady', 'PodScheduled'];
  const conditions = [
    ...other.map((type) => ({ type, status: 'True', lastTransitionTime: at })),
    ...(ready === undefined ? [] : [{ type: 'Ready', status: ready, lastTransitionTime: at }]),
  ];
  await admin.patch(`${podsOf(namespace)}/${name}/status`, {
    status: { phase, conditions, podIP: ip ?? null, podIPs: ip === undefined ? null : [{ ip }] },
  });
}

/** Creates a pod that requests may go to. */
export async function createReadyPod(
  admin: Admin,
  namespace: string,
  name: string,
  ip: string,
  options: PodOptions = {},
): Promise<void> {
  await createPod(admin, namespace, name, options);
  await reportPod(admin, namespace, name, { ready: 'True', ip, phase: 'Running' });
}

/** Deletes a pod as a user does: it terminates, and stays until the kubelet, or a test, has ended it. */
export function terminatePod(admin: Admin, namespace: string, name: string): Promise<void> {
  return admin.remove(`${podsOf(namespace)}/${name}`, 30);
}

/** The object is gone at once. */
export function removePod(admin: Admin, namespace: string, name: string): Promise<void> {
  return admin.remove(`${podsOf(namespace)}/${name}`, 0);
}
