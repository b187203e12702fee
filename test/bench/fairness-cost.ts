/** What turns and limits cost an exchange that has to wait for nobody. */
import { availableParallelism } from 'node:os';
import { digits, type Bench, type Table } from './bench.ts';
import { startIdleEngines } from './idle-engines.ts';
import { measureLoad, serverCore, type LoadFigure } from './load-process.ts';
import { sizeName } from './prompts.ts';
import { startRedisProcess } from './redis-process.ts';
import { startSluice } from './sluice-process.ts';

const bodyBytes = 4000;
const concurrency = 16;
const repetitions = 2;
const engineCount = 8;

const fairness = 'fairness: { enabled: true }\n';
/** Nobody reaches them. */
const rules = `
    - { name: tokens, scope: principal, totalTokens: 1000000000000, per: minute }
    - { name: requests, scope: model, requests: 1000000000, per: minute, concurrentRequests: 1000000 }
`;

/** CPU per exchange with more and more of it turned on. */
export async function benchFairnessCost(bench: Bench): Promise<Table> {
  const engines = await startIdleEngines(bench.children, engineCount, 1);
  const redis = await startRedisProcess(bench, availableParallelism() > 1 ? 1 : undefined);
  const variants = [
    { name: 'fairness off', settings: '' },
    { name: 'fairness on (vtc)', settings: fairness },
    { name: 'and two limits, in memory', settings: `${fairness}limits:\n  rules:${rules}` },
    {
      name: 'and two limits, in Redis',
      settings: `${fairness}limits:\n  store: ${redis.url}\n  rules:${rules}`,
    },
  ];
  const measured = variants.map((): LoadFigure[] => []);
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    for (const [i, { name, settings }] of variants.entries()) {
      bench.progress(`exchanges, ${name} (${repetition} of ${repetitions})`);
      const options = { name: 'fairness', engines: engines.urls, core: serverCore, settings };
      const server = await startSluice(bench, { ...options, usage: 'none' });
      const durationMs = bench.quick ? 700 : 3000;
      measured[i]!.push(await measureLoad(bench, server, { bodyBytes, concurrency, durationMs }));
      await server.child.stop();
    }
  }
  await redis.child.stop();
  await engines.child.stop();

  const cpu = measured.map((runs) => mean(runs.map(({ cpuMicroseconds }) => cpuMicroseconds)));
  return {
    title: 'With nobody waiting',
    notes: [
      `\`sluice serve\` on one core with ${engineCount} idle engines, and bodies of ${sizeName(bodyBytes)} sent as above; each repetition has a server of its own. There is room for everybody: a request passes its queue and its limits, is reserved in the ledger, and settled as estimated, since no response tells its usage here. One limit counts the tokens of the caller, the other one the requests of the model, all of them and those at once.`,
      'With limits in Redis, on the other core, every exchange waits for one script to take from them and causes a second one to settle; the ledger is exchanged twice a second. Only the CPU of Sluice is shown.',
    ],
    columns: [
      `exchange, ${sizeName(bodyBytes)}`,
      'CPU per exchange',
      'above fairness off',
      'exchanges/s/core, from CPU',
      'exchanges/s, seen',
      'failed',
    ],
    rows: variants.map(({ name }, i) => {
      const runs = measured[i]!;
      const each = (value: (run: LoadFigure) => string): string => runs.map(value).join(' / ');
      return [
        name,
        each(({ cpuMicroseconds }) => `${digits(cpuMicroseconds, 1)} µs`),
        i === 0 ? '' : `${digits(cpu[i]! - cpu[0]!, 1)} µs`,
        digits(1e6 / cpu[i]!),
        each(({ perSecond }) => digits(perSecond)),
        digits(runs.reduce((sum, { failed }) => sum + failed, 0)),
      ];
    }),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
