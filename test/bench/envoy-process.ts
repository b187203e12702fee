/** An Envoy of the measurement: one worker, its configuration in a file of this run. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Bench } from './bench.ts';
import type { Child } from './children.ts';

/** Starts it; whether it serves is for others to find out. */
export function startEnvoy(bench: Bench, bin: string, name: string, config: object): Child {
  const file = path.join(bench.folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(config));
  return bench.children.start(
    bin,
    ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'warning'],
    { name },
  );
}
