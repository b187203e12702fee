/**
 * `npm run bench`: measures and prints.
 *
 *   --only <name>       one part, may be repeated: envoy, direct, decision, body, memory, idle, reload, auth, fairness,
 *                       drop-in
 *   --quick             short runs, to see that everything works
 *   --write             rewrites docs/performance.md; with --only the sections of those parts
 *   --node-flags=<…>    flags of Node for Sluice in place of the shipped ones
 *
 * Whatever it starts is stopped at its end, on Ctrl-C too. Linux only: CPU times come from /proc.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { redisBinary } from '../support/redis.ts';
import { benchAuth } from './auth.ts';
import type { Bench, Section, SectionRun } from './bench.ts';
import { createChildren, machineCpuMicroseconds } from './children.ts';
import { benchDirect } from './direct.ts';
import { benchDropIn } from './drop-in.ts';
import { benchFairness } from './fairness.ts';
import { benchIdle } from './idle.ts';
import { benchBodies, benchDecisions } from './in-process.ts';
import { describeMachine } from './machine.ts';
import { benchMemory } from './memory.ts';
import { benchReload } from './reload.ts';
import { printable, updateReport, writeReport } from './report.ts';
import { shippedNodeFlags } from './sluice-process.ts';
import { benchThroughEnvoy } from './through-envoy.ts';
import { requireWrk } from './wrk.ts';

/** In the order of the page. */
const parts: Readonly<Record<string, (bench: Bench) => Promise<Section>>> = {
  envoy: benchThroughEnvoy,
  direct: benchDirect,
  decision: benchDecisions,
  body: benchBodies,
  memory: benchMemory,
  idle: benchIdle,
  reload: benchReload,
  auth: benchAuth,
  fairness: benchFairness,
  'drop-in': benchDropIn,
};

/** Well above what all parts take together. */
const longestRunMs = 20 * 60_000;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true, default: [] },
      quick: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      'node-flags': { type: 'string' },
    },
  });
  const wanted = values.only.length === 0 ? Object.keys(parts) : values.only;
  const unknown = wanted.find((name) => !(name in parts));
  if (unknown !== undefined)
    throw new Error(`Cannot measure "${unknown}": the parts are ${Object.keys(parts).join(', ')}`);
  if (wanted.includes('envoy') || wanted.includes('drop-in')) requireWrk();
  if (wanted.includes('fairness')) redisBinary();

  const folder = mkdtempSync(path.join(tmpdir(), 'sluice-bench-'));
  const children = createChildren(folder);
  process.on('exit', () => {
    children.killAll();
    rmSync(folder, { recursive: true, force: true });
  });
  const interrupted = Promise.withResolvers<Section>();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => interrupted.reject(new Error(`stopped by ${signal}`)));
  setTimeout(() => interrupted.reject(new Error('gave up after twenty minutes')), longestRunMs).unref();

  const nodeFlags = values['node-flags']?.split(' ').filter((flag) => flag !== '');
  const machine = await describeMachine(nodeFlags ?? shippedNodeFlags);
  console.log(machine.map(([name, value]) => `${name}: ${value}`).join('\n'));
  const bench: Bench = {
    children,
    folder,
    quick: values.quick,
    nodeFlags,
    progress: (text) => process.stderr.write(`… ${text}\n`),
  };
  const sections: SectionRun[] = [];
  const othersCpu = (): number => machineCpuMicroseconds() - children.cpuMicroseconds();
  try {
    for (const name of wanted) {
      const startMs = performance.now();
      const before = othersCpu();
      const section: SectionRun = {
        ...(await Promise.race([parts[name]!(bench), interrupted.promise])),
        command: `npm run bench -- --only ${name}`,
        disturbingCores: (othersCpu() - before) / ((performance.now() - startMs) * 1000),
      };
      sections.push(section);
      console.log(printable(section));
    }
  } finally {
    await children.stopAll();
  }
  if (!values.write) return;
  const docs = path.resolve(import.meta.dirname, '../../docs');
  const write = values.only.length === 0 ? writeReport : updateReport;
  write({ machine, quick: values.quick, sections }, docs);
  console.log('\nWrote docs/performance.md');
}

try {
  await main();
  process.exit(0);
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
