/** What it costs to know the usage of a streamed response: asked by the client, or by Sluice on its behalf. */
import { Agent } from 'node:http';
import { digits, type Bench, type Table } from './bench.ts';
import type { Child } from './children.ts';
import { startShippedGateway, type ShippedGateway } from './shipped-gateway.ts';
import { startSimulatedEngines } from './simulated-engines.ts';
import { streamedCompletion } from './streamed-completion.ts';
import { threadCpuMicroseconds } from './thread-cpu.ts';

const engineCount = 4;
const streams = 32;
const promptBytes = 2000;
/** As many events in all in the one as in the other. */
const lengths = [
  { tokens: 100, waves: 8 },
  { tokens: 1000, waves: 1 },
] as const;

interface Variant {
  readonly name: string;
  readonly settings: string;
  readonly moreUsage: string;
  readonly asksUsage: boolean;
  /** Whether its clients see the usage. */
  readonly seesUsage: boolean;
}

/** Little else is to be done. */
const rarely = 'scrape: { interval: 10s }\n';
const fair = `fairness: { enabled: true }\n${rarely}`;

const variants: readonly Variant[] = [
  {
    name: 'fairness off',
    settings: rarely,
    moreUsage: 'sampleRate: 0',
    asksUsage: false,
    seesUsage: false,
  },
  {
    name: 'fairness on, the client asks',
    settings: fair,
    moreUsage: 'sampleRate: 0',
    asksUsage: true,
    seesUsage: true,
  },
  {
    name: 'fairness on, chunk not hidden',
    settings: fair,
    moreUsage: 'sampleRate: 0, hideChunk: false',
    asksUsage: false,
    seesUsage: true,
  },
  {
    name: 'fairness on, chunk hidden',
    settings: fair,
    moreUsage: 'sampleRate: 0',
    asksUsage: false,
    seesUsage: false,
  },
];

interface Figure {
  readonly tokens: number;
  readonly exchanges: number;
  readonly seconds: number;
  /** Microseconds per exchange. */
  readonly sluiceCpu: number;
  readonly envoyCpu: number;
  /** Not whole, or with usage that should not be seen, or without usage that should. */
  readonly failed: number;
  /** As Sluice counts it: `access-log`, `streamed` (the response body), or `none`. */
  readonly usageFrom: string;
}

/** CPU of Sluice and of Envoy per streamed exchange, by its length and where its usage comes from. */
export async function benchStreamedUsage(bench: Bench): Promise<Table> {
  const engines = await startSimulatedEngines(bench, { count: engineCount, speed: 1, maxNumSeqs: 256 });
  const measured: Figure[][] = [];
  for (const variant of variants) {
    bench.progress(`streams, ${variant.name}`);
    measured.push(await measureVariant(bench, engines.urls, variant));
  }
  await engines.child.stop();

  return {
    title: 'Usage of streams',
    notes: [
      `${streams} streams at a time through the Envoy that \`sluice router\` gives itself, with one worker, from ${engineCount} simulated engines that send an event for each token, one every 6.7 ms and stream. Prompts have ${digits(promptBytes)} bytes. CPU is that of all threads, to the nanosecond. Engines are scraped every ten seconds instead of every second, so that little of it is for anything but streams.`,
      'Who needs to know the usage is fairness. Where the client asks for it, Envoy finds it in the stream and says it in its access log. Where it does not, Sluice asks on its behalf: either the client then sees a chunk that it did not ask for (`usage.hideChunk: false`), or the stream passes through Sluice, which takes that chunk out. Whether each client saw exactly what it should is checked; who did not is counted as *failed*.',
    ],
    columns: [
      'streamed exchange',
      'chunks',
      'usage from',
      'CPU of Sluice, µs',
      'CPU of Envoy, µs',
      'together, µs',
      'exchanges',
      'chunks/s',
      'failed',
    ],
    rows: lengths.flatMap((_, i) =>
      variants.map(({ name }, j) => {
        const { tokens, sluiceCpu, envoyCpu, exchanges, seconds, failed, usageFrom } = measured[j]![i]!;
        return [
          name,
          digits(tokens),
          usageFrom,
          digits(sluiceCpu),
          digits(envoyCpu),
          digits(sluiceCpu + envoyCpu),
          digits(exchanges),
          digits((exchanges * tokens) / seconds),
          digits(failed),
        ];
      }),
    ),
  };
}

async function measureVariant(bench: Bench, engines: readonly string[], variant: Variant): Promise<Figure[]> {
  const gateway = await startShippedGateway(bench, {
    name: 'streams',
    engines,
    moreUsage: variant.moreUsage,
    settings: variant.settings,
  });
  const agent = new Agent({ keepAlive: true });
  await runStreams(gateway, agent, variant, { tokens: 5, waves: bench.quick ? 2 : 40 });

  const figures: Figure[] = [];
  for (const { tokens, waves } of lengths) {
    const length = { tokens: bench.quick ? tokens / 10 : tokens, waves: bench.quick ? 1 : waves };
    const sluiceBefore = cpuOf(gateway.sluice.child);
    const envoyBefore = cpuOf(gateway.envoy);
    const startMs = performance.now();
    const failed = await runStreams(gateway, agent, variant, length);
    const seconds = (performance.now() - startMs) / 1000;
    const exchanges = streams * length.waves;
    figures.push({
      tokens: length.tokens,
      exchanges,
      seconds,
      sluiceCpu: (cpuOf(gateway.sluice.child) - sluiceBefore) / exchanges,
      envoyCpu: (cpuOf(gateway.envoy) - envoyBefore) / exchanges,
      failed,
      usageFrom: await mostUsageFrom(gateway),
    });
  }
  agent.destroy();
  await gateway.stop();
  return figures;
}

/** Keeps all streams busy, one wave after the other in each; returns how many failed. */
async function runStreams(
  { port, envoy, sluice }: ShippedGateway,
  agent: Agent,
  { asksUsage, seesUsage }: Variant,
  { tokens, waves }: { readonly tokens: number; readonly waves: number },
): Promise<number> {
  let failed = 0;
  // No two loads share a prompt.
  let number = Math.floor(performance.now()) * 1000;
  const stream = async (): Promise<void> => {
    for (let wave = 0; wave < waves; wave++) {
      const request = { tokens, promptBytes, asksUsage };
      const reply = await streamedCompletion(port, number++, request, agent);
      if (!reply.isComplete || reply.hasUsage !== seesUsage) failed++;
    }
  };
  const all = Promise.all(Array.from({ length: streams }, stream));
  await Promise.race([all, envoy.failed, sluice.child.failed]);
  return failed;
}

/** Where the usage of most exchanges of a Sluice came from. */
async function mostUsageFrom({ sluice }: ShippedGateway): Promise<string> {
  const page = await (await fetch(`${sluice.adminUrl}/metrics`)).text();
  const counts = [...page.matchAll(/^sluice_usage_source_total\{source="([^"]+)"\} (\d+)$/gm)];
  const most = counts.sort((a, b) => Number(b[2]) - Number(a[2]))[0];
  return most?.[1] ?? '';
}

function cpuOf({ pid }: Child): number {
  return threadCpuMicroseconds(pid);
}
