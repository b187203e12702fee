import { describe, expect, it } from '@jest/globals';
import { layered, valueAt } from '../../src/config/written.ts';

describe('layered()', () => {
  it('merges mappings and lets the last layer win', () => {
    expect(
      layered(
        { scrape: { interval: '1s', timeout: '2s' }, log: { level: 'info' } },
        { scrape: { interval: '5s' } },
        { admin: { port: 1 } },
      ),
    ).toEqual({ scrape: { interval: '5s', timeout: '2s' }, log: { level: 'info' }, admin: { port: 1 } });
  });

  it.each([
    ['lists', { a: [1, 2] }, { a: [3] }, { a: [3] }],
    ['a mapping by a scalar', { a: { b: 1 } }, { a: 'x' }, { a: 'x' }],
    ['a scalar by a mapping', { a: 'x' }, { a: { b: 1 } }, { a: { b: 1 } }],
  ])('replaces %s', (_, below, above, result) => {
    expect(layered(below, above)).toEqual(result);
  });

  it('takes keys of every name, and changes no prototype', () => {
    const merged = layered({}, JSON.parse('{"__proto__": {"polluted": true}}') as Record<string, unknown>);
    expect(Object.keys(merged)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
  });

  it('leaves its layers as they are', () => {
    const below = { a: { b: 1 } };
    layered(below, { a: { b: 2 } });
    expect(below).toEqual({ a: { b: 1 } });
  });
});

describe('valueAt()', () => {
  const root = { a: [{ b: 1 }] };
  it.each([
    [['a', 0, 'b'], 1],
    [[], root],
    [['a', 1, 'b'], undefined],
    [['a', 'length', 'x'], undefined],
    [['toString'], undefined],
  ])('reads %j', (path, value) => {
    expect(valueAt(root, path)).toBe(value);
  });
});
