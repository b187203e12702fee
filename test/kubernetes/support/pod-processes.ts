/**
 * Runs the containers of a pod as processes of this machine: in the order and with the words of the manifest, with
 * volumes as folders. Whatever comes from the kernel (users, a read-only root, limits) does not hold.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { get as getPlain } from 'node:http';
import { get as getOverTls } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { grpcHealthAt } from '../../support/grpc-health.ts';
import type { Container, PodSpec, Probe } from './manifests.ts';

const run = promisify(execFile);

/** The files of a volume. */
export type VolumeFiles = Readonly<Record<string, string>>;

export interface PodOptions {
  /** What the volumes hold; those that are not named are empty. */
  readonly volumes: Readonly<Record<string, VolumeFiles>>;
  /** PATH of the containers. */
  readonly path: string;
  /** The command of containers that name none. */
  readonly entrypoint: readonly string[];
  /** More of their environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** The ports that stand for some of the manifest; the others are free ones. */
  readonly ports?: Readonly<Record<number, number>>;
  /** Where it is probed. Default 127.0.0.1. */
  readonly host?: string;
  /** Changes the words of a container, for what a test machine has not. */
  readonly edit?: (word: string) => string;
}

export interface ContainerProcess {
  readonly name: string;
  /** What it wrote so far, to both outputs. */
  readonly output: string;
  /** Whether it still runs. */
  readonly running: boolean;
  signal(name: NodeJS.Signals): void;
  readonly exited: Promise<number | null>;
}

export interface PodProcesses {
  /** The port on 127.0.0.1 that stands for a port of the manifest. */
  port(inManifest: number): number;
  container(name: string): ContainerProcess;
  /** Whether the probe of a container would succeed now. */
  probe(name: string, kind: 'startupProbe' | 'livenessProbe' | 'readinessProbe'): Promise<boolean>;
  /** Gives a volume other content, as when its ConfigMap or Secret has changed. */
  update(volume: string, files: VolumeFiles): Promise<void>;
  /** Ends it as the kubelet does: preStop, SIGTERM, and sidecars after the containers. Resolves with the exit codes. */
  terminate(): Promise<Readonly<Record<string, number | null>>>;
  /** For `afterEach`: SIGKILL where something still runs, and no files are left. */
  remove(): Promise<void>;
}

const startWithinMs = 60_000;
const probeTimeoutMs = 5000;
const asItIs = (word: string): string => word;

/** Starts everything; resolves when all startup probes succeeded. */
export async function startPod(pod: PodSpec, options: PodOptions): Promise<PodProcesses> {
  const { edit = asItIs, host = '127.0.0.1' } = options;
  const folder = await mkdtemp(path.join(tmpdir(), 'sluice-pod-'));
  const volume = (name: string): string => path.join(folder, name);
  const ports = new Map<number, number>();
  const started: Started[] = [];
  const all = [...(pod.initContainers ?? []), ...pod.containers];

  /** As it is on this machine: ports, and the folders of volumes, which have one path in all containers. */
  function local(text: string): string {
    const mounts = all.flatMap(({ volumeMounts = [] }) => volumeMounts);
    const longestFirst = mounts.toSorted((a, b) => b.mountPath.length - a.mountPath.length);
    const withFolders = longestFirst.reduce(
      (before, { name, mountPath }) => before.replaceAll(mountPath, volume(name)),
      text,
    );
    const withPorts = [...ports].reduce(
      (before, [port, now]) => before.replaceAll(new RegExp(`(?<=[:=/])${port}\\b`, 'g'), String(now)),
      withFolders,
    );
    return edit(withPorts);
  }

  const env = { PATH: options.path, HOME: '/nonexistent', TMPDIR: '/nonexistent', ...options.env };

  function start(spec: Container): ContainerProcess {
    const words = [...(spec.command ?? options.entrypoint), ...(spec.args ?? [])].map((word) => local(word));
    const process_ = startProcess(spec.name, words, env);
    started.push({ spec, process_ });
    return process_;
  }

  async function check(spec: Container, probe: Probe | undefined): Promise<boolean> {
    const port = (named: string | number): number => {
      const number =
        typeof named === 'number' ? named : spec.ports?.find(({ name }) => name === named)?.containerPort;
      const now = ports.get(number ?? 0);
      if (now === undefined) throw new Error(`Cannot probe "${spec.name}": it has no port ${named}`);
      return now;
    };
    if (probe?.httpGet !== undefined) {
      const { path: page, scheme = 'HTTP' } = probe.httpGet;
      return isWell(`${scheme.toLowerCase()}://${host}:${port(probe.httpGet.port)}${page}`);
    }
    if (probe?.tcpSocket !== undefined) return accepts(host, port(probe.tcpSocket.port));
    if (probe?.grpc !== undefined) {
      const { service = '' } = probe.grpc;
      return grpcHealthAt(`${host}:${port(probe.grpc.port)}`, service).then(
        (status) => status === 'SERVING',
        () => false,
      );
    }
    throw new Error(`Cannot probe "${spec.name}": it has no such probe`);
  }

  async function startAndWait(spec: Container): Promise<void> {
    const process_ = start(spec);
    if (spec.startupProbe === undefined) return;
    await eventually(async () => {
      if (!process_.running) throw new Error(`The container "${spec.name}" ended:\n${process_.output}`);
      return check(spec, spec.startupProbe);
    }, startWithinMs);
  }

  function find(name: string): Started {
    const found = started.find(({ spec }) => spec.name === name);
    if (found === undefined) throw new Error(`There is no container "${name}"`);
    return found;
  }

  async function end({ spec, process_ }: Started): Promise<void> {
    const hook = spec.lifecycle?.preStop?.exec.command.map((word) => local(word));
    if (hook !== undefined) await run(hook[0]!, hook.slice(1), { env });
    process_.signal('SIGTERM');
    await process_.exited;
  }

  /** As the kubelet does it: a folder with a name of its own, and a link to it that is swapped. */
  async function update(name: string, files: VolumeFiles): Promise<void> {
    const names = Object.keys(files);
    if (names.length === 0) return;
    const content = await mkdtemp(path.join(volume(name), '..content-'));
    for (const file of names) {
      await writeFile(path.join(content, file), local(files[file]!));
      await symlink(path.join('..data', file), path.join(volume(name), file)).catch(() => undefined);
    }
    await symlink(path.basename(content), path.join(volume(name), '..data_tmp'));
    await rename(path.join(volume(name), '..data_tmp'), path.join(volume(name), '..data'));
  }

  async function remove(): Promise<void> {
    for (const { process_ } of started) process_.signal('SIGKILL');
    await Promise.all(started.map(({ process_ }) => process_.exited));
    await rm(folder, { recursive: true, force: true });
  }

  try {
    for (const port of portsOf(all)) ports.set(port, options.ports?.[port] ?? (await freePort()));
    for (const { name } of pod.volumes ?? []) {
      await mkdir(volume(name));
      await update(name, options.volumes[name] ?? {});
    }
    for (const spec of pod.initContainers ?? []) {
      if (spec.restartPolicy === 'Always') {
        await startAndWait(spec);
        continue;
      }
      const process_ = start(spec);
      const code = await process_.exited;
      if (code !== 0)
        throw new Error(`The container "${spec.name}" ended with ${String(code)}:\n${process_.output}`);
    }
    await Promise.all(pod.containers.map(startAndWait));
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    port(inManifest) {
      const port = ports.get(inManifest);
      if (port === undefined) throw new Error(`There is no port ${inManifest} in the manifest`);
      return port;
    },
    container: (name) => find(name).process_,
    probe: (name, kind) => check(find(name).spec, find(name).spec[kind]),
    update,
    async terminate() {
      const sidecars = started.filter(({ spec }) => spec.restartPolicy === 'Always');
      const containers = started.filter(({ spec }) => pod.containers.includes(spec));
      await Promise.all(containers.map(end));
      for (const sidecar of sidecars.reverse()) await end(sidecar);
      const codes = [...containers, ...sidecars].map(
        async ({ spec, process_ }) => [spec.name, await process_.exited] as const,
      );
      return Object.fromEntries(await Promise.all(codes));
    },
    remove,
  };
}

/** Those that are declared, and Envoy's admin port, which is not. */
function portsOf(containers: readonly Container[]): ReadonlySet<number> {
  const declared = containers.flatMap(({ ports = [] }) => ports.map(({ containerPort }) => containerPort));
  const words = containers.flatMap(({ args = [] }) => args);
  const inWords = words.flatMap((word) =>
    [...word.matchAll(/(?:port=|:)(\d{4,5})$/g)].map(([, port]) => Number(port)),
  );
  return new Set([...declared, ...inWords]);
}

/** Whether a page is answered with success; certificates are not looked at, as the kubelet does not. */
function isWell(url: string): Promise<boolean> {
  const get = url.startsWith('https:') ? getOverTls : getPlain;
  return new Promise((resolve) => {
    get(url, { agent: false, rejectUnauthorized: false, timeout: probeTimeoutMs }, (response) => {
      const { statusCode = 0 } = response.resume();
      resolve(statusCode >= 200 && statusCode < 400);
    })
      .once('timeout', () => resolve(false))
      .once('error', () => resolve(false));
  });
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

interface Started {
  readonly spec: Container;
  readonly process_: ContainerProcess;
}

function startProcess(name: string, words: readonly string[], env: NodeJS.ProcessEnv): ContainerProcess {
  const [program, ...args] = words;
  const child = spawn(program!, args, { cwd: '/', env, stdio: ['ignore', 'pipe', 'pipe'] });
  const killWithUs = (): void => void child.kill('SIGKILL');
  process.once('exit', killWithUs);
  let output = '';
  let running = true;
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const exited = new Promise<number | null>((resolve) => {
    const ended = (code: number | null): void => {
      running = false;
      process.off('exit', killWithUs);
      resolve(code);
    };
    child.once('error', (error) => {
      output += String(error);
      ended(null);
    });
    child.once('close', ended);
  });
  return {
    name,
    get output() {
      return output;
    },
    get running() {
      return running;
    },
    exited,
    signal: (signal) => void child.kill(signal),
  };
}
