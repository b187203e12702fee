import { describe, expect, it } from '@jest/globals';
import type { Levels } from '../../src/fairness/limit-lack.ts';
import { createLimit, type Charge, type LimitRule } from '../../src/fairness/limit-rule.ts';
import { formatReset, rateLimitHeaders } from '../../src/fairness/rate-limit-headers.ts';

const full: Levels = { inputTokens: 0, outputTokens: 0, totalTokens: 0, requests: 0, running: 0 };

function charge(rule: Partial<LimitRule>): Charge {
  return {
    limit: createLimit({ name: 'a rule', scope: 'principal', perMs: 60_000, ...rule }),
    owner: 'ann',
    key: 'a rule:ann',
  };
}

describe('rateLimitHeaders()', () => {
  it('tells what is left of requests and of tokens, and when all is there again', () => {
    const charges = [charge({ requests: 60, totalTokens: 150_000 })];
    expect(rateLimitHeaders(charges, [{ ...full, requests: 59, totalTokens: 149_984 }])).toEqual({
      'x-ratelimit-limit-requests': '60',
      'x-ratelimit-remaining-requests': '59',
      'x-ratelimit-reset-requests': '1s',
      'x-ratelimit-limit-tokens': '150000',
      'x-ratelimit-remaining-tokens': '149984',
      'x-ratelimit-reset-tokens': '7ms',
    });
  });

  it('takes each from the limit of which the fewest are left', () => {
    const charges = [
      charge({ requests: 10, inputTokens: 1000, outputTokens: 500 }),
      charge({ requests: 1000, totalTokens: 100_000, perMs: 86_400_000 }),
    ];
    const levels = [
      { ...full, requests: 9, inputTokens: 900, outputTokens: 300 },
      { ...full, requests: 8, totalTokens: 99_000 },
    ];
    expect(rateLimitHeaders(charges, levels)).toEqual({
      'x-ratelimit-limit-requests': '1000',
      'x-ratelimit-remaining-requests': '8',
      'x-ratelimit-reset-requests': '23h48m28.8s',
      'x-ratelimit-limit-tokens': '500',
      'x-ratelimit-remaining-tokens': '300',
      'x-ratelimit-reset-tokens': '24s',
    });
  });

  it('says that nothing is left of what is overdrawn', () => {
    expect(rateLimitHeaders([charge({ outputTokens: 100 })], [{ ...full, outputTokens: -50 }])).toEqual({
      'x-ratelimit-limit-tokens': '100',
      'x-ratelimit-remaining-tokens': '0',
      'x-ratelimit-reset-tokens': '1m30s',
    });
  });

  it('says nothing of concurrent requests', () => {
    expect(rateLimitHeaders([charge({ concurrentRequests: 2 })], [{ ...full, running: 1 }])).toEqual({});
  });
});

describe('formatReset()', () => {
  it.each([
    [0, '0s'],
    [1, '1ms'],
    [999, '999ms'],
    [1000, '1s'],
    [8640, '8.64s'],
    [59_999, '59.999s'],
    [60_000, '1m0s'],
    [360_000, '6m0s'],
    [3_600_000, '1h0m0s'],
    [86_400_000, '24h0m0s'],
    [90_061_500, '25h1m1.5s'],
  ])('writes %p as %s', (ms, text) => {
    expect(formatReset(ms)).toBe(text);
  });
});
