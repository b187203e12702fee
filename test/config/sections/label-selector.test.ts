import { describe, expect, it } from '@jest/globals';
import { wrongRequirement } from '../../../src/config/sections/label-selector.ts';

describe('wrongRequirement()', () => {
  it.each([
    '',
    'app=vllm',
    'app == vllm',
    'app!=vllm',
    'app=',
    'app',
    '!app',
    'app in (vllm)',
    'app in (vllm, sglang), tier notin (batch,),stage',
    'app.kubernetes.io/name=vllm,llm-d.ai/role in (decode,both)',
    'model=Llama-3.1_8B',
    `a=${'x'.repeat(63)}`,
  ])('takes "%s"', (selector) => expect(wrongRequirement(selector)).toBeUndefined());

  it.each([
    ['app=vllm,,b', ''],
    [',app', ''],
    ['app,', ''],
    ['app=vllm sglang', 'app=vllm sglang'],
    ['a=b,app:vllm', 'app:vllm'],
    ['app in vllm', 'app in vllm'],
    ['app in (vllm', 'app in (vllm'],
    ['app in (a b)', 'app in (a b)'],
    ['-app=vllm', '-app=vllm'],
    ['app=-vllm', 'app=-vllm'],
    ['App.Io/name=x', 'App.Io/name=x'],
    ['a/b/c=x', 'a/b/c=x'],
    [`a=${'x'.repeat(64)}`, `a=${'x'.repeat(64)}`],
    ['!app=vllm', '!app=vllm'],
  ])('refuses "%s"', (selector, part) => expect(wrongRequirement(selector)).toBe(part));
});
