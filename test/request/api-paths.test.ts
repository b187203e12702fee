import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createPathMatcher, type PathMatch } from '../../src/request/api-paths.ts';

const matchPath = createPathMatcher();

describe('matchPath()', () => {
  it.each([
    ['/v1/chat/completions', 'chat'],
    ['/v1/chat/completions?x=1&y=/../', 'chat'],
    ['/v1/completions', 'completions'],
    ['/v1/embeddings', 'embeddings'],
    ['/v1/responses', 'responses'],
    ['/v1/messages', 'messages'],
    ['/v1/messages?beta=true', 'messages'],
    ['/v1/messages/count_tokens', 'by-model'],
    ['/rerank', 'by-model'],
    ['/v1/rerank', 'by-model'],
    ['/v2/rerank', 'by-model'],
    ['/score', 'by-model'],
    ['/v1/score', 'by-model'],
    ['/v2/embed', 'by-model'],
    ['/pooling', 'by-model'],
    ['/classify', 'by-model'],
    ['/v1/classify', 'by-model'],
    ['/tokenize', 'by-model'],
    ['/v1/tokenize', 'by-model'],
    ['/detokenize', 'by-model'],
    ['/v1/detokenize', 'by-model'],
    ['/v1/audio/transcriptions', 'by-model'],
    ['/v1/audio/translations', 'by-model'],
    ['/v1/audio/speech', 'by-model'],
  ])('takes %s for the %s API', (path, api) => {
    expect(matchPath(path)).toEqual({ kind: 'inference', api, path: path.split('?')[0], methods: ['POST'] });
  });

  it.each<[string, PathMatch]>([
    ['/health', { kind: 'local', name: 'health' }],
    ['/version', { kind: 'local', name: 'version' }],
    ['/engines', { kind: 'local', name: 'engines' }],
    ['/v1/models', { kind: 'local', name: 'models' }],
    ['/v1/models?limit=1', { kind: 'local', name: 'models' }],
    ['/v1/models/llama', { kind: 'local', name: 'model', modelId: 'llama' }],
    ['/v1/models/meta%2FLlama%203?x', { kind: 'local', name: 'model', modelId: 'meta/Llama 3' }],
    ['/v1/models/meta/Llama', { kind: 'local', name: 'model', modelId: 'meta/Llama' }],
  ])('answers %s locally', (path, match) => {
    expect(matchPath(path)).toEqual(match);
  });

  it.each([
    '/',
    '',
    '*',
    'v1/chat/completions',
    'http://engine/v1/chat/completions',
    '/v1',
    '/V1/chat/completions',
    '/v1/chat',
    '/v1/chat/completions/x',
    '/v1/chat/completions;x',
    '/metrics',
    '/ping',
    '/load',
    '/sleep',
    '/wake_up',
    '/v1/load_lora_adapter',
    '/invocations',
    '/generate',
    '/reset_prefix_cache',
    '/server_info',
    '/docs',
    '/openapi.json',
    '/v1/responses/resp_1',
    '/v1/chat/completions%',
    '/v1/chat/completions%zz',
    '/v1/chat/completions%20',
    '/v1/chat/completions%00',
    '/v1/chat/completions#x',
    '?/v1/chat/completions',
  ])('does not know "%s"', (path) => {
    expect(matchPath(path)).toEqual({ kind: 'unknown' });
  });

  it.each([
    ['//v1/chat/completions', '/v1/chat/completions'],
    ['/v1//chat/completions', '/v1/chat/completions'],
    ['/v1/chat/completions/', '/v1/chat/completions'],
    ['/v1/../v1/chat/completions', '/v1/chat/completions'],
    ['/../../v1/./chat/completions', '/v1/chat/completions'],
    ['/v1/chat%2Fcompletions', '/v1/chat/completions'],
    ['/v1/chat%2fcompletions?x=1', '/v1/chat/completions'],
    ['/%76%31/chat/completions', '/v1/chat/completions'],
    ['/v1/%2e%2E/metrics', '/metrics'],
    ['/v1/models/x/%5c..%5c..', '/v1'],
    ['/v1\\chat/completions', '/v1/chat/completions'],
    ['/v1/chat%252Fcompletions', '/v1/chat/completions'],
    ['/v1/chat%25252Fcompletions', '/v1/chat/completions'],
    ['/v1/models/', '/v1/models'],
    ['/v1/models/../load_lora_adapter', '/v1/load_lora_adapter'],
    ['/v1/models/%2e%2e/load_lora_adapter', '/v1/load_lora_adapter'],
    ['/v1/models//x', '/v1/models/x'],
    ['/health/', '/health'],
  ])('refuses %s, which could be taken for another path', (path, canonical) => {
    expect(matchPath(path)).toEqual({ kind: 'not-canonical', canonical });
  });
});

describe('createPathMatcher()', () => {
  const allowing = createPathMatcher(['/v1/load_lora_adapter', '/custom/*']);

  it.each([
    ['/v1/load_lora_adapter', 'allowed'],
    ['/v1/load_lora_adapter?x', 'allowed'],
    ['/v1/load_lora_adapter/x', 'unknown'],
    ['/v1/unload_lora_adapter', 'unknown'],
    ['/custom', 'allowed'],
    ['/custom/a/b%20c', 'allowed'],
    ['/customs', 'unknown'],
    ['/custom/../metrics', 'not-canonical'],
    ['/custom/%2e%2e/metrics', 'not-canonical'],
    ['/custom/..%2fmetrics', 'not-canonical'],
    ['/custom/', 'not-canonical'],
    ['/v1/chat/completions', 'inference'],
  ])('takes %s as %s', (path, kind) => {
    expect(allowing(path).kind).toBe(kind);
  });

  it('lets nothing through whose decoded, resolved form is another path', () => {
    const piece = fc.constantFrom(
      '/',
      '.',
      '..',
      '%2e',
      '%2F',
      '%5C',
      '\\',
      '//',
      'custom',
      'metrics',
      'v1',
      '%6d',
      '%',
      '%25',
      '%252e',
      '?',
      'x',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const path = `/custom/${pieces.join('')}`;
        const match = allowing(path);
        if (match.kind !== 'allowed') return;
        const seen = decodeURIComponent(match.path);
        expect(new URL(seen.replaceAll('?', ''), 'http://x').pathname).toMatch(/^\/custom(\/|$)/);
        expect(seen).not.toMatch(/\/\/|\/\.\.?(\/|$)/);
      }),
      { numRuns: 2000 },
    );
  });
});
