/** What Sluice keeps: resident memory after a great many prompts of which no two are alike. */
import { digits, type Bench, type Section } from './bench.ts';
import { startIdleEngines } from './idle-engines.ts';
import { measureLoad, serverCore } from './load-process.ts';
import { startSluice } from './sluice-process.ts';

const bodyBytes = 4000;

/** RSS after a million unique prompts at the default bounds, through the whole of `sluice serve`. */
export async function benchMemory(bench: Bench): Promise<Section> {
  const engines = await startIdleEngines(bench.children, 8, 1);
  const server = await startSluice(bench, {
    name: 'memory',
    engines: engines.urls,
    usage: 'none',
    core: serverCore,
  });
  const atStart = server.child.residentMegabytes();
  const steps = bench.quick ? [10_000, 20_000] : [100_000, 400_000, 500_000];
  const rows: string[][] = [['0', `${digits(atStart)} MB`]];
  let done = 0;
  let resident = atStart;
  for (const exchanges of steps) {
    bench.progress(`memory, ${digits(done)} prompts so far`);
    const load = { bodyBytes, exchanges, concurrency: 64, warmup: 0 };
    const figure = await measureLoad(bench, server, load);
    done += figure.exchanges - figure.failed;
    resident = figure.residentMegabytes;
    rows.push([digits(done), `${digits(resident)} MB`]);
  }
  await server.child.stop();
  await engines.child.stop();
  return {
    title: 'Memory',
    notes: [
      `\`sluice serve\` with its default bounds and ${engines.urls.length} engines, after prompts of 4 KB of which no two begin alike: every one fills the prefix index with new blocks. Sent as above, 64 exchanges at a time.`,
    ],
    tables: [{ columns: ['prompts', 'RSS'], rows }],
    targets: [
      {
        what: `RSS after ${bench.quick ? `${digits(done)} unique prompts (of a million)` : 'a million unique prompts'}`,
        atMost: 300,
        unit: ' MB',
        measured: resident,
      },
    ],
  };
}
