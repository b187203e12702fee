/** Exchange loads from processes of their own, measured together with the server they load. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { Bench } from './bench.ts';
import { nextMessage, startModule, type Child } from './children.ts';
import { exchangeLoad, pacedLoad, type LoadResult, type PacedLoadResult } from './exchange-load.ts';
import { promptBody } from './prompts.ts';
import type { SluiceProcess } from './sluice-process.ts';

export interface MeasuredLoad {
  readonly bodyBytes: number;
  /** Streams at a time, over all clients. */
  readonly concurrency: number;
  readonly exchanges?: number;
  readonly durationMs?: number;
  readonly responseChunks?: number;
  /** Unmeasured exchanges before it. */
  readonly warmup?: number;
  /** A file with access tokens that exchanges send in turn, a line for each. Default: they send none. */
  readonly tokensFile?: string;
  /** Whether every exchange is to be refused at its head. Default false. */
  readonly refused?: boolean;
}

export interface LoadFigure {
  readonly exchanges: number;
  readonly failed: number;
  readonly perSecond: number;
  /** CPU of the server per exchange. */
  readonly cpuMicroseconds: number;
  /** Share of one core that the server used. */
  readonly serverShare: number;
  readonly residentMegabytes: number;
}

export interface PacedLoad {
  readonly bodyBytes: number;
  /** Exchanges that begin in a second, whatever becomes of those before. */
  readonly perSecond: number;
  /** Unmeasured exchanges before it, as fast as they can be had. */
  readonly warmup: number;
}

export interface PacedFigure extends LoadFigure, Pick<PacedLoadResult, 'latencyMs' | 'lateMs'> {}

/** A client that is warm, and begins when it is told. */
export interface PacedClient {
  /** Loads the server until `meanwhile` is over, and measures it. Then the client is gone. */
  measure(meanwhile: () => Promise<void>): Promise<PacedFigure>;
}

interface Job {
  readonly target: string;
  readonly bodyBytes: number;
  readonly firstNumber: number;
  /** Of the warm-up, too. */
  readonly concurrency: number;
  readonly warmup: number;
  readonly tokensFile: string | undefined;
  readonly refused: boolean;
  readonly load:
    | {
        readonly kind: 'closed';
        readonly exchanges: number;
        readonly durationMs: number;
        readonly responseChunks: number;
      }
    | { readonly kind: 'paced'; readonly perSecond: number };
}

/** The core of the server, where it is pinned; clients have the others. */
export const serverCore = 0;

/** Two cores: one client on the core that the server leaves. More: two clients. */
const clients = availableParallelism() > 2 ? 2 : 1;

/** Loads a server until the end of the load, and measures it meanwhile. */
export async function measureLoad(
  bench: Bench,
  server: SluiceProcess,
  load: MeasuredLoad,
): Promise<LoadFigure> {
  const { bodyBytes, responseChunks = 0, warmup = 2000, exchanges = 1e12, durationMs = 1e9 } = load;
  const { tokensFile, refused = false } = load;
  const processes = await Promise.all(
    Array.from({ length: clients }, (_, i) =>
      startClient(bench, server, i, {
        bodyBytes,
        concurrency: Math.ceil(load.concurrency / clients),
        warmup: Math.ceil(warmup / clients),
        tokensFile,
        refused,
        load: { kind: 'closed', exchanges: Math.ceil(exchanges / clients), durationMs, responseChunks },
      }),
    ),
  );
  const cpuBefore = server.child.cpuMicroseconds();
  const startMs = performance.now();
  const results = await Promise.all(
    processes.map(async (child) => {
      const result = nextMessage(child);
      child.process.send('go');
      return (await Promise.race([result, server.child.failed])) as LoadResult;
    }),
  );
  const elapsedMs = performance.now() - startMs;
  const figure = figureOf(server, results, elapsedMs, server.child.cpuMicroseconds() - cpuBefore);
  await Promise.all(processes.map((child) => child.stop()));
  return figure;
}

const warmupConcurrency = 16;

/** Starts one client, which is enough for any rate that leaves the server time to spare. */
export async function startPacedClient(
  bench: Bench,
  server: SluiceProcess,
  { bodyBytes, warmup, perSecond }: PacedLoad,
): Promise<PacedClient> {
  const job = {
    bodyBytes,
    warmup,
    concurrency: warmupConcurrency,
    tokensFile: undefined,
    refused: false,
    load: { kind: 'paced', perSecond },
  } as const;
  const client = await startClient(bench, server, 0, job);
  const said = (): Promise<unknown> => Promise.race([nextMessage(client), server.child.failed]);
  return {
    async measure(meanwhile) {
      client.process.send('go');
      await said();
      const cpuBefore = server.child.cpuMicroseconds();
      const startMs = performance.now();
      await Promise.race([meanwhile(), client.failed, server.child.failed]);
      client.process.send('stop');
      const result = (await said()) as PacedLoadResult;
      const elapsedMs = performance.now() - startMs;
      const figure = figureOf(server, [result], elapsedMs, server.child.cpuMicroseconds() - cpuBefore);
      await client.stop();
      return { ...figure, latencyMs: result.latencyMs, lateMs: result.lateMs };
    },
  };
}

/** Starts a client and waits until it is warm. */
async function startClient(
  bench: Bench,
  server: SluiceProcess,
  index: number,
  what: Omit<Job, 'target' | 'firstNumber'>,
): Promise<Child> {
  // No two clients, runs or restarts share a prompt.
  const job: Job = { ...what, target: server.listen, firstNumber: nextNumber() };
  const options = { name: `load-${index}`, core: availableParallelism() > 1 ? 1 + index : undefined };
  return (await startModule(bench.children, import.meta.filename, job, options)).child;
}

function figureOf(
  server: SluiceProcess,
  results: readonly LoadResult[],
  elapsedMs: number,
  cpuMicroseconds: number,
): LoadFigure {
  const exchanges = sum(results.map((result) => result.exchanges));
  return {
    exchanges,
    failed: sum(results.map((result) => result.failed)),
    perSecond: (exchanges * 1000) / elapsedMs,
    cpuMicroseconds: cpuMicroseconds / exchanges,
    serverShare: cpuMicroseconds / (elapsedMs * 1000),
    residentMegabytes: server.child.residentMegabytes(),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Far enough apart that no load reaches the next one's numbers. */
function nextNumber(): number {
  return Math.floor(performance.now() * 1000) * 1000;
}

/** Runs a job in this process once it is told to. */
async function runJob(job: Job): Promise<void> {
  const { target, bodyBytes, firstNumber, concurrency, warmup, tokensFile, refused, load } = job;
  const tokens = tokensFile === undefined ? [] : readFileSync(tokensFile, 'utf8').split('\n');
  const exchanges = { target, body: promptBody(bodyBytes), firstNumber, concurrency, tokens, refused };
  const responseChunks = load.kind === 'closed' ? load.responseChunks : 0;
  await exchangeLoad({ ...exchanges, exchanges: warmup, durationMs: 5000, responseChunks });
  process.send!('ready');
  await once(process, 'message');
  const measured = { ...exchanges, firstNumber: firstNumber + warmup };
  if (load.kind === 'closed') {
    process.send!(await exchangeLoad({ ...measured, ...load }));
    return;
  }
  const stop = new AbortController();
  process.once('message', () => stop.abort());
  const started = (): unknown => process.send!('started');
  process.send!(await pacedLoad({ ...measured, perSecond: load.perSecond }, started, stop.signal));
}

if (import.meta.main) {
  process.on('disconnect', () => process.exit());
  await runJob(JSON.parse(process.argv[2]!) as Job);
}
