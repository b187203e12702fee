import { describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { post, startEngine } from './support.ts';

async function listed(url: string): Promise<unknown> {
  return (await fetch(`${url}/v1/models`)).json();
}

describe('GET /v1/models', () => {
  it('lists the model and its adapters as vLLM does', async () => {
    const { url } = await startEngine({ adapters: ['sql'] });
    expect(await listed(url)).toMatchObject({
      object: 'list',
      data: [
        { id: 'm', object: 'model', owned_by: 'vllm', root: 'm', parent: null, max_model_len: 131_072 },
        { id: 'sql', object: 'model', root: '/adapters/sql', parent: 'm', max_model_len: null },
      ],
    });
  });
});

describe('POST /v1/load_lora_adapter and /v1/unload_lora_adapter', () => {
  it('change what is served', async () => {
    const { url } = await startEngine();
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
    const ask = () => client.completions.create({ model: 'sql', prompt: 'Hi', max_tokens: 1 });
    await expect(ask()).rejects.toMatchObject({ status: 404 });
    expect(await post(`${url}/v1/load_lora_adapter`, { lora_name: 'sql', lora_path: '/x/sql' })).toEqual({
      status: 200,
      text: "Success: LoRA adapter 'sql' added successfully.",
    });
    expect(await ask()).toMatchObject({ model: 'sql' });
    expect(await post(`${url}/v1/unload_lora_adapter`, { lora_name: 'sql' })).toEqual({
      status: 200,
      text: "Success: LoRA adapter 'sql' removed successfully.",
    });
    await expect(ask()).rejects.toMatchObject({ status: 404 });
  });

  it.each([
    ['load', {}, 400, 'InvalidUserInput', "Both 'lora_name' and 'lora_path' must be provided."],
    [
      'load',
      { lora_name: 'a', lora_path: '/a' },
      400,
      'InvalidUserInput',
      "The lora adapter 'a' has already been loaded.",
    ],
    ['unload', {}, 400, 'InvalidUserInput', "'lora_name' needs to be provided to unload a LoRA adapter."],
    ['unload', { lora_name: 'b' }, 404, 'NotFoundError', "The lora adapter 'b' cannot be found."],
  ])('refuse to %s %j', async (action, body, status, type, message) => {
    const { url } = await startEngine({ adapters: ['a'] });
    const reply = await post(`${url}/v1/${action}_lora_adapter`, body);
    expect(reply.status).toBe(status);
    expect(JSON.parse(reply.text)).toMatchObject({
      error: { type, message: expect.stringContaining(message) },
    });
  });

  it('load in place where that is asked for', async () => {
    const { url } = await startEngine({ adapters: ['a'] });
    expect(
      await post(`${url}/v1/load_lora_adapter`, { lora_name: 'a', lora_path: '/new', load_inplace: true }),
    ).toMatchObject({ status: 200 });
    expect(await listed(url)).toMatchObject({ data: [{ id: 'm' }, { id: 'a', root: '/new' }] });
  });
});
