import { describe, expect, it } from '@jest/globals';
import { redactHeader } from '../../src/observability/redact.ts';

describe('redactHeader()', () => {
  const cases: readonly [string, string, string][] = [
    ['authorization', 'Bearer sk-1234567890', 'Bearer ****'],
    ['Authorization', 'bearer x', 'bearer ****'],
    ['authorization', 'Basic dXNlcjpwYXNz', 'Basic ****'],
    ['proxy-authorization', 'Token abcdef', 'Token ****'],
    ['authorization', 'Bearer', '****'],
    ['x-api-key', 'sk-1234567890', 'sk-1****'],
    ['X-Api-Key', 'abc', '****'],
    ['api-key', 'abcdefgh', '****'],
    ['cookie', 'session=abcdefghij', 'sess****'],
    ['set-cookie', 'session=abcdefghij', 'sess****'],
    ['x-access-token', '', '****'],
    ['content-type', 'application/json', 'application/json'],
  ];
  it.each(cases)('shows %s: %s as %s', (name, value, shown) => {
    expect(redactHeader(name, value)).toBe(shown);
  });
});
