/** What Sluice costs behind a real Envoy: CPU per exchange, and latency added to the same Envoy without it. */
import path from 'node:path';
import { findEnvoy } from '../../src/envoy/find-envoy.ts';
import { freePort } from '../support/free-port.ts';
import { digits, type Bench, type Section, type Table, type Target } from './bench.ts';
import type { Child } from './children.ts';
import { engineAddresses, enginesBootstrap, plainEdge, shippedEdge, shippedEdgeAlone } from './edge.ts';
import { startEnvoy } from './envoy-process.ts';
import { sizeName } from './prompts.ts';
import { servesCompletions } from './serves-completions.ts';
import { startSluice, type SluiceProcess } from './sluice-process.ts';
import { requireWrk, runWrk } from './wrk.ts';

const engineCount = 8;
const bodies = [2000, 220_000] as const;
const connectionCounts = [1, 16] as const;
const maxCpu = { 2000: 100, 220_000: 300 } as const;
const maxAddedP50 = { 2000: 0.45, 220_000: 0.8 } as const;
const maxAddedP99 = 3;

/** An edge with or without Sluice behind it. */
interface System {
  readonly name: string;
  readonly url: string;
  readonly edge: Child;
  readonly sluice: SluiceProcess | undefined;
  /** The same edge without Sluice. */
  readonly baseline: System | undefined;
}

/** One system at one load; a figure per repetition. */
interface Measurement {
  readonly system: System;
  readonly bodyBytes: number;
  readonly connections: number;
  readonly runs: Run[];
}

interface Run {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly sluiceCpu: number;
  readonly edgeCpu: number;
  readonly failed: number;
}

/** Five systems, two bodies, one and sixteen connections. */
export async function benchThroughEnvoy(bench: Bench): Promise<Section> {
  requireWrk();
  const systems = await startSystems(bench);
  const measurements: Measurement[] = [];
  const repetitions = bench.quick ? 1 : 2;
  const seconds = bench.quick ? 1 : 3;
  bench.progress('warming up');
  for (const { url, sluice } of systems) {
    for (const bodyBytes of sluice === undefined ? [2000] : bodies)
      await runWrk(bench, { url, bodyBytes, connections: 16, seconds: 1 });
  }
  for (const bodyBytes of bodies) {
    for (const connections of connectionCounts) {
      bench.progress(`through Envoy, ${sizeName(bodyBytes)}, ${connections} connections`);
      const group = systems.map((system): Measurement => ({ system, bodyBytes, connections, runs: [] }));
      measurements.push(...group);
      for (let repetition = 0; repetition < repetitions; repetition++) {
        for (const measurement of group) measurement.runs.push(await measure(bench, measurement, seconds));
      }
    }
  }
  const rss = systems.flatMap(({ name, sluice }) =>
    sluice === undefined ? [] : [`${name}: ${digits(sluice.child.residentMegabytes())} MB`],
  );
  for (const { edge, sluice } of systems) {
    await edge.stop();
    await sluice?.child.stop();
  }
  return section(measurements, rss, repetitions, seconds);
}

async function startSystems(bench: Bench): Promise<System[]> {
  const { path: bin } = await findEnvoy();
  const engines = engineAddresses(engineCount, await freePort());
  startEnvoy(bench, bin, 'envoy-engines', enginesBootstrap(engines));
  const urls = engines.map((address) => `http://${address}`);

  async function system(
    name: string,
    sluice: SluiceProcess | undefined,
    baseline: System | undefined,
    edgeConfig: (listen: string) => object,
  ): Promise<System> {
    const listen = `127.0.0.1:${await freePort()}`;
    const edge = startEnvoy(bench, bin, `envoy-${name.replaceAll(/\W+/g, '-')}`, edgeConfig(listen));
    const url = `http://${listen}`;
    await servesCompletions(url, edge);
    return { name, url, edge, sluice, baseline };
  }

  bench.progress('starting Envoys and Sluices');
  const [withoutUsage, withUsage, shipped] = [
    await startSluice(bench, { name: 'envoy-none', engines: urls, usage: 'none' }),
    await startSluice(bench, { name: 'envoy-auto', engines: urls, usage: 'auto' }),
    await startSluice(bench, {
      name: 'envoy-shipped',
      engines: urls,
      usage: 'auto',
      listen: `unix:${path.join(bench.folder, 'shipped.sock')}`,
    }),
  ];
  const plain = await system('plain edge', undefined, undefined, (listen) =>
    plainEdge(listen, engines, undefined),
  );
  const shippedAlone = await system('shipped edge', undefined, undefined, (listen) =>
    shippedEdgeAlone(listen, shipped.listen),
  );
  return [
    plain,
    await system('plain edge + Sluice, no usage', withoutUsage, plain, (listen) =>
      plainEdge(listen, engines, withoutUsage.listen),
    ),
    await system('plain edge + Sluice, usage from bodies', withUsage, plain, (listen) =>
      plainEdge(listen, engines, withUsage.listen),
    ),
    shippedAlone,
    await system('shipped edge + Sluice', shipped, shippedAlone, (listen) =>
      shippedEdge(listen, shipped.listen),
    ),
  ];
}

async function measure(
  bench: Bench,
  { system, bodyBytes, connections }: Measurement,
  seconds: number,
): Promise<Run> {
  const { url, edge, sluice } = system;
  const edgeBefore = edge.cpuMicroseconds();
  const sluiceBefore = sluice?.child.cpuMicroseconds() ?? 0;
  const { requests, ...figure } = await runWrk(bench, { url, bodyBytes, connections, seconds });
  return {
    ...figure,
    sluiceCpu: ((sluice?.child.cpuMicroseconds() ?? 0) - sluiceBefore) / requests,
    edgeCpu: (edge.cpuMicroseconds() - edgeBefore) / requests,
  };
}

function section(
  measurements: readonly Measurement[],
  rss: readonly string[],
  repetitions: number,
  seconds: number,
): Section {
  const find = (system: System, bodyBytes: number, connections: number) =>
    measurements.find(
      (m) => m.system === system && m.bodyBytes === bodyBytes && m.connections === connections,
    )!;
  const added = (m: Measurement, value: (run: Run) => number): number[] => {
    const { baseline } = m.system;
    if (baseline === undefined) return [];
    // Against the calmer run without Sluice: a disturbed one would make Sluice look fast.
    const base = Math.min(...find(baseline, m.bodyBytes, m.connections).runs.map(value));
    return m.runs.map((run) => value(run) - base);
  };
  const each = (values: readonly number[], fraction: number): string =>
    values.length === 0 ? '' : values.map((value) => digits(value, fraction)).join(' / ');

  const tables = bodies.flatMap((bodyBytes) =>
    connectionCounts.map((connections): Table => ({
      columns: [
        `${sizeName(bodyBytes)}, ${connections === 1 ? 'one connection' : `${connections} connections`}`,
        'requests/s',
        'CPU of Sluice, µs',
        'CPU of Envoy, µs',
        'p50, ms',
        'p99, ms',
        'added p50, ms',
        'added p99, ms',
        'failed',
      ],
      rows: measurements
        .filter((m) => m.bodyBytes === bodyBytes && m.connections === connections)
        .map((m) => [
          m.system.name,
          each(
            m.runs.map((run) => run.perSecond),
            0,
          ),
          m.system.sluice === undefined
            ? ''
            : each(
                m.runs.map((run) => run.sluiceCpu),
                0,
              ),
          each(
            m.runs.map((run) => run.edgeCpu),
            0,
          ),
          each(
            m.runs.map((run) => run.p50Ms),
            2,
          ),
          each(
            m.runs.map((run) => run.p99Ms),
            2,
          ),
          each(
            added(m, (run) => run.p50Ms),
            2,
          ),
          each(
            added(m, (run) => run.p99Ms),
            2,
          ),
          digits(m.runs.reduce((sum, run) => sum + run.failed, 0)),
        ]),
    })),
  );

  const systems = [...new Set(measurements.map(({ system }) => system))];
  const [, compared, , , shipped] = systems;
  const targets: Target[] = [];
  const plots: Record<string, number> = {};
  for (const [key, system] of [
    ['compared', compared!],
    ['shipped', shipped!],
  ] as const) {
    for (const bodyBytes of bodies) {
      const busy = find(system, bodyBytes, 16);
      const single = find(system, bodyBytes, 1);
      const cpu = mean(busy.runs.map((run) => run.sluiceCpu));
      const addedP50 = mean(added(single, (run) => run.p50Ms));
      plots[`${key}Cpu${bodyBytes}`] = cpu;
      plots[`${key}P50${bodyBytes}`] = addedP50;
      const where = `${sizeName(bodyBytes)}, ${system.name}`;
      targets.push(
        {
          what: `CPU per exchange, 16 connections, ${where}`,
          atMost: maxCpu[bodyBytes],
          unit: ' µs',
          measured: cpu,
        },
        {
          what: `added p50, one connection, ${where}`,
          atMost: maxAddedP50[bodyBytes],
          unit: ' ms',
          measured: addedP50,
        },
        {
          what: `added p99, one connection, ${where}`,
          atMost: maxAddedP99,
          unit: ' ms',
          measured: mean(added(single, (run) => run.p99Ms)),
        },
      );
    }
  }
  return {
    title: 'Through Envoy',
    notes: [
      `wrk, one thread, keeps 1 or 16 connections busy with the same chat completion of random words; an Envoy with one worker is the edge; another Envoy plays ${engineCount} idle engines by answering at once. Nothing is pinned. ${repetitions === 1 ? 'One run' : 'Two runs'} of ${seconds} s for each system, all systems in turn within the same minute; the figures of both runs are shown, and targets are held against their mean.`,
      'The **plain edge** has ext_proc in BUFFERED mode and little else: the Envoy that other endpoint pickers were measured behind. *No usage* is `usage.source: none`, which is what those pickers do: nothing is learned of the response but its end. *Usage from bodies* is `auto` at an Envoy that does not send its access log: response bodies are shown to Sluice. The **shipped edge** is the configuration that `sluice router` gives its Envoy: outcome and token usage come from Envoy’s access log, and its gRPC runs over a Unix socket.',
      'Without Sluice the edges buffer the body with Envoy’s own filter, and load balancing is Envoy’s. *Added* is the difference to the calmer of the runs without it: everything between, so also what Envoy itself spends on ext_proc.',
      `RSS of Sluice afterwards: ${rss.join('; ')}.`,
    ],
    tables,
    targets,
    plots,
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
