/** Exchange loads from processes of their own, measured together with the server they load. */
import { availableParallelism } from 'node:os';
import type { Bench } from './bench.ts';
import { nextMessage, startModule } from './children.ts';
import { exchangeLoad, type LoadResult } from './exchange-load.ts';
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

interface Job {
  readonly target: string;
  readonly bodyBytes: number;
  readonly firstNumber: number;
  readonly concurrency: number;
  readonly exchanges: number;
  readonly durationMs: number;
  readonly responseChunks: number;
  readonly warmup: number;
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
  const processes = await Promise.all(
    Array.from({ length: clients }, async (_, i) => {
      const job: Job = {
        target: server.listen,
        bodyBytes,
        // No two clients, runs or restarts share a prompt.
        firstNumber: nextNumber(),
        concurrency: Math.ceil(load.concurrency / clients),
        exchanges: Math.ceil(exchanges / clients),
        durationMs,
        responseChunks,
        warmup: Math.ceil(warmup / clients),
      };
      const options = { name: `load-${i}`, core: availableParallelism() > 1 ? 1 + i : undefined };
      return (await startModule(bench.children, import.meta.filename, job, options)).child;
    }),
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
  const cpu = server.child.cpuMicroseconds() - cpuBefore;
  const figure = {
    exchanges: sum(results.map((result) => result.exchanges)),
    failed: sum(results.map((result) => result.failed)),
    residentMegabytes: server.child.residentMegabytes(),
  };
  await Promise.all(processes.map((child) => child.stop()));
  return {
    ...figure,
    perSecond: (figure.exchanges * 1000) / elapsedMs,
    cpuMicroseconds: cpu / figure.exchanges,
    serverShare: cpu / (elapsedMs * 1000),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Far enough apart that no load reaches the next one's numbers. */
function nextNumber(): number {
  return Math.floor(performance.now() * 1000) * 1000;
}

if (import.meta.main) {
  const job = JSON.parse(process.argv[2]!) as Job;
  const body = promptBody(job.bodyBytes);
  await exchangeLoad({ ...job, body, exchanges: job.warmup, durationMs: 5000 });
  process.on('disconnect', () => process.exit());
  process.once('message', () => {
    void exchangeLoad({ ...job, body, firstNumber: job.firstNumber + job.warmup }).then((result) =>
      process.send!(result),
    );
  });
  process.send!('ready');
}
