import { expect, it } from '@jest/globals';
import { nearest } from '../../src/lib/nearest.ts';

const words = ['least-request', 'kv-cache', 'prefix-cache', 'random', 'url'];

it.each([
  ['least-requests', 'least-request'],
  ['LEAST-REQUEST', 'least-request'],
  ['kvcache', 'kv-cache'],
  ['prefixcache', 'prefix-cache'],
  ['randm', 'random'],
  ['uri', 'url'],
  ['ulr', 'url'],
  ['rnadom', 'random'],
  ['kvcache-aware', undefined],
  ['', undefined],
  ['x'.repeat(100_000), undefined],
])('nearest() takes %p for %p', (word, meant) => {
  expect(nearest(word, words)).toBe(meant);
});

it('nearest() knows nothing among no words', () => {
  expect(nearest('a', [])).toBeUndefined();
});
