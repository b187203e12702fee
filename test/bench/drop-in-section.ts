/** What the page says of Sluice in the place of vllm-router. */
import { digits, type Section, type Table, type Target } from './bench.ts';
import { conversations, oneUniqueOf } from './conversation-requests.ts';
import { engineCount, type System } from './drop-in-systems.ts';
import { sizeName } from './prompts.ts';
import { rustRouterName } from './rust-router.ts';
import type { WrkFigure } from './wrk.ts';

/** One system with prompts of one size; a figure per repetition. */
export interface Measurement {
  readonly system: System;
  readonly bodyBytes: number;
  /** At `busyConnections`. */
  readonly busy: Run[];
  /** At one connection. */
  readonly single: Run[];
}

export interface Run extends WrkFigure {
  /** Microseconds per request: the router's own, and what the processes took that it started. */
  readonly routerCpu: number;
  readonly childrenCpu: number;
}

export const busyConnections = 64;

/** Requests per second of vllm-router itself, taken earlier on two cores at 64 connections. */
const pythonRouter: readonly {
  readonly logic: string;
  readonly bodyBytes: number;
  readonly perSecond: number;
}[] = [
  { logic: 'roundrobin', bodyBytes: 1000, perSecond: 1288 },
  { logic: 'session', bodyBytes: 1000, perSecond: 1063 },
  { logic: 'prefixaware', bodyBytes: 1000, perSecond: 1371 },
  { logic: 'prefixaware', bodyBytes: 40_000, perSecond: 617 },
];
const timesPythonRouter = 3;

/** Everything that was measured, and `missing`: why there is nothing of the other router. */
export function dropInSection(
  measurements: readonly Measurement[],
  missing: string | undefined,
  { repetitions, seconds }: { readonly repetitions: number; readonly seconds: number },
): Section {
  return {
    title: 'In the place of vllm-router',
    notes: [
      `Sluice’s \`vllm-router\`, started with the command line of vllm-router and nothing else, so with all defaults; Envoy, which it starts, has one worker per core. Beside it ${rustRouterName} from PyPI, a rewrite in Rust with the same name, with its defaults: a whole proxy in one process. Another Envoy plays ${engineCount} idle engines for all of them by answering at once. ${repetitions === 1 ? 'One run' : 'Two runs'} of ${seconds} s for each, all in turn for each prompt size and number of connections; both figures are shown, and targets are held against their mean.`,
      `On a machine with two cores wrk, Envoy, Sluice and the engines share them: requests per second say what that machine does with all of it, and CPU per request is what the router alone takes of it.`,
      `The same requests for everybody, from wrk with one thread: ${oneUniqueOf - 1} of ${oneUniqueOf} continue one of ${digits(conversations)} conversations, drawn at random, whose prompts have a quarter (at most 2 KB) in common, then a history of their own, and an eighth that was never sent before. One of ${oneUniqueOf} begins like no other. A header names the conversation; a unique prompt is a session of its own.`,
      `*CPU* is at ${busyConnections} connections: of Sluice, of its Envoy, and of everything between client and engine. Sluice counted tokens and wrote two lines for each request, as its defaults are: where it goes, and how it ended (text, to \`/dev/null\`). The other router logs no requests. *Added* is the difference to the calmer run straight to an engine.`,
      `vllm-router itself, in Python, is not in this run. On two cores it did ${pythonRouter.map(({ logic, bodyBytes, perSecond }) => `${digits(perSecond)} requests/s (${logic}, ${sizeName(bodyBytes)})`).join(', ')} at ${busyConnections} connections and added about 0.7 ms at one.`,
    ],
    tables: [table(measurements, missing)],
    targets: targets(measurements),
  };
}

function table(measurements: readonly Measurement[], missing: string | undefined): Table {
  const columns = [
    'what, with which logic',
    'prompt',
    `requests/s, ${busyConnections} connections`,
    'p50 at one, ms',
    'p99 at one, ms',
    'added p50 at one, ms',
    'CPU of Sluice, µs',
    'CPU of Envoy, µs',
    'CPU together, µs',
    'failed',
  ];
  const rows = measurements.map((measurement) => row(measurement, measurements));
  if (missing !== undefined)
    rows.push([`${rustRouterName}: not measured: ${missing}`, ...columns.slice(1).map(() => '')]);
  return { columns, rows };
}

function row(
  { system, bodyBytes, busy, single }: Measurement,
  all: readonly Measurement[],
): readonly string[] {
  const { kind, name, logic } = system;
  const each = (runs: readonly Run[], value: (run: Run) => number, fraction = 0): string =>
    runs.map((run) => digits(value(run), fraction)).join(' / ');
  const ofSluice = kind === 'sluice' ? busy : [];
  const alone = all.find((other) => other.system.kind === 'engines' && other.bodyBytes === bodyBytes);
  // The calmer run: a disturbed one would make routers look fast.
  const aloneP50 = Math.min(...(alone?.single ?? []).map((run) => run.p50Ms));
  return [
    logic === '' ? name : `${name}, ${logic}`,
    sizeName(bodyBytes),
    each(busy, (run) => run.perSecond),
    each(single, (run) => run.p50Ms, 2),
    each(single, (run) => run.p99Ms, 2),
    each(kind === 'engines' ? [] : single, (run) => run.p50Ms - aloneP50, 2),
    each(ofSluice, (run) => run.routerCpu),
    each(ofSluice, (run) => run.childrenCpu),
    each(busy, cpuTogether),
    digits([...busy, ...single].reduce((sum, run) => sum + run.failed, 0)),
  ];
}

function cpuTogether({ routerCpu, childrenCpu }: Run): number {
  return routerCpu + childrenCpu;
}

function targets(measurements: readonly Measurement[]): Target[] {
  const find = (logic: string, bodyBytes: number) =>
    measurements.find((m) => m.system.logic === logic && m.bodyBytes === bodyBytes);
  const rates = pythonRouter.map(({ logic, bodyBytes, perSecond }): Target => ({
    what: `requests per second, ${busyConnections} connections, ${sizeName(bodyBytes)}, ${logic}: ${timesPythonRouter} × vllm-router in Python`,
    atLeast: timesPythonRouter * perSecond,
    unit: '/s',
    measured: mean(find(logic, bodyBytes)!.busy, (run) => run.perSecond),
  }));
  const ours = measurements.filter(({ system }) => system.kind === 'sluice');
  const cpus = ours.flatMap(({ system, bodyBytes, busy }): Target[] => {
    const other = system.logic === 'prefixaware' ? find('cache_aware', bodyBytes) : undefined;
    if (other === undefined) return [];
    return [
      {
        what: `CPU of Envoy and Sluice per request, ${busyConnections} connections, ${sizeName(bodyBytes)}, prefixaware: that of ${rustRouterName}, cache_aware`,
        atMost: Math.round(mean(other.busy, cpuTogether)),
        unit: ' µs',
        measured: mean(busy, cpuTogether),
      },
    ];
  });
  const runs = ours.flatMap(({ busy, single }) => [...busy, ...single]);
  const requests = runs.reduce((sum, run) => sum + run.requests, 0);
  return [
    ...rates,
    ...cpus,
    {
      what: `failed requests of ${digits(requests)} in the place of vllm-router`,
      atMost: 0,
      unit: '',
      measured: runs.reduce((sum, run) => sum + run.failed, 0),
    },
  ];
}

function mean(runs: readonly Run[], value: (run: Run) => number): number {
  return runs.reduce((sum, run) => sum + value(run), 0) / runs.length;
}
