import { describe, expect, it } from '@jest/globals';
import { allEngines } from '../../src/kube/engine-addresses.ts';

const engine = (address: string, port = 8000) => ({ address, port });

describe('allEngines()', () => {
  it('gives each address once, in order', () => {
    const found = [
      { addresses: [engine('10.0.0.2'), engine('10.0.0.1')], leftOut: undefined },
      { addresses: [engine('10.0.0.1'), engine('10.0.0.1', 8001)], leftOut: undefined },
    ];
    expect(allEngines(found)).toEqual({
      addresses: [engine('10.0.0.2'), engine('10.0.0.1'), engine('10.0.0.1', 8001)],
      leftOut: undefined,
    });
  });

  it.each([
    [[undefined], undefined],
    [[undefined, 'pod "a" has none'], 'pod "a" has none'],
    [['pod "a" has none', undefined, 'pod "b" has none', 'pod "c" has none'], 'pod "a" has none, and 2 more'],
  ])('tells of %j once', (words, expected) => {
    expect(allEngines(words.map((leftOut) => ({ addresses: [], leftOut }))).leftOut).toBe(expected);
  });
});
