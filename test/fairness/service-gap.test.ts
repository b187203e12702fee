/** How much service clients get who always have requests waiting: what the policies promise, on the queue as it is. */
import { describe, expect, it } from '@jest/globals';
import {
  serviceGap,
  simulateFairness,
  type SimulatedClient,
  type SimulatedPolicy,
} from '../bench/fairness-simulation.ts';

const slots = 8;
const longest = { inputTokens: 400, outputTokens: 300 };
/** Twice what all slots together may serve at a time: the bound of VTC, whatever the length of the run. */
const bound = 2 * slots * (longest.inputTokens + 2 * longest.outputTokens);

function client(name: string, weight: number, backlog: number): SimulatedClient {
  return {
    name,
    weight,
    backlog,
    inputTokens: [100, longest.inputTokens],
    outputTokens: [50, longest.outputTokens],
  };
}

const lightAndHeavy = [client('light', 1, 10), client('heavy', 1, 100)];
const weighted = [1, 2, 3, 4].map((weight) => client(`weight ${weight}`, weight, 40));

async function run(policy: SimulatedPolicy, clients: readonly SimulatedClient[], minutes: number) {
  const samples = await simulateFairness({
    policy,
    clients,
    slots,
    durationMs: 60_000 * minutes,
    sampleEveryMs: 1000,
  });
  const { service } = samples.at(-1)!;
  const total = service.reduce((sum, tokens) => sum + tokens, 0);
  return {
    samples,
    gap: serviceGap(samples, clients),
    shares: service.map((tokens) => tokens / total),
    total,
  };
}

describe('createFairQueue() with always-backlogged clients', () => {
  it('vtc keeps the service gap bounded, however long it takes and however much one sends', async () => {
    for (const minutes of [5, 60]) expect((await run('vtc', lightAndHeavy, minutes)).gap).toBeLessThan(bound);
  });

  it('vtc serves by weight', async () => {
    const { gap, shares } = await run('vtc', weighted, 60);
    expect(gap).toBeLessThan(bound);
    for (const [index, share] of shares.entries()) expect(share).toBeCloseTo((index + 1) / 10, 2);
  });

  it('window keeps it bounded in the long run too, and looks at no weights', async () => {
    expect((await run('window', lightAndHeavy, 60)).gap).toBeLessThan(bound);
    for (const share of (await run('window', weighted, 60)).shares) expect(share).toBeCloseTo(0.25, 2);
  });

  it('fifo gives most to who sends most, and the gap grows with time', async () => {
    const short = await run('fifo', lightAndHeavy, 5);
    const long = await run('fifo', lightAndHeavy, 60);
    expect(long.gap).toBeGreaterThan(10 * short.gap);
    expect(long.gap).toBeGreaterThan(10 * bound);
    expect(long.shares[1]! / long.shares[0]!).toBeCloseTo(10, 0);
  });

  it('costs no throughput', async () => {
    const totals = await Promise.all(
      (['vtc', 'window', 'fifo'] as const).map(
        async (policy) => (await run(policy, lightAndHeavy, 20)).total,
      ),
    );
    expect(Math.min(...totals) / Math.max(...totals)).toBeGreaterThan(0.99);
  });

  it('gives the same figures each time', async () => {
    expect((await run('vtc', weighted, 5)).samples).toEqual((await run('vtc', weighted, 5)).samples);
  });
});
