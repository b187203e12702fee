/** What Sluice keeps: resident memory after a great many prompts of which no two are alike. */
import { digits, type Bench, type Section } from './bench.ts';
import { startIdleEngines } from './idle-engines.ts';
import { measureLoad, serverCore } from './load-process.ts';
import { startSluice } from './sluice-process.ts';

const bodyBytes = 1000;
/** What is left of the million after this is not sent; the table says how many there were. */
const longestMs = 130_000;

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
  const steps = bench.quick ? [10_000, 10_000] : [100_000, 400_000, 500_000];
  const rows: string[][] = [['0', `${digits(atStart)} MB`]];
  const startMs = performance.now();
  let done = 0;
  let resident = atStart;
  for (const exchanges of steps) {
    bench.progress(`memory, ${digits(done)} prompts so far`);
    const durationMs = longestMs - (performance.now() - startMs);
    const load = { bodyBytes, exchanges, durationMs, concurrency: 64, warmup: 0 };
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
      `\`sluice serve\` with its default bounds and ${engines.urls.length} engines, after prompts of 1 KB of which no two begin alike: every one adds a dozen new blocks to the prefix index, which is full after the first hundred thousand. Sent as above, 64 exchanges at a time.`,
    ],
    tables: [{ columns: ['prompts', 'RSS'], rows }],
    targets: [
      {
        what: `RSS after ${digits(done)} unique prompts`,
        atMost: 300,
        unit: ' MB',
        measured: resident,
      },
    ],
  };
}
