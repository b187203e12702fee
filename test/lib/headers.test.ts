import { describe, expect, it } from '@jest/globals';
import { Headers } from '../../src/lib/headers.ts';

const headers = new Headers([':method', 'POST', 'x-a', 'one', 'cookie', 'c', 'x-a', 'two']);

describe('Headers', () => {
  it('get() gives the first value of a name, undefined where there is none', () => {
    expect(headers.get(':method')).toBe('POST');
    expect(headers.get('x-a')).toBe('one');
    expect(headers.get('constructor')).toBeUndefined();
  });

  it('takes no value for a name', () => {
    expect(headers.get('one')).toBeUndefined();
    expect(headers.getAll('c')).toEqual([]);
    expect(headers.names((name) => name === 'two')).toEqual([]);
  });

  it('getAll() keeps duplicates in their order', () => {
    expect(headers.getAll('x-a')).toEqual(['one', 'two']);
    expect(headers.getAll('x-b')).toEqual([]);
  });

  it('names() lists those that match, as often as they occur', () => {
    expect(headers.names((name) => name.startsWith('x-'))).toEqual(['x-a', 'x-a']);
    expect(headers.names(() => false)).toEqual([]);
  });

  it('of() reads an object', () => {
    const made = Headers.of({ a: '1', b: '' });
    expect([made.get('a'), made.get('b'), made.get('c')]).toEqual(['1', '', undefined]);
  });

  it('can be empty', () => {
    expect(new Headers([]).get('a')).toBeUndefined();
  });
});
