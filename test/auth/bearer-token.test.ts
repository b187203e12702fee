import { describe, expect, it } from '@jest/globals';
import { readToken } from '../../src/auth/bearer-token.ts';
import { Headers } from '../../src/lib/headers.ts';

const names = ['authorization', 'x-api-key'];
const read = (...pairs: string[]) => readToken(new Headers(pairs), names, 100);

describe('readToken()', () => {
  it.each([
    ['authorization', 'Bearer a.b.c'],
    ['authorization', 'bearer a.b.c'],
    ['authorization', 'BEARER \t a.b.c '],
    ['x-api-key', 'a.b.c'],
    ['x-api-key', ' a.b.c '],
    ['x-api-key', 'Bearer a.b.c'],
    ['authorization', 'Bearer a.b.c,Bearer a.b.c'],
    ['authorization', 'Bearer a.b.c, bearer a.b.c'],
    ['x-api-key', 'a.b.c, a.b.c'],
  ])('finds the token in %s: %j', (name, value) => {
    expect(read(name, value)).toEqual({ kind: 'token', token: 'a.b.c' });
  });

  it.each([
    [],
    ['authorization', ''],
    ['authorization', 'Basic dXNlcjpwYXNz'],
    ['authorization', 'Digest username="a", realm="b"'],
    ['x-other', 'a.b.c'],
    ['cookie', 'Bearer a.b.c'],
  ])('finds none in %j', (...pairs) => {
    expect(read(...pairs)).toEqual({ kind: 'none' });
  });

  it.each([
    ['authorization', 'Bearer'],
    ['authorization', 'Bearer '],
    ['authorization', 'a.b.c'],
    ['authorization', 'Bearer a.b.c d'],
    ['authorization', 'Bearer Bearer a.b.c'],
    ['authorization', 'Bearer a.b.c, Basic x'],
    ['authorization', 'Basic x, Bearer a.b.c'],
    ['authorization', 'Bearer a.b.c,'],
    ['x-api-key', 'Bearer'],
    ['x-api-key', 'Basic a.b.c'],
  ])('calls malformed what should be a token and cannot be: %s: %j', (...pairs) => {
    expect(read(...pairs)).toEqual({ kind: 'malformed' });
  });

  it('takes two equal headers for one', () => {
    expect(read('authorization', 'Bearer a.b.c', 'authorization', 'bearer  a.b.c')).toEqual({
      kind: 'token',
      token: 'a.b.c',
    });
    expect(read('authorization', 'Bearer a.b.c', 'x-api-key', 'a.b.c')).toEqual({
      kind: 'token',
      token: 'a.b.c',
    });
  });

  it.each([
    ['authorization', 'Bearer a.b.c', 'authorization', 'Bearer a.b.d'],
    ['authorization', 'Bearer a.b.c', 'x-api-key', 'a.b.d'],
    ['authorization', 'Bearer a.b.c,Bearer a.b.d'],
    ['x-api-key', 'a.b.c', 'x-api-key', 'A.b.c'],
  ])('refuses to choose between two that differ: %j', (...pairs) => {
    expect(read(...pairs)).toEqual({ kind: 'conflict' });
  });

  it('lets another scheme stand beside a token', () => {
    expect(read('authorization', 'Basic x', 'x-api-key', 'a.b.c')).toEqual({ kind: 'token', token: 'a.b.c' });
  });

  it('does not look into what is too large', () => {
    expect(read('authorization', `Bearer ${'a'.repeat(100)}`).kind).toBe('token');
    expect(read('authorization', `Bearer ${'a'.repeat(101)}`)).toEqual({ kind: 'too-large' });
    expect(read('x-api-key', 'a'.repeat(100)).kind).toBe('token');
    expect(read('x-api-key', 'a'.repeat(101))).toEqual({ kind: 'too-large' });
    expect(read('authorization', `Basic ${'a'.repeat(200)}`)).toEqual({ kind: 'too-large' });
  });

  it('looks only where it is told', () => {
    const headers = new Headers(['authorization', 'Bearer a.b.c', 'x-token', 'd.e.f']);
    expect(readToken(headers, ['x-token'], 100)).toEqual({ kind: 'token', token: 'd.e.f' });
    expect(readToken(headers, [], 100)).toEqual({ kind: 'none' });
  });
});
