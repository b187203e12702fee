import { describe, expect, it } from '@jest/globals';
import { post, startEngine } from './support.ts';

describe('POST /tokenize and /detokenize', () => {
  it('undo each other', async () => {
    const { url } = await startEngine();
    const tokenized = JSON.parse((await post(`${url}/tokenize`, { model: 'm', prompt: 'déjà vu' })).text) as {
      tokens: number[];
    };
    expect(tokenized).toMatchObject({ count: 3, max_model_len: 131_072 });
    expect((await post(`${url}/detokenize`, { model: 'm', tokens: tokenized.tokens })).text).toBe(
      '{"prompt":"déjà vu"}',
    );
  });

  it('count a conversation as the completion does', async () => {
    const { url } = await startEngine();
    const body = { model: 'm', messages: [{ role: 'user', content: 'Hello there' }] };
    const { count } = JSON.parse((await post(`${url}/tokenize`, body)).text) as { count: number };
    const answer = await post(`${url}/v1/chat/completions`, { ...body, max_tokens: 1 });
    expect(JSON.parse(answer.text)).toMatchObject({ usage: { prompt_tokens: count } });
  });
});
