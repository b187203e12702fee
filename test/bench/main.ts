/** `npm run bench`: measures and prints; `--write` makes docs/performance.md of it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { Bench, Section } from './bench.ts';
import { createChildren } from './children.ts';
import { benchDirect } from './direct.ts';

const suites: Readonly<Record<string, (bench: Bench) => Promise<Section>>> = {
  direct: benchDirect,
};

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    'node-flags': { type: 'string' },
  },
});

const folder = mkdtempSync(path.join(tmpdir(), 'sluice-bench-'));
const children = createChildren(folder);
process.on('exit', () => {
  children.killAll();
  rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
const bench: Bench = {
  children,
  folder,
  quick: values.quick,
  nodeFlags: values['node-flags']?.split(' ').filter((flag) => flag !== ''),
  progress: (text) => process.stderr.write(`… ${text}\n`),
};
for (const [name, run] of Object.entries(suites)) {
  if (values.only && !values.only.includes(name)) continue;
  const section = await run(bench);
  console.log(JSON.stringify(section, null, 1));
}
process.exit(0);
