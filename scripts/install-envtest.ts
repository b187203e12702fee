/**
 * `make envtest`: builds the real components that the Kubernetes tests run, once, into `.cache/envtest`, and fetches the
 * CustomResourceDefinitions that they use. Arguments are names of either; without any, all are provided. What
 * `KUBEBUILDER_ASSETS` names is left to whoever set it.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import {
  components,
  crdFolder,
  crdModules,
  isExecutable,
  type Component,
  type CrdSet,
} from '../test/kubernetes/support/components.ts';

const run = promisify(execFile);
const maxOutputBytes = 64 * 1024 * 1024;

const { positionals } = parseArgs({ allowPositionals: true });

interface Task {
  readonly name: string;
  readonly run: () => Promise<void>;
}

const all: readonly Task[] = [
  ...(Object.keys(crdModules) as CrdSet[]).map((set) => ({ name: set, run: () => fetchCrds(set) })),
  ...components().map((component) => ({ name: component.name, run: () => provide(component) })),
];

try {
  const unknown = positionals.find((name) => !all.some((task) => task.name === name));
  if (unknown !== undefined)
    throw new Error(`Cannot provide "${unknown}": there are ${all.map(({ name }) => name).join(', ')}`);
  for (const { name, run: provideIt } of all)
    if (positionals.length === 0 || positionals.includes(name)) await provideIt();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

/** A Go module's files are in the module cache, read-only: the few that are wanted are copied. */
async function fetchCrds(set: CrdSet): Promise<void> {
  const { module, version, folder } = crdModules[set];
  const target = crdFolder(set);
  if (existsSync(target)) {
    say(`CRDs of ${set} ${version} are there: ${target}`);
    return;
  }
  await mkdir(path.dirname(target), { recursive: true });
  const work = await mkdtemp(path.join(path.dirname(target), '.fetch-'));
  try {
    const listed = await go(`fetch the CRDs of ${set} ${version}`, work, [
      ...['mod', 'download', '-json'],
      `${module}@v${version}`,
    ]);
    const { Dir } = JSON.parse(listed) as { readonly Dir: string };
    const source = path.join(Dir, folder);
    const copies = path.join(work, 'copies');
    await mkdir(copies);
    for (const name of await readdir(source))
      if (name.endsWith('.yaml')) await copyFile(path.join(source, name), path.join(copies, name));
    await rename(copies, target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  say(`CRDs of ${set} ${version}: ${target}`);
}

async function provide(component: Component): Promise<void> {
  const { name, version, provided, path: binary } = component;
  if (isExecutable(binary)) {
    say(`${name}${provided ? '' : ` ${version}`} is there: ${binary}`);
    return;
  }
  if (provided) {
    throw new Error(`Cannot use KUBEBUILDER_ASSETS "${path.dirname(binary)}": there is no ${name} in it`);
  }
  say(`${name} ${version}: building from source; this takes some minutes`);
  const startedAt = performance.now();
  await mkdir(path.dirname(binary), { recursive: true });
  // Whatever is cut off leaves no binary behind, and two builds at a time do not meet.
  const work = await mkdtemp(path.join(path.dirname(binary), '.build-'));
  try {
    await build(component, work);
    await rename(path.join(work, name), binary);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  const megabytes = Math.round((await stat(binary)).size / 1e6);
  say(`${name} ${version}: built in ${seconds} s, ${megabytes} MB: ${binary}`);
}

/** Leaves the binary in `work`, under the component's name. */
async function build(component: Component, work: string): Promise<void> {
  const { name, version } = component;
  switch (component.project) {
    case 'kubernetes':
      return buildKubernetes(component, work);
    case 'etcd':
      return buildEtcd(component, work);
    case 'envoy-gateway':
      return install(component, work, `github.com/envoyproxy/gateway/cmd/${name}@v${version}`);
    case 'helm':
      return install(component, work, `helm.sh/helm/v3/cmd/helm@v${version}`);
  }
}

/**
 * Kubernetes' own module points at folders beside it, which `go install` refuses: a module of ours names the published
 * module for each of them.
 */
async function buildKubernetes(component: Component, work: string): Promise<void> {
  const { name, version } = component;
  await go(building(component), work, ['mod', 'init', 'envtest']);
  const listed = await go(building(component), work, [
    'mod',
    'download',
    '-json',
    `k8s.io/kubernetes@v${version}`,
  ]);
  const { GoMod } = JSON.parse(listed) as { readonly GoMod: string };
  const staged = [
    ...(await readFile(GoMod, 'utf8')).matchAll(/^\s*(?:replace )?(k8s\.io\/\S+) => \.\/staging\//gm),
  ];
  const published = `v${version.replace(/^\d+/, '0')}`;
  const goMod = [
    'module envtest',
    `require k8s.io/kubernetes v${version}`,
    ...staged.map(([, module]) => `replace ${module} => ${module} ${published}`),
  ];
  await writeFile(path.join(work, 'go.mod'), `${goMod.join('\n')}\n`);
  const [major, minor] = version.split('.');
  const stamp = { gitVersion: `v${version}`, gitMajor: major, gitMinor: minor };
  const linked = Object.entries(stamp).map(
    ([key, value]) => `-X k8s.io/component-base/version.${key}=${value}`,
  );
  const flags = ['-mod=mod', '-trimpath', '-ldflags', `-s -w ${linked.join(' ')}`];
  await go(building(component), work, [
    'build',
    ...flags,
    '-o',
    path.join(work, name),
    `k8s.io/kubernetes/cmd/${name}`,
  ]);
}

/** The released module has no command of its own that can be installed, only the function that a command calls. */
async function buildEtcd(component: Component, work: string): Promise<void> {
  const { name, version } = component;
  await writeFile(
    path.join(work, 'go.mod'),
    `module envtest\nrequire go.etcd.io/etcd/server/v3 v${version}\n`,
  );
  await writeFile(
    path.join(work, 'main.go'),
    `package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
`,
  );
  await go(building(component), work, [
    'build',
    '-mod=mod',
    '-trimpath',
    '-ldflags',
    '-s -w',
    '-o',
    path.join(work, name),
    '.',
  ]);
}

async function install(component: Component, work: string, command: string): Promise<void> {
  await go(building(component), work, ['install', '-trimpath', '-ldflags', '-s -w', command], {
    GOBIN: work,
  });
}

function building({ name, version }: Component): string {
  return `build ${name} ${version}`;
}

/** `what` ends the sentence "Cannot …" of a failure. */
async function go(
  what: string,
  cwd: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  try {
    const { stdout } = await run('go', args, {
      cwd,
      env: { ...process.env, CGO_ENABLED: '0', ...env },
      maxBuffer: maxOutputBytes,
    });
    return stdout;
  } catch (cause) {
    throw new Error(`Cannot ${what}: ${explain(cause)}`, { cause });
  }
}

function explain(cause: unknown): string {
  const { code, stderr = '' } = cause as { readonly code?: unknown; readonly stderr?: string };
  if (code === 'ENOENT') return '"go" is not on PATH; install Go 1.24 or newer';
  const lines = stderr.trim().split('\n');
  return lines.slice(-5).join('\n') || String(cause);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
