/** `sluice simulate` in a process of its own: engines that stream their answers, and can take only so many at a time. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Bench } from './bench.ts';
import type { Child } from './children.ts';

export interface SimulatedEnginesOptions {
  readonly count: number;
  /** Virtual milliseconds in one real one. */
  readonly speed: number;
  /** Most requests that one works on at a time. */
  readonly maxNumSeqs: number;
}

export interface SimulatedEngines {
  readonly urls: readonly string[];
  readonly child: Child;
}

const main = path.resolve(import.meta.dirname, '../../src/main.ts');

/** Starts engines of model `m` on free ports of 127.0.0.1. */
export async function startSimulatedEngines(
  bench: Bench,
  { count, speed, maxNumSeqs }: SimulatedEnginesOptions,
): Promise<SimulatedEngines> {
  const name = `simulated-${maxNumSeqs}`;
  const profile = path.join(bench.folder, `${name}.json`);
  writeFileSync(profile, JSON.stringify({ maxNumSeqs }));
  const child = bench.children.start(
    process.execPath,
    [
      ...[main, 'simulate', '--model', 'm', '--profile', profile],
      ...['--engines', String(count), '--base-port', '0', '--speed', String(speed)],
    ],
    { name, stdout: 'pipe' },
  );
  const urls = await Promise.race([readUrls(child, count), child.failed]);
  return { urls, child };
}

async function readUrls(child: Child, count: number): Promise<string[]> {
  const urls: string[] = [];
  for await (const line of createInterface({ input: child.process.stdout! })) {
    urls.push(/http:\S+/.exec(line)![0]);
    if (urls.length === count) break;
  }
  return urls;
}
