/** Sluice in the place of vllm-router: what clients get from it, beside a rewrite of the same name in Rust. */
import type { Bench, Section } from './bench.ts';
import { busyConnections, dropInSection, type Measurement, type Run } from './drop-in-section.ts';
import { startSystems, type System } from './drop-in-systems.ts';
import { sizeName } from './prompts.ts';
import { requireWrk, runWrk } from './wrk.ts';

/** Asked of vllm-router; and one more, only for CPU time and of those that read prompts. */
const bodies = [1000, 40_000] as const;
const longBodyBytes = 220_000;

/** Three routing logics and two policies of the other router, two sizes, one connection and 64. */
export async function benchDropIn(bench: Bench): Promise<Section> {
  requireWrk();
  const seconds = bench.quick ? 1 : 2;
  const repetitions = bench.quick ? 1 : 2;
  const systems = await startSystems(bench);
  const routers = systems.running.filter(({ kind }) => kind !== 'engines');

  bench.progress('warming up');
  for (const { url } of routers) {
    for (const bodyBytes of bench.quick ? [bodies[0]] : bodies) {
      await runWrk(bench, {
        url,
        bodyBytes,
        connections: busyConnections,
        seconds,
        prompts: 'conversations',
      });
    }
  }

  const measurements: Measurement[] = [];
  for (const bodyBytes of [...bodies, longBodyBytes]) {
    const isLong = bodyBytes === longBodyBytes;
    const measured = isLong ? routers.filter(readsPrompts) : systems.running;
    const group = measured.map((system): Measurement => ({ system, bodyBytes, busy: [], single: [] }));
    measurements.push(...group);
    for (const connections of isLong ? [busyConnections] : [busyConnections, 1]) {
      bench.progress(`drop-in, ${sizeName(bodyBytes)}, ${connections} connections`);
      for (let repetition = 0; repetition < repetitions; repetition++) {
        for (const { system, busy, single } of group) {
          // The engines alone are there to tell latencies apart.
          if (connections > 1 && system.kind === 'engines') continue;
          const run = await measure(bench, system, bodyBytes, connections, seconds);
          (connections > 1 ? busy : single).push(run);
        }
      }
    }
  }
  await systems.stop();
  return dropInSection(measurements, systems.missing, { repetitions, seconds });
}

function readsPrompts({ logic }: System): boolean {
  return logic === 'prefixaware' || logic === 'cache_aware';
}

async function measure(
  bench: Bench,
  { url, router }: System,
  bodyBytes: number,
  connections: number,
  seconds: number,
): Promise<Run> {
  const routerCpu = router?.cpuMicroseconds() ?? 0;
  const childrenCpu = router?.childrenCpuMicroseconds() ?? 0;
  const figure = await runWrk(bench, { url, bodyBytes, connections, seconds, prompts: 'conversations' });
  return {
    ...figure,
    routerCpu: ((router?.cpuMicroseconds() ?? 0) - routerCpu) / figure.requests,
    childrenCpu: ((router?.childrenCpuMicroseconds() ?? 0) - childrenCpu) / figure.requests,
  };
}
