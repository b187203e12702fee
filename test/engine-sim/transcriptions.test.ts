import { describe, expect, it } from '@jest/globals';
import OpenAI, { toFile } from 'openai';
import { post, startEngine } from './support.ts';

describe('POST /v1/audio/transcriptions', () => {
  it('answers a text to the OpenAI SDK, for a model it serves', async () => {
    const { url } = await startEngine();
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
    const transcribe = async (model: string) =>
      client.audio.transcriptions.create({
        model,
        file: await toFile(Buffer.alloc(64_000, 7), 'speech.wav'),
      });
    expect((await transcribe('m')).text).toMatch(/^[a-z ]+$/);
    await expect(transcribe('x')).rejects.toMatchObject({ status: 404 });
  });

  it('refuses what is not a form', async () => {
    const { url } = await startEngine();
    expect(await post(`${url}/v1/audio/transcriptions`, {})).toMatchObject({ status: 400 });
  });
});
