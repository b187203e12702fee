import { describe, expect, it } from '@jest/globals';
import { chatTokens } from '../../src/engine-sim/chat-template.ts';
import { decode, encode } from '../../src/engine-sim/tokenizer.ts';

describe('chatTokens()', () => {
  it('renders text parts, media, tool calls and tools', () => {
    const tokens = chatTokens(
      [
        { role: 'user', content: [{ type: 'text', text: 'What is ' }, { type: 'image_url' }, 'this?'] },
        { role: 'assistant', content: null, extra: '[{"id":"c"}]' },
      ],
      [{ type: 'function' }],
    );
    expect(decode(tokens)).toBe(
      '<|im_start|>tools\n[{"type":"function"}]<|im_end|>\n' +
        '<|im_start|>user\nWhat is <|media|>this?<|im_end|>\n' +
        '<|im_start|>assistant\n[{"id":"c"}]<|im_end|>\n' +
        '<|im_start|>assistant\n',
    );
  });

  it('makes an answer sent back as history begin with the tokens it was generated with', () => {
    const asked = [{ role: 'user', content: 'How deep?' }];
    const generated = [...chatTokens(asked), ...encode('water gate river')];
    const next = chatTokens([
      ...asked,
      { role: 'assistant', content: 'water gate river' },
      { role: 'user', content: 'And wide?' },
    ]);
    expect(next.slice(0, generated.length)).toEqual(generated);
  });

  it('takes messages of a hundred thousand tokens', () => {
    expect(chatTokens([{ role: 'user', content: 'word'.repeat(200_000) }]).length).toBeGreaterThan(200_000);
  });
});
