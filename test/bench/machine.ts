/** What the figures were taken on. */
import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { findEnvoy } from '../../src/envoy/find-envoy.ts';
import { formatEnvoyVersion } from '../../src/envoy/version.ts';
import { packageVersion } from '../../src/version.ts';
import { digits } from './bench.ts';

/** Names and values, in the order in which they are printed. */
export async function describeMachine(nodeFlags: readonly string[]): Promise<(readonly [string, string])[]> {
  const { version: envoy } = await findEnvoy();
  return [
    ['date', new Date().toISOString().slice(0, 16).replace('T', ' ') + ' UTC'],
    ['cores', digits(availableParallelism())],
    ['CPU', cpus()[0]?.model ?? 'unknown'],
    ['memory', `${digits(totalmem() / 1024 ** 3)} GiB`],
    ['kernel', execFileSync('uname', ['-sr']).toString().trim()],
    ['load average when the run began', digits(loadavg()[0]!, 2)],
    ['Sluice', await packageVersion()],
    ['Node', `${process.version} ${nodeFlags.join(' ')}`.trim()],
    ['Envoy', formatEnvoyVersion(envoy)],
  ];
}
