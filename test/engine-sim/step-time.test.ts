import { describe, expect, it } from '@jest/globals';
import { stepMs } from '../../src/engine-sim/step-time.ts';
import { smallProfile } from './support.ts';

const profile = smallProfile({
  stepBaseMs: 10,
  stepPerSequenceMs: 2,
  stepPerContextTokenUs: 500,
  prefillTokensPerSecond: 1000,
});

describe('stepMs()', () => {
  it.each([
    ['one decode', [{ tokens: 1, context: 4 }], 10 + 2 + 2],
    [
      'two decodes',
      [
        { tokens: 1, context: 4 },
        { tokens: 1, context: 6 },
      ],
      10 + 4 + 5,
    ],
    ['a short prompt, hidden behind the weights', [{ tokens: 8, context: 100 }], 10 + 2],
    ['a long prompt, which hides the weights', [{ tokens: 30, context: 0 }], 30 + 2],
    [
      'a prompt beside a decode',
      [
        { tokens: 30, context: 0 },
        { tokens: 1, context: 4 },
      ],
      30 + 4 + 2,
    ],
  ])('counts %s', (_, members, expected) => {
    expect(stepMs(profile, members)).toBeCloseTo(expected, 9);
  });
});
