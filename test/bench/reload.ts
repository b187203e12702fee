/** What a new configuration costs the exchanges that are under way: the same load with reloads and without. */
import { setTimeout as delay } from 'node:timers/promises';
import { digits, type Bench, type Section, type Table } from './bench.ts';
import { startIdleEngines } from './idle-engines.ts';
import { serverCore, startPacedClient, type PacedFigure } from './load-process.ts';
import { sizeName } from './prompts.ts';
import { startSluice, type SluiceProcess } from './sluice-process.ts';

const engineCount = 8;
const perSecond = 2000;
const bodyBytes = 4000;
const turnMs = 200;
/** Where in a turn the page is asked: Sluice waits for 100 ms of silence before it reads a file. */
const askAfterMs = 150;
const askAgainMs = 20;
const longestReloadMs = 10_000;

/** Good ones in turn; every tenth file is a bad one instead. */
const goodSettings = [
  '',
  `
scheduler:
  plugins:
    Score:
      enabled:
        - { name: least-request, weight: 2 }
        - { name: kv-cache, weight: 1 }
        - { name: least-latency, weight: 1 }
        - { name: prefix-cache, weight: 3 }
`,
  `
scheduler:
  pluginConfig:
    - { name: least-request, args: { maxWaitingRequests: 20, loadScale: 5 } }
    - { name: prefix-cache, args: { topKMatches: 3, maxHashCacheSize: 40000 } }
`,
  `
scrape: { interval: 500ms, timeout: 2s, staleAfter: 3s }
`,
  `
scheduler:
  maxEndpoints: 2
  pluginConfig:
    - { name: prefix-cache, args: { blockSizeToHash: 128 } }
  plugins:
    Filter: { enabled: [least-request, lora-affinity] }
    Score:
      enabled:
        - { name: least-request, weight: 1 }
        - { name: prefix-cache, weight: 2 }
        - { name: session-affinity, weight: 1 }
`,
] as const;
const badSettings = [
  'scheduler: { plugins: { Score: { enabled: [{ name: least-request, weight: -1 }] } } }\n',
  'scheduler: { plugins: { Score: { enabled: [{ name: prefix-cash, weight: 1 }] } } }\n',
  'scheduler: { plugins: { Score:\n',
] as const;

/** A configuration file of the run. */
interface Configuration {
  readonly settings: string;
  readonly isGood: boolean;
  /** Tells it from the others: a depth that no body of the run comes near. */
  readonly maxBodyDepth: number;
}

/** What is said of it on the admin pages. */
interface Visible {
  readonly loadedAt: string;
  readonly refused: readonly string[];
  readonly effective: { readonly limits: { readonly maxBodyDepth: number } };
}

interface Run extends PacedFigure {
  /** How late timers of Sluice fired at most. */
  readonly eventLoopMs: number;
  readonly applied: number;
  readonly refused: number;
  /** From the new file to its effect, for each good one. */
  readonly effectAfterMs: readonly number[];
}

/** Failures and latency of 2,000 exchanges a second while the configuration is replaced five times a second. */
export async function benchReload(bench: Bench): Promise<Section> {
  const engines = await startIdleEngines(bench.children, engineCount, 1);
  const server = await startSluice(bench, {
    name: 'reload',
    engines: engines.urls,
    usage: 'none',
    core: serverCore,
  });
  const files = Array.from({ length: bench.quick ? 10 : 200 }, (_, i) => configuration(i + 1));
  const nothing = files.map(() => undefined);
  const run = (turns: readonly (Configuration | undefined)[]): Promise<Run> => measure(bench, server, turns);

  bench.progress('paced load, no reloads yet');
  const before = await run(nothing);
  bench.progress(`paced load, ${files.length} reloads`);
  const reloading = await run(files);
  bench.progress('paced load, no more reloads');
  const after = await run(nothing);
  await server.child.stop();
  await engines.child.stop();
  return section([before, after], reloading);
}

function configuration(number: number): Configuration {
  const isGood = number % 10 !== 5;
  const maxBodyDepth = 128 + number;
  const list = isGood ? goodSettings : badSettings;
  return {
    isGood,
    maxBodyDepth,
    settings: `limits: { maxBodyDepth: ${maxBodyDepth} }\n${list[Math.floor(isGood ? number : number / 10) % list.length]!}`,
  };
}

/** One run of the load. In each turn there is a new configuration, or none, and the page is asked. */
async function measure(
  bench: Bench,
  server: SluiceProcess,
  turns: readonly (Configuration | undefined)[],
): Promise<Run> {
  const warmup = bench.quick ? 2000 : 10_000;
  const client = await startPacedClient(bench, server, { bodyBytes, perSecond, warmup });
  // Asking empties what is known of the event loop: its delay counts from here.
  const reloadsBefore = await askMetrics(server);
  const effectAfterMs: number[] = [];
  const figure = await client.measure(async () => {
    const startMs = performance.now();
    for (const [turn, next] of turns.entries()) {
      const tookMs = await (next === undefined ? noReload(server) : reload(server, next));
      if (tookMs !== undefined) effectAfterMs.push(tookMs);
      await delay(Math.max(0, startMs + (turn + 1) * turnMs - performance.now()));
    }
  });
  const { eventLoopMs, applied, refused } = await askMetrics(server);
  return {
    ...figure,
    eventLoopMs,
    applied: applied - reloadsBefore.applied,
    refused: refused - reloadsBefore.refused,
    effectAfterMs,
  };
}

/** What a turn without reload does: it asks too, so that runs differ by the reload and nothing else. */
async function noReload(server: SluiceProcess): Promise<undefined> {
  await delay(askAfterMs);
  await askConfig(server);
}

/** Replaces the file and waits until the page shows it; returns how long a good one took to be in effect. */
async function reload(server: SluiceProcess, next: Configuration): Promise<number | undefined> {
  server.configure(next.settings);
  const replacedAtMs = Date.now();
  await delay(askAfterMs);
  for (;;) {
    const { loadedAt, refused, effective } = await askConfig(server);
    // A refusal is no older than the file: the one before it was a good one.
    if (!next.isGood && refused.length > 0) return undefined;
    if (next.isGood && effective.limits.maxBodyDepth === next.maxBodyDepth)
      return Date.parse(loadedAt) - replacedAtMs;
    if (Date.now() - replacedAtMs > longestReloadMs)
      throw new Error(`Cannot go on: nothing came of this configuration in ten seconds:\n${next.settings}`);
    await delay(askAgainMs);
  }
}

async function askConfig(server: SluiceProcess): Promise<Visible> {
  return (await (await fetch(`${server.adminUrl}/debug/config`)).json()) as Visible;
}

async function askMetrics(server: SluiceProcess): Promise<Pick<Run, 'eventLoopMs' | 'applied' | 'refused'>> {
  const page = await (await fetch(`${server.adminUrl}/metrics`)).text();
  const value = (series: string): number => {
    const line = page.split('\n').find((text) => text.startsWith(`${series} `));
    return Number(line?.slice(series.length) ?? 0);
  };
  return {
    eventLoopMs: value('sluice_event_loop_delay_seconds{quantile="1"}') * 1000,
    applied: value('sluice_config_reloads_total{result="applied"}'),
    refused: value('sluice_config_reloads_total{result="refused"}'),
  };
}

function section(without: readonly [Run, Run], reloading: Run): Section {
  const [before, after] = without;
  const reloads = reloading.applied + reloading.refused;
  const p99 = (before.latencyMs.p99 + after.latencyMs.p99) / 2;
  const noise = Math.abs(before.latencyMs.p99 - after.latencyMs.p99);
  const effect = reloading.effectAfterMs.toSorted((a, b) => a - b);
  return {
    title: 'Reload under load',
    notes: [
      `\`sluice serve\` on one core, with ${engineCount} idle engines and unique prompts of ${sizeName(bodyBytes)} sent as above, but paced: ${digits(perSecond)} exchanges begin every second at even intervals, however many are under way. Latency counts from when an exchange *should* have begun to its end, the end of the response included: what a standstill holds up is counted for each exchange that it holds up. *Client late* is the part of it that the client and the machine are to blame for.`,
      `Meanwhile its configuration file is replaced (written beside, and renamed) every ${turnMs} ms: other weights, other arguments of plugins, another scrape interval, other plugins with another size of hash blocks, with which the prefix index starts over, the defaults again. Every tenth file is one that must be refused: a negative weight, an unknown plugin, YAML that ends too early. Each has to show on \`/debug/config\` before the next one is written. The run before it and the run after it, separated by a slash, have no reloads, and ask for that page as often.`,
      `By \`sluice_config_reloads_total\` ${digits(reloading.applied)} configurations were applied and ${digits(reloading.refused)} refused. A good one was in effect ${digits(effect[effect.length >> 1] ?? Number.NaN)} ms after it was written (median; the longest took ${digits(effect.at(-1) ?? Number.NaN)} ms), 100 ms of which are the silence that Sluice waits for.`,
      `The noise of p99 is the difference of the two runs without reloads: **${digits(noise, 2)} ms**. *Within noise* is at most this much above their mean, ${digits(p99, 2)} ms. *Event loop late* is the greatest delay of a timer in Sluice, by its own metric.`,
    ],
    tables: [table(without, reloading)],
    targets: [
      {
        what: `failed exchanges of ${digits(reloading.exchanges)} during ${reloads} reloads`,
        atMost: 0,
        unit: '',
        measured: reloading.failed,
      },
      {
        what: `p99 at ${digits(perSecond)} exchanges/s during ${reloads} reloads, against that without and its noise`,
        atMost: Math.round((p99 + noise) * 100) / 100,
        unit: ' ms',
        measured: reloading.latencyMs.p99,
      },
    ],
  };
}

function table(without: readonly Run[], reloading: Run): Table {
  const row = (name: string, runs: readonly Run[]): readonly string[] => {
    const each = (value: (run: Run) => number, fraction = 0): string =>
      runs.map((run) => digits(value(run), fraction)).join(' / ');
    return [
      name,
      each((run) => run.exchanges),
      each((run) => run.failed),
      each((run) => run.latencyMs.p50, 2),
      each((run) => run.latencyMs.p99, 2),
      each((run) => run.latencyMs.max, 1),
      each((run) => run.lateMs.p99, 2),
      each((run) => run.cpuMicroseconds),
      each((run) => run.eventLoopMs, 1),
      each((run) => run.residentMegabytes),
    ];
  };
  return {
    columns: [
      `${digits(perSecond)} exchanges/s`,
      'exchanges',
      'failed',
      'p50, ms',
      'p99, ms',
      'longest, ms',
      'client late, p99, ms',
      'CPU per exchange, µs',
      'event loop late, ms',
      'RSS, MB',
    ],
    rows: [
      row('no reloads, before / after', without),
      row(`${reloading.applied + reloading.refused} reloads, ${reloading.refused} of them refused`, [
        reloading,
      ]),
    ],
  };
}
