/** ext_proc exchanges straight to `sluice serve`, without Envoy: what one core does. */
import { digits, type Bench, type Section } from './bench.ts';
import { startIdleEngines } from './idle-engines.ts';
import { measureLoad, serverCore, type LoadFigure } from './load-process.ts';
import { sizeName } from './prompts.ts';
import { startSluice } from './sluice-process.ts';

const bodies = [4000, 220_000] as const;
const minExchangesPerSecond = [10_000, 3000] as const;
const concurrency = 16;
const chunksPerExchange = 100;
/** Below this share of a core the server waited for something. */
const saturated = 0.9;

/** Exchanges per second and core, CPU per exchange, CPU per chunk of a streamed response. */
export async function benchDirect(bench: Bench): Promise<Section> {
  const engines = await startIdleEngines(bench.children, 8, 1);
  const durationMs = bench.quick ? 700 : 5000;
  const start = (usage: 'none' | 'streamed') =>
    startSluice(bench, { name: `direct-${usage}`, engines: engines.urls, usage, core: serverCore });

  const buffered: LoadFigure[] = [];
  for (const bodyBytes of bodies) {
    bench.progress(`direct load, ${sizeName(bodyBytes)} bodies`);
    const server = await start('none');
    buffered.push(await measureLoad(bench, server, { bodyBytes, concurrency, durationMs }));
    await server.child.stop();
  }

  bench.progress('direct load, streamed responses');
  const server = await start('streamed');
  const streamed: LoadFigure[] = [];
  for (const responseChunks of [1, 1 + chunksPerExchange]) {
    streamed.push(
      await measureLoad(bench, server, {
        bodyBytes: 4000,
        concurrency,
        durationMs,
        responseChunks,
        warmup: 300,
      }),
    );
  }
  await server.child.stop();
  await engines.child.stop();

  const perChunk = (streamed[1]!.cpuMicroseconds - streamed[0]!.cpuMicroseconds) / chunksPerExchange;
  const rows = [
    ...bodies.map((bytes, i) => row(`${sizeName(bytes)}, response body not shown`, buffered[i]!)),
    row('4 KB, response of 1 chunk shown', streamed[0]!),
    row(`4 KB, response of ${1 + chunksPerExchange} chunks shown`, streamed[1]!),
  ];
  return {
    title: 'One core, without Envoy',
    notes: [
      `\`sluice serve\` on one core with ${engines.urls.length} idle engines; a client on the other core sends the messages that Envoy sends: ${concurrency} exchanges at a time on one connection, every prompt unique. Its log, with a line for each exchange, goes to \`/dev/null\`.`,
      'Where the server used less than 90 % of its core, it waited for its client or for other processes of the machine: the rate that counts is then 1 s divided by the CPU time of an exchange, and the table shows both.',
      `A chunk of a streamed response costs **${digits(perChunk, 1)} µs**: the difference of the last two rows. Only exchanges whose response body is shown to Sluice have that cost; see \`usage.source\`.`,
    ],
    tables: [
      {
        columns: [
          'request body',
          'CPU per exchange',
          'exchanges/s/core, from CPU',
          'exchanges/s, seen',
          'share of the core',
          'RSS',
          'failed',
        ],
        rows,
      },
    ],
    targets: bodies.map((bytes, i) => ({
      what: `exchanges per second on one core, ${sizeName(bytes)} bodies`,
      atLeast: minExchangesPerSecond[i]!,
      unit: '/s',
      measured: perCore(buffered[i]!),
    })),
  };
}

function row(name: string, figure: LoadFigure): readonly string[] {
  const limit = figure.serverShare < saturated ? ' (it waited)' : '';
  return [
    name,
    `${digits(figure.cpuMicroseconds, 1)} µs`,
    digits(1e6 / figure.cpuMicroseconds),
    digits(figure.perSecond) + limit,
    `${digits(figure.serverShare * 100)} %`,
    `${digits(figure.residentMegabytes)} MB`,
    digits(figure.failed),
  ];
}

/** What one core does: seen, where the server was busy; otherwise what its CPU time would allow. */
function perCore(figure: LoadFigure): number {
  return figure.serverShare < saturated ? 1e6 / figure.cpuMicroseconds : figure.perSecond;
}
