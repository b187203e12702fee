import { describe, expect, it } from '@jest/globals';
import { lackOf, type Lack } from '../../src/fairness/limit-lack.ts';
import { createLimit } from '../../src/fairness/limit-rule.ts';

const limit = createLimit({
  name: 'rule',
  scope: 'principal',
  inputTokens: 60,
  outputTokens: 120,
  requests: 6,
  perMs: 60_000,
  concurrentRequests: 2,
});
const full = { inputTokens: 60, outputTokens: 120, totalTokens: 0, requests: 6, running: 0 };
const cost = { inputTokens: 10, outputTokens: 20, totalTokens: 30, requests: 1 };

describe('lackOf()', () => {
  it.each<[string, Partial<typeof full>, Partial<Lack> | undefined]>([
    ['is undefined where there is enough of all', {}, undefined],
    ['knows nothing of what is not limited', { totalTokens: -1000 }, undefined],
    [
      'names what has to be waited for',
      { inputTokens: 4 },
      { what: 'input tokens', amount: 60, waitMs: 6000 },
    ],
    [
      'names what has to be waited for longest, be it the first',
      { inputTokens: 4, outputTokens: 16 },
      { what: 'input tokens', waitMs: 6000 },
    ],
    [
      'or the last',
      { inputTokens: 4, outputTokens: 16, requests: 0 },
      { what: 'requests', amount: 6, waitMs: 10_000 },
    ],
    [
      'looks again for requests in flight after a second',
      { running: 2 },
      { what: 'concurrent requests', amount: 2, waitMs: 1000 },
    ],
    [
      'names them where the rest is there sooner',
      { running: 2, outputTokens: 19 },
      { what: 'concurrent requests' },
    ],
    ['and does not where it is not', { running: 2, inputTokens: 4 }, { what: 'input tokens' }],
  ])('%s', (_name, levels, expected) => {
    const lack = lackOf(limit, { ...full, ...levels }, cost);
    if (expected === undefined) expect(lack).toBeUndefined();
    else expect(lack).toMatchObject({ limit, ...expected });
  });
});
