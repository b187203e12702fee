import { describe, expect, it } from '@jest/globals';
import { createExemptPaths } from '../../src/auth/exempt-paths.ts';

const isExempt = createExemptPaths(['/health', '/public/*', '/v1/open/*']);

describe('createExemptPaths()', () => {
  it.each(['/health', '/public', '/public/', '/public/a', '/public/a/b.html', '/v1/open/x'])(
    'exempts %s',
    (path) => {
      expect(isExempt(path)).toBe(true);
    },
  );

  it.each([
    '/',
    '',
    '/health/',
    '/health/x',
    '/healthz',
    '/Health',
    '/health?x=1',
    '//health',
    '/publicity',
    '/public/../v1/models',
    '/public/./a',
    '/public//a',
    '/public/%2e%2e/v1/models',
    '/public/..%2fv1/models',
    '/public/..;/v1/models',
    '/public/a\\..\\..\\v1',
    '/public/a?b',
    '/v1/open/../chat/completions',
    '/v1/chat/completions',
  ])('does not exempt %s', (path) => {
    expect(isExempt(path)).toBe(false);
  });

  it('exempts nothing where there is no list', () => {
    expect(createExemptPaths([])('/health')).toBe(false);
    expect(createExemptPaths([])('')).toBe(false);
  });
});
