import { describe, expect, it } from '@jest/globals';
import { ModelTotals } from '../../src/fairness/model-totals.ts';

describe('ModelTotals', () => {
  it('add() sums by model, and later models together as other', () => {
    const totals = new ModelTotals(2);
    for (const [model, inputTokens] of [
      ['llama', 1],
      ['qwen', 10],
      ['phi', 100],
      ['llama', 2],
      ['gemma', 200],
    ] as const)
      totals.add(model, {
        inputTokens,
        cachedInputTokens: 1,
        outputTokens: 5,
        requests: 1,
        estimatedTokens: 0,
      });
    expect(
      [...totals.byModel].map(([model, { inputTokens, requests }]) => [model, inputTokens, requests]),
    ).toEqual([
      ['llama', 3, 2],
      ['qwen', 10, 1],
      ['other', 300, 2],
    ]);
  });
});
