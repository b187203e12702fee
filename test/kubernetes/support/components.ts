/** The real components that these tests run: which version, and where its binary lies. */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../../..');

/** Every project whose binaries are built, with its version and the binaries. */
export const projects = {
  kubernetes: { version: '1.34.1', binaries: ['kube-apiserver', 'kubectl'] },
  etcd: { version: '3.6.5', binaries: ['etcd'] },
  'envoy-gateway': { version: '1.9.0', binaries: ['envoy-gateway', 'egctl'] },
  helm: { version: '3.22.0', binaries: ['helm'] },
} as const;

/** Go modules whose CustomResourceDefinitions are taken, and the folder in the module that holds them. */
export const crdModules = {
  'gateway-api-inference-extension': {
    module: 'sigs.k8s.io/gateway-api-inference-extension',
    version: '1.5.0',
    folder: 'config/crd/bases',
  },
} as const;

export type CrdSet = keyof typeof crdModules;
export type Project = keyof typeof projects;
export type ComponentName = (typeof projects)[Project]['binaries'][number];

/** One binary of a project. */
export interface Component {
  readonly name: ComponentName;
  readonly project: Project;
  readonly version: string;
  /** Where the binary is looked for; it may not be there. */
  readonly path: string;
  /** True where `KUBEBUILDER_ASSETS` says where it is: nobody builds it then. */
  readonly provided: boolean;
}

/** What other tools that follow the envtest convention expect in the folder `KUBEBUILDER_ASSETS`. */
const inAssets: readonly ComponentName[] = ['kube-apiserver', 'etcd', 'kubectl'];

/** Every component, in the order in which they are built. */
export function components(env: NodeJS.ProcessEnv = process.env): readonly Component[] {
  const assets = env['KUBEBUILDER_ASSETS'];
  return (Object.keys(projects) as Project[]).flatMap((project) => {
    const { version, binaries } = projects[project];
    const folder = folderOf(project, version);
    return binaries.map((name: ComponentName) => {
      const provided = assets !== undefined && assets !== '' && inAssets.includes(name);
      return { name, project, version, provided, path: path.join(provided ? assets : folder, name) };
    });
  });
}

/**
 * The path of a binary that can be run.
 *
 * @throws Error that says where it was looked for and how to get it.
 */
export function componentPath(name: ComponentName): string {
  const component = components().find((candidate) => candidate.name === name)!;
  if (isExecutable(component.path)) return component.path;
  throw new Error(
    component.provided
      ? `Cannot run "${component.path}": KUBEBUILDER_ASSETS names this folder, but ${name} is not in it or not executable`
      : `Cannot run "${component.path}": ${name} ${component.version} is not built; run "make envtest"`,
  );
}

/** Where the CustomResourceDefinitions of a set are put; the folder may not be there. */
export function crdFolder(set: CrdSet): string {
  return folderOf(set, crdModules[set].version);
}

/**
 * The paths of the files of a set.
 *
 * @throws Error that says how to get them.
 */
export function crdFiles(set: CrdSet): readonly string[] {
  const folder = crdFolder(set);
  if (!existsSync(folder))
    throw new Error(`Cannot read "${folder}": the CRDs of ${set} are not there; run "make envtest"`);
  return readdirSync(folder).map((name) => path.join(folder, name));
}

/** Whether a file is there and may be run. */
export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function folderOf(name: string, version: string): string {
  return path.join(root, '.cache', 'envtest', `${name}-${version}`);
}
