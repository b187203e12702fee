/** What it costs to watch a hundred engines while nothing is asked. */
import { setTimeout as delay } from 'node:timers/promises';
import { digits, type Bench, type Section } from './bench.ts';
import { startIdleEngines } from './idle-engines.ts';
import { startSluice } from './sluice-process.ts';

const endpoints = 100;

/** CPU share of a core with 100 idle engines at the default scrape interval. */
export async function benchIdle(bench: Bench): Promise<Section> {
  const engines = await startIdleEngines(bench.children, endpoints);
  const server = await startSluice(bench, { name: 'idle', engines: engines.urls, usage: 'auto' });
  const settleMs = bench.quick ? 1000 : 5000;
  const seconds = bench.quick ? 4 : 20;
  bench.progress(`idle with ${endpoints} engines, ${seconds} s`);
  await delay(settleMs);
  const cpuBefore = server.child.cpuMicroseconds();
  const startMs = performance.now();
  await delay(seconds * 1000);
  const share = (server.child.cpuMicroseconds() - cpuBefore) / ((performance.now() - startMs) * 1000);
  const resident = server.child.residentMegabytes();
  await server.child.stop();
  await engines.child.stop();
  return {
    title: 'Idle',
    notes: [
      `\`sluice serve\` with ${endpoints} engines that have nothing to do, each scraped every second over HTTP; ${seconds} s after ${settleMs / 1000} s of settling. The engines' pages are short: the gauges of vLLM, without its histograms.`,
    ],
    tables: [
      {
        columns: ['engines', 'share of a core', 'RSS'],
        rows: [[digits(endpoints), `${digits(share * 100, 1)} %`, `${digits(resident)} MB`]],
      },
    ],
    targets: [
      {
        what: `share of a core, idle with ${endpoints} engines`,
        atMost: 3,
        unit: ' %',
        measured: share * 100,
      },
    ],
    plots: { idlePercent: share * 100 },
  };
}
