import { describe, expect, it } from '@jest/globals';
import { parseBody } from '../../src/request/parse-body.ts';
import type { Api } from '../../src/request/parsed-request.ts';

async function prompt(
  api: Api,
  fields: string | object,
  promptHeadBytes = 8192,
): Promise<{ head: string; bytes: number }> {
  const rest = typeof fields === 'string' ? fields : JSON.stringify(fields).slice(1, -1);
  const parsed = await parseBody(Buffer.from(`{"model":"m",${rest}}`), api, {
    promptHeadBytes,
    maxDepth: 64,
  });
  return { head: Buffer.from(parsed.promptHead).toString(), bytes: parsed.promptBytes };
}

const image = (data: string) => ({ type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } });

describe('renderPrompt() of chat', () => {
  it.each<[string, string, string]>([
    [
      'messages',
      '"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}]',
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n',
    ],
    [
      'content before its role',
      '"messages":[{"content":"Hi","role":"user"}]',
      '<|im_start|>user\nHi<|im_end|>\n',
    ],
    [
      'keys with escapes',
      '"messages":[{"r\\u006fle":"user","c\\u006fntent":"Hi"}]',
      '<|im_start|>user\nHi<|im_end|>\n',
    ],
    ['no messages', '"messages":[]', ''],
    ['absent messages', '"x":1', ''],
    ['messages that are none', '"messages":[7,null,[]]', ''],
    [
      'text parts of all types',
      '"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"text":"b"},{"text":"c","type":"input_text"},{"type":"output_text","x":1,"text":"d"},"e"]}]',
      '<|im_start|>user\na\nb\nc\nd\ne<|im_end|>\n',
    ],
    [
      'parts that are not text, as they are',
      '"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"http://x/y.png"}}]}]',
      '<|im_start|>user\na\n<|part|>{"type":"image_url","image_url":{"url":"http://x/y.png"}}\n<|im_end|>\n',
    ],
    [
      'tool calls',
      '"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}]',
      '<|im_start|>assistant\n<|tool_calls|>[{"id":"1"}]\n<|im_end|>\n',
    ],
    [
      'escapes, decoded',
      '"messages":[{"role":"user","content":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u8a9e\\ud83d\\ude00\\u0041"}]',
      '<|im_start|>user\n"\\/\b\f\n\r\té語😀A<|im_end|>\n',
    ],
    [
      'escapes that cannot be decoded',
      '"messages":[{"role":"user","content":"\\ud83d \\ude00 \\ud83d\\u0041 \\q \\u12"}]',
      '<|im_start|>user\n\ufffd \ufffd \ufffdA \\q \\u12<|im_end|>\n',
    ],
    [
      'tools first, wherever they stand',
      '"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function"}]',
      '<|tools|>[{"type":"function"}]\n<|im_start|>user\nHi<|im_end|>\n',
    ],
    [
      'a cache salt before all',
      '"tools":[],"cache_salt":"s","messages":[]',
      '<|cache_salt|>"s"\n<|tools|>[]\n',
    ],
    [
      'the last of duplicates',
      '"messages":[{"role":"user","content":"a"}],"messages":[{"role":"user","content":"b"}]',
      '<|im_start|>user\nb<|im_end|>\n',
    ],
  ])('renders %s', async (_case, fields, head) => {
    expect((await prompt('chat', fields)).head).toBe(head);
  });

  it('tells images apart without keeping them', async () => {
    const ask = (data: string) =>
      prompt('chat', {
        messages: [{ role: 'user', content: [image(data), { type: 'text', text: 'What is this?' }] }],
      });
    const first = await ask('A'.repeat(50_000));
    expect(first.head.length).toBeLessThan(1500);
    expect(first.head).toContain('bytes|>');
    expect(first.head.endsWith('\nWhat is this?<|im_end|>\n')).toBe(true);
    expect((await ask(`${'A'.repeat(49_999)}B`)).head).not.toBe(first.head);
    expect((await ask('A'.repeat(50_004))).head).not.toBe(first.head);
    expect((await ask('A'.repeat(50_000))).head).toBe(first.head);
  });

  it('tells long lists of tools apart by their ends', async () => {
    const withTools = (last: string) =>
      prompt('chat', {
        tools: [...Array.from({ length: 100 }, (_, index) => ({ name: `tool-${index}` })), { name: last }],
        messages: [],
      });
    expect((await withTools('a')).head).not.toBe((await withTools('b')).head);
  });

  it('is a prefix of the longer head at every bound', async () => {
    const fields = {
      messages: [
        { role: 'user', content: 'aé"\n語😀'.repeat(20) },
        { role: 'assistant', content: 'b' },
      ],
    };
    const render = async (bytes: number) =>
      Buffer.from(
        (
          await parseBody(Buffer.from(JSON.stringify({ model: 'm', ...fields })), 'chat', {
            promptHeadBytes: bytes,
            maxDepth: 64,
          })
        ).promptHead,
      );
    const whole = await render(8192);
    for (let bytes = 0; bytes <= whole.length; bytes++)
      expect((await render(bytes)).equals(whole.subarray(0, bytes))).toBe(true);
  });

  it('is the same however the JSON is written', async () => {
    const messages = [
      { role: 'user', content: [{ type: 'text', text: 'Grüße "x"\n' }] },
      { role: 'assistant', content: 'ok' },
    ];
    const compact = await prompt('chat', { messages });
    const spaced = await prompt('chat', JSON.stringify({ messages }, undefined, 2).slice(1, -1));
    const escaped = await prompt(
      'chat',
      JSON.stringify({ messages }).slice(1, -1).replaceAll('ü', '\\u00fc').replaceAll('ß', '\\u00DF'),
    );
    expect([spaced.head, escaped.head]).toEqual([compact.head, compact.head]);
  });

  it('keeps memory of its own', async () => {
    const body = Buffer.from(
      '{"model":"m","messages":[{"role":"user","content":"Hi there, this is some text"}]}',
    );
    const parsed = await parseBody(body, 'chat', { promptHeadBytes: 100, maxDepth: 64 });
    body.fill(0);
    expect(Buffer.from(parsed.promptHead).toString()).toContain('Hi there, this is some text');
  });
});

describe('renderPrompt() of other APIs', () => {
  it.each<[Api, string, string, string]>([
    [
      'messages',
      'system as a string, last',
      '"messages":[{"role":"user","content":"Hi"}],"system":"Be brief."',
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n',
    ],
    [
      'messages',
      'system as parts',
      '"system":[{"type":"text","text":"a"},{"type":"text","text":"b","cache_control":{}}],"messages":[]',
      '<|im_start|>system\na\nb<|im_end|>\n',
    ],
    [
      'messages',
      'null system',
      '"system":null,"messages":[{"role":"user","content":"Hi"}]',
      '<|im_start|>user\nHi<|im_end|>\n',
    ],
    [
      'chat',
      'no top-level system',
      '"system":"no","messages":[{"role":"user","content":"Hi"}]',
      '<|im_start|>user\nHi<|im_end|>\n',
    ],
    ['completions', 'a string', '"prompt":"Once \\"upon\\""', 'Once "upon"'],
    ['completions', 'the first of several strings', '"prompt":["first","second"]', 'first'],
    ['completions', 'token ids', '"prompt":[ 1, 22 ,333]', '1,22,333,'],
    ['completions', 'the first of several lists of token ids', '"prompt":[[1,2],[3]]', '1,2,'],
    ['completions', 'an empty list', '"prompt":[]', ''],
    ['completions', 'null', '"prompt":null', ''],
    ['completions', 'no tools', '"tools":[{}],"prompt":"a"', 'a'],
    ['embeddings', 'a string', '"input":"text"', 'text'],
    ['embeddings', 'several strings', '"input":["first","second"]', 'first'],
    [
      'embeddings',
      'a chat',
      '"messages":[{"role":"user","content":"Hi"}]',
      '<|im_start|>user\nHi<|im_end|>\n',
    ],
    ['responses', 'a string', '"input":"Hi"', '<|im_start|>user\nHi<|im_end|>\n'],
    [
      'responses',
      'items and instructions',
      '"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"Hi"}]}],"instructions":"Be brief."',
      '<|im_start|>developer\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n',
    ],
    [
      'responses',
      'an item without a role',
      '"input":[{"type":"function_call_output","output":"7"}]',
      '<|im_start|>\n<|item|>{"type":"function_call_output","output":"7"}\n<|im_end|>\n',
    ],
    ['by-model', 'nothing', '"prompt":"a","input":"b","messages":[{"role":"user","content":"Hi"}]', ''],
  ])('renders %s: %s', async (api, _case, fields, head) => {
    expect((await prompt(api, fields)).head).toBe(head);
  });
});

describe('renderPrompt() size', () => {
  it.each<[Api, string, string | object, number]>([
    ['chat', 'text and roles', '"messages":[{"role":"user","content":"12345678"}]', 12],
    ['chat', 'tools as they are written', '"tools":[{"x":1}],"messages":[{"role":"user","content":""}]', 13],
    [
      'chat',
      'no inline images',
      { messages: [{ role: 'user', content: [image('A'.repeat(5000)), { type: 'text', text: 'Hi' }] }] },
      4 + 9 + 4 + 2,
    ],
    [
      'chat',
      'no inline audio',
      {
        messages: [
          {
            role: 'user',
            content: [{ type: 'input_audio', input_audio: { data: 'A'.repeat(5000), format: 'wav' } }],
          },
        ],
      },
      4 + 11 + 3,
    ],
    ['messages', 'the system prompt', '"system":"1234","messages":[{"role":"user","content":"12"}]', 10],
    ['completions', 'all prompts', '"prompt":["1234","12"]', 6],
    ['completions', 'token ids as they are written', '"prompt":[1,22,333]', 10],
    ['by-model', 'nothing', '"prompt":"1234"', 0],
  ])('counts of %s: %s', async (api, _case, fields, bytes) => {
    expect((await prompt(api, fields)).bytes).toBe(bytes);
  });

  it('is told without a head, too', async () => {
    expect(await prompt('completions', '"prompt":"1234"', 0)).toEqual({ head: '', bytes: 4 });
  });
});
