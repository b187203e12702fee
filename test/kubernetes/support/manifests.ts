/** Kubernetes objects as the manifests give them, rendered by the real tools. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { componentPath, projects, type ComponentName } from './components.ts';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../../..');

/** As far as tests look into it. */
export interface KubeManifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** What the Deployment of a list says of its pods. */
export interface PodSpec {
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes?: readonly Volume[];
  readonly terminationGracePeriodSeconds: number;
  readonly automountServiceAccountToken?: boolean;
  readonly serviceAccountName?: string;
  readonly securityContext?: Readonly<Record<string, unknown>>;
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly restartPolicy?: 'Always';
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly startupProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly lifecycle?: { readonly preStop?: { readonly exec: { readonly command: readonly string[] } } };
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly resources?: { readonly requests?: object; readonly limits?: object };
  readonly volumeMounts?: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly readOnly?: boolean;
  }[];
}

export interface Probe {
  readonly httpGet?: {
    readonly path: string;
    readonly port: string | number;
    readonly scheme?: 'HTTP' | 'HTTPS';
  };
  readonly tcpSocket?: { readonly port: string | number };
  readonly grpc?: { readonly port: number; readonly service?: string };
  readonly periodSeconds?: number;
  readonly failureThreshold?: number;
}

export interface Volume {
  readonly name: string;
  readonly configMap?: { readonly name: string };
  readonly secret?: { readonly secretName: string };
  readonly emptyDir?: object;
  readonly projected?: { readonly sources: readonly object[] };
}

/** The objects of `kubectl kustomize` for a folder below `manifests/`. */
export async function kustomized(folder: string): Promise<KubeManifest[]> {
  return parseManifests(await tool('kubectl', ['kustomize', path.join('manifests', folder)]));
}

/** The objects of `helm template` for the chart, with options such as `--set`. */
export async function templated(...options: readonly string[]): Promise<KubeManifest[]> {
  return parseManifests(await helmTemplate('manifests/chart', ...options));
}

/** What `helm template` prints for a chart, as release `sluice` in the namespace `llm`. */
export function helmTemplate(chart: string, ...options: readonly string[]): Promise<string> {
  return tool('helm', ['template', 'sluice', chart, '--namespace', 'llm', ...forKubernetes, ...options]);
}

/** A Helm that was not built by its makers takes a Kubernetes of long ago for the one to render for. */
export const forKubernetes = ['--kube-version', projects.kubernetes.version] as const;

/** Runs one of the components in the repository's root; rejects with what it said where it ends with another code than 0. */
export async function tool(name: ComponentName, args: readonly string[]): Promise<string> {
  const { stdout } = await run(componentPath(name), args, { cwd: root, maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}

/** The objects in a text of one document or several. */
export function parseManifests(text: string): KubeManifest[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as KubeManifest | null)
    .filter((object) => object !== null);
}

/** The only object of a kind, or the one of that name. */
export function find(objects: readonly KubeManifest[], kind: string, name?: string): KubeManifest {
  const found = objects.filter(
    (object) => object.kind === kind && (name === undefined || object.metadata.name === name),
  );
  if (found.length === 1) return found[0]!;
  throw new Error(`There are ${found.length} objects ${kind} "${name ?? ''}", not one`);
}

/** The pods of the Deployment. */
export function podOf(objects: readonly KubeManifest[]): PodSpec {
  const { template } = find(objects, 'Deployment')['spec'] as {
    readonly template: { readonly spec: PodSpec };
  };
  return template.spec;
}

/** Every container of a pod. */
export function containersOf({ initContainers = [], containers }: PodSpec): readonly Container[] {
  return [...initContainers, ...containers];
}

/** A container by its name. */
export function containerOf(pod: PodSpec, name: string): Container {
  const found = containersOf(pod).find((container) => container.name === name);
  if (found === undefined) throw new Error(`There is no container "${name}"`);
  return found;
}
