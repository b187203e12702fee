import { describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { post, startEngine } from './support.ts';

describe('POST /v1/embeddings', () => {
  it('answers unit vectors to the OpenAI SDK, equal for equal input, in both encodings', async () => {
    const { url } = await startEngine();
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
    // The SDK asks for base64 where no format is named, and decodes it.
    const encoded = await client.embeddings.create({ model: 'm', input: ['deep', 'wide'] });
    const floats = await client.embeddings.create({
      model: 'm',
      input: 'deep',
      encoding_format: 'float',
      dimensions: 256,
    });
    expect(encoded.data.map((entry) => [entry.index, entry.embedding.length])).toEqual([
      [0, 256],
      [1, 256],
    ]);
    expect(encoded.data[0]?.embedding[7]).toBeCloseTo(floats.data[0]?.embedding[7] ?? 0, 6);
    expect(encoded.data[1]?.embedding).not.toEqual(encoded.data[0]?.embedding);
    expect(Math.hypot(...(floats.data[0]?.embedding ?? []))).toBeCloseTo(1, 9);
    expect(encoded.usage).toMatchObject({ prompt_tokens: 2, total_tokens: 2 });
  });
});

describe('POST /pooling', () => {
  it('answers the vectors as data', async () => {
    const { url } = await startEngine();
    const { status, text } = await post(`${url}/pooling`, { model: 'm', input: [1, 2, 3], dimensions: 2 });
    expect(status).toBe(200);
    expect(JSON.parse(text)).toMatchObject({
      object: 'list',
      data: [{ index: 0, object: 'pooling', data: [expect.any(Number), expect.any(Number)] }],
    });
  });
});
