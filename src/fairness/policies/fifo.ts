/** Turns in the order of arrival, whoever asks: what fairness is measured against. */
import type { TurnPolicy } from '../turn-policy.ts';

/** Creates the policy of no policy. */
export function createFifoPolicy(): TurnPolicy {
  return { priority: () => 0, activated: nothing, released: nothing, settled: nothing, epoch: () => 0 };
}

function nothing(): void {}
