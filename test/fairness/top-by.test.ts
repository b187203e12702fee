import { describe, expect, it } from '@jest/globals';
import { topBy } from '../../src/fairness/top-by.ts';

describe('topBy()', () => {
  const words = ['fig', 'banana', 'kiwi', '', 'cherry', 'plum', 'apple'];
  const lengthOf = (word: string): number | undefined => (word === '' ? undefined : word.length);

  it.each<[number, string[]]>([
    [0, []],
    [1, ['banana']],
    [4, ['banana', 'cherry', 'apple', 'kiwi']],
    [99, ['banana', 'cherry', 'apple', 'kiwi', 'plum', 'fig']],
  ])('returns the %i heaviest, equals in order', (limit, expected) => {
    expect(topBy(words, lengthOf, limit)).toEqual(expected);
  });
});
