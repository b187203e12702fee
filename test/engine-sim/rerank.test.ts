import { describe, expect, it } from '@jest/globals';
import { post, startEngine } from './support.ts';

describe.each(['/rerank', '/v1/rerank', '/v2/rerank'])('POST %s', (path) => {
  it('orders documents and keeps the best', async () => {
    const { url } = await startEngine();
    const body = { model: 'm', query: 'deep', documents: ['a', 'b', 'c'] };
    const ranked = async (options: object) => {
      const { text } = await post(`${url}${path}`, { ...body, ...options });
      return (
        JSON.parse(text) as {
          results: { index: number; document: { text: string }; relevance_score: number }[];
        }
      ).results;
    };
    const all = await ranked({});
    expect(all.map((result) => result.document.text).sort()).toEqual(['a', 'b', 'c']);
    expect(all.map((result) => result.relevance_score)).toEqual(
      all.map((result) => result.relevance_score).sort((a, b) => b - a),
    );
    expect(await ranked({ top_n: 2 })).toEqual(all.slice(0, 2));
  });
});

describe.each(['/score', '/v1/score'])('POST %s', (path) => {
  it('scores each pair', async () => {
    const { url } = await startEngine();
    const { text } = await post(`${url}${path}`, { model: 'm', text_1: 'deep', text_2: ['a', 'b'] });
    expect(JSON.parse(text)).toMatchObject({
      data: [
        { index: 0, object: 'score', score: expect.any(Number) },
        { index: 1, object: 'score', score: expect.any(Number) },
      ],
      usage: { prompt_tokens: 6 },
    });
  });
});
