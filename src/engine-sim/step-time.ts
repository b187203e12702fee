/** How long one step takes: the cost model of the simulated GPU. */
import type { EngineProfile } from './profile.ts';

/** What one sequence does in a step: `tokens` are computed on top of `context` tokens that are in the KV cache already. */
export interface StepWork {
  readonly tokens: number;
  readonly context: number;
}

/**
 * A step reads the weights once (`stepBaseMs`) or computes its prompt tokens, whichever takes longer, because the GPU
 * does both at the same time; each sequence and each token of context that a decoding sequence attends to come on top.
 */
export function stepMs(profile: EngineProfile, members: readonly StepWork[]): number {
  let prefillTokens = 0;
  let decodeContext = 0;
  for (const { tokens, context } of members) {
    if (tokens > 1) prefillTokens += tokens;
    else decodeContext += context;
  }
  const weightsOrPrefillMs = Math.max(
    profile.stepBaseMs,
    (prefillTokens / profile.prefillTokensPerSecond) * 1000,
  );
  return (
    weightsOrPrefillMs +
    members.length * profile.stepPerSequenceMs +
    (decodeContext * profile.stepPerContextTokenUs) / 1000
  );
}
