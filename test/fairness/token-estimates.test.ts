import { describe, expect, it } from '@jest/globals';
import { createTokenEstimates, type SeenRequest } from '../../src/fairness/token-estimates.ts';

function seen(
  changes: Partial<SeenRequest> & { inputTokens?: number; outputTokens?: number } = {},
): SeenRequest {
  const { inputTokens = 100, outputTokens = 50, ...rest } = changes;
  return {
    promptBytes: 300,
    stream: false,
    responseBytes: 500,
    usage: { inputTokens, cachedInputTokens: 0, outputTokens },
    ...rest,
  };
}

describe('TokenEstimates', () => {
  it('input() takes 4 bytes for a token until the model is known, rounded up', () => {
    const estimates = createTokenEstimates();
    expect([0, 1, 4, 401].map((bytes) => estimates.input('llama', bytes))).toEqual([0, 1, 1, 101]);
  });

  it('input() goes by the bytes per token of this model, large prompts counting for more', () => {
    const estimates = createTokenEstimates();
    estimates.learn('ann', 'llama', seen({ promptBytes: 3_000_000, inputTokens: 1_000_000 }));
    estimates.learn('ann', 'llama', seen({ promptBytes: 10, inputTokens: 20 }));
    expect(estimates.input('llama', 3000)).toBe(1001);
    expect(estimates.input('qwen', 3000)).toBe(750);
  });

  it('input() learns nothing of prompts without text or without count', () => {
    const estimates = createTokenEstimates();
    estimates.learn('ann', 'llama', seen({ promptBytes: 0 }));
    estimates.learn('ann', 'llama', seen({ inputTokens: 0 }));
    expect(estimates.input('llama', 400)).toBe(100);
  });

  it('output() is the mean of principal and model, else of the model, else 256', () => {
    const estimates = createTokenEstimates();
    for (const outputTokens of [10, 21]) estimates.learn('ann', 'llama', seen({ outputTokens }));
    estimates.learn('bob', 'llama', seen({ outputTokens: 101 }));
    expect(estimates.output('ann', 'llama', undefined)).toBe(16);
    expect(estimates.output('bob', 'llama', undefined)).toBe(101);
    expect(estimates.output('eve', 'llama', undefined)).toBe(44);
    expect(estimates.output('ann', 'qwen', undefined)).toBe(256);
  });

  it('output() is 0 for a model that generates nothing', () => {
    const estimates = createTokenEstimates();
    estimates.learn('ann', 'bge', seen({ outputTokens: 0 }));
    expect(estimates.output('bob', 'bge', undefined)).toBe(0);
  });

  it.each([
    [100, 100],
    [1000, 256],
  ])('output() is at most what the client allows: of %i it is %i', (maxOutputTokens, expected) => {
    expect(createTokenEstimates().output('ann', 'llama', maxOutputTokens)).toBe(expected);
  });

  it('output() follows a change within a few times 64 requests', () => {
    const estimates = createTokenEstimates();
    for (let i = 0; i < 1000; i++) estimates.learn('ann', 'llama', seen({ outputTokens: 10 }));
    for (let i = 0; i < 300; i++) estimates.learn('ann', 'llama', seen({ outputTokens: 1000 }));
    expect(estimates.output('ann', 'llama', undefined)).toBeGreaterThan(980);
  });

  it('outputOfBytes() goes by plain and streamed responses apart', () => {
    const estimates = createTokenEstimates();
    expect([false, true].map((stream) => estimates.outputOfBytes('llama', stream, 1000))).toEqual([200, 5]);
    estimates.learn('ann', 'llama', seen({ stream: true, responseBytes: 12_500, outputTokens: 50 }));
    expect([false, true].map((stream) => estimates.outputOfBytes('llama', stream, 1001))).toEqual([201, 5]);
    estimates.learn('ann', 'llama', seen({ stream: false, responseBytes: 500, outputTokens: 50 }));
    expect([false, true].map((stream) => estimates.outputOfBytes('llama', stream, 1001))).toEqual([101, 5]);
  });

  it('outputOfBytes() learns nothing where bytes were not counted', () => {
    const estimates = createTokenEstimates();
    estimates.learn('ann', 'llama', seen({ responseBytes: undefined }));
    expect(estimates.outputOfBytes('llama', false, 1000)).toBe(200);
  });

  it('forgets the models and principals not heard of longest', () => {
    const estimates = createTokenEstimates({ maxModels: 2, maxPrincipals: 3 });
    for (const model of ['llama', 'qwen', 'phi']) {
      estimates.learn('ann', model, seen({ outputTokens: 10 }));
      estimates.learn('bob', model, seen({ outputTokens: 30 }));
    }
    expect(['llama', 'qwen', 'phi'].map((model) => estimates.input(model, 300))).toEqual([75, 100, 100]);
    // Of qwen ann is forgotten and the model is known, of llama nothing is.
    expect(['llama', 'qwen', 'phi'].map((model) => estimates.output('ann', model, undefined))).toEqual([
      256, 20, 10,
    ]);
  });

  it('keeps pairs apart whose names run together to the same', () => {
    const estimates = createTokenEstimates();
    estimates.learn('b', '1:a', seen({ outputTokens: 10 }));
    estimates.learn('a1:b', '1:a', seen({ outputTokens: 30 }));
    expect(estimates.output('b', '1:a', undefined)).toBe(10);
  });
});
