import { describe, expect, it } from '@jest/globals';
import type { Limits } from '../../src/engine-sim/generation.ts';
import { pieceOf, planChoices, planPooling } from '../../src/engine-sim/generation.ts';
import { smallProfile } from './support.ts';

const profile = smallProfile({ outputTokensMedian: 50, outputTokensSigma: 0 });
const unlimited: Limits = { maxTokens: undefined, minTokens: 0, ignoreEos: false, n: 1, seed: 0 };
const prompt = [301, 302, 303, 304, 305];

function plan(limits: Partial<Limits>, prompts: readonly (readonly number[])[] = [prompt], seed = 0) {
  let id = 0;
  return planChoices(
    { prompts, limits: { ...unlimited, ...limits }, adapter: undefined },
    profile,
    seed,
    () => String(id++),
  );
}

describe('planChoices()', () => {
  it.each([
    [{}, 50, 'stop'],
    [{ maxTokens: 20 }, 20, 'length'],
    [{ maxTokens: 50 }, 50, 'stop'],
    [{ maxTokens: 80 }, 50, 'stop'],
    [{ minTokens: 70 }, 70, 'stop'],
    [{ minTokens: 70, maxTokens: 60 }, 60, 'length'],
    [{ ignoreEos: true, maxTokens: 90 }, 90, 'length'],
    [{ ignoreEos: true }, 395, 'length'],
  ])('with %j generates %d tokens and ends with %s', (limits, outputTokens, finishReason) => {
    expect(plan(limits).map((choice) => choice.request)).toMatchObject([
      { promptTokens: 5, outputTokens, finishReason },
    ]);
  });

  it('is decided by seed, prompt and copy', () => {
    const texts = [plan({}), plan({}, [[1, 2]]), plan({}, [prompt], 1), plan({ seed: 5 })].map(
      ([choice]) => choice?.text,
    );
    expect(new Set(texts).size).toBe(4);
    expect(plan({})[0]?.text).toBe(texts[0]);
    const copies = plan({ n: 2 }, [prompt, [1, 2]]);
    expect(copies.map(({ index, prompt: of }) => [index, of])).toEqual([
      [0, 0],
      [1, 0],
      [2, 1],
      [3, 1],
    ]);
    expect(new Set(copies.map((choice) => choice.text)).size).toBe(4);
    expect(copies[0]?.text).toBe(texts[0]);
  });

  it('covers prompt and answer with block hashes', () => {
    // 5 + 50 tokens are 13 full blocks of 4.
    expect(plan({})[0]?.request.blockHashes).toHaveLength(13);
  });

  it("refuses what does not fit the context, in vLLM's words", () => {
    expect(() => plan({ maxTokens: 396 })).toThrow(
      "This model's maximum context length is 400 tokens. However, you requested 396 output tokens and your prompt contains 5 " +
        'input tokens, for a total of 401 tokens. Please reduce the length of the input prompt or the number of requested ' +
        'output tokens. (parameter=input_tokens, value=5)',
    );
    expect(() => plan({}, [Array.from({ length: 400 }, () => 1)])).toThrow(
      'your prompt contains 400 input tokens',
    );
    expect(() => plan({}, [[]])).toThrow('The prompt is empty');
  });
});

describe('pieceOf()', () => {
  it('cuts the text into its tokens', () => {
    const [choice] = plan({ maxTokens: 3 });
    if (choice === undefined) throw new Error('no choice was planned');
    expect([1, 2, 3].map((generated) => pieceOf(choice, generated)).join('')).toBe(choice.text);
    expect(pieceOf(choice, 1)).toHaveLength(4);
  });
});

describe('planPooling()', () => {
  it('asks for no output', () => {
    expect(planPooling([prompt], 'a', profile, () => 'x')).toMatchObject([
      { id: 'x', promptTokens: 5, outputTokens: 0, adapter: 'a' },
    ]);
    expect(() => planPooling([[]], undefined, profile, () => 'x')).toThrow('The input is empty');
  });
});
