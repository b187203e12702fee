/** Tokens of a request, and what they weigh. */
export interface TokenCount {
  /** The whole prompt, cached tokens included. */
  readonly inputTokens: number;
  /** How many of them the engine had in its prefix cache. */
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
}

/** How much a token counts; all are 0 or more. */
export interface TokenWeights {
  readonly inputTokenWeight: number;
  readonly outputTokenWeight: number;
  /** Of a cached input token, as a share of what it would count otherwise. */
  readonly cachedTokenWeight: number;
}

/** What the tokens weigh together. */
export function weightedTokens(
  { inputTokens, cachedInputTokens, outputTokens }: TokenCount,
  { inputTokenWeight, outputTokenWeight, cachedTokenWeight }: TokenWeights,
): number {
  const cached = Math.min(cachedInputTokens, inputTokens);
  return (
    inputTokenWeight * (inputTokens - cached + cachedTokenWeight * cached) + outputTokenWeight * outputTokens
  );
}
