import { describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { startEngine } from './support.ts';

function sdk(url: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
}

describe('POST /v1/completions', () => {
  it.each([
    ['a text', 'four word text here', 1, 5],
    ['several texts', ['abcd', 'abcdefgh'], 2, 3],
    ['token ids', [301, 302, 303], 1, 3],
    ['several lists of token ids', [[301, 302], [303]], 2, 3],
  ])('takes %s', async (_, prompt, choices, promptTokens) => {
    const { url } = await startEngine();
    const answer = await sdk(url).completions.create({ model: 'm', prompt, max_tokens: 3 });
    expect(answer.choices.map((choice) => [choice.index, choice.text.length, choice.finish_reason])).toEqual(
      Array.from({ length: choices }, (_unused, index) => [index, 12, 'length']),
    );
    expect(answer.usage).toMatchObject({ prompt_tokens: promptTokens, completion_tokens: 3 * choices });
  });

  it('generates at most 16 tokens where no limit is set', async () => {
    const { url } = await startEngine();
    const answer = await sdk(url).completions.create({ model: 'm', prompt: 'Say', ...{ ignore_eos: true } });
    expect(answer.usage?.completion_tokens).toBe(16);
  });

  it('streams what it answers whole', async () => {
    const { url } = await startEngine();
    const body = { model: 'm', prompt: ['one', 'two'], max_tokens: 4 };
    const whole = await sdk(url).completions.create(body);
    const texts = ['', ''];
    for await (const chunk of await sdk(url).completions.create({ ...body, stream: true })) {
      for (const { index, text } of chunk.choices) texts[index] = (texts[index] ?? '') + text;
    }
    expect(texts).toEqual(whole.choices.map((choice) => choice.text));
  });
});
