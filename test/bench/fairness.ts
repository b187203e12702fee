/** Turns, limits and accounting: what they cost, and what callers have of them. */
import type { Bench, Section } from './bench.ts';
import { benchFairnessCost } from './fairness-cost.ts';
import { benchLightCallerWait } from './light-caller-wait.ts';
import { benchReleaseRate } from './release-rate.ts';
import { benchServiceGap } from './service-gap.ts';
import { benchStreamedUsage } from './streamed-usage.ts';

/** Five tables, from the cost of one exchange to the waits of callers. */
export async function benchFairness(bench: Bench): Promise<Section> {
  const cost = await benchFairnessCost(bench);
  const streams = await benchStreamedUsage(bench);
  const releases = await benchReleaseRate(bench);
  const gap = await benchServiceGap(bench);
  const waits = await benchLightCallerWait(bench);
  return {
    title: 'Fairness',
    notes: ['What turns, limits and accounting do is in [fairness.md](fairness.md).'],
    tables: [cost, streams, releases, gap.table, waits.table],
    targets: [...gap.targets, ...waits.targets],
  };
}
