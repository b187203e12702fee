import { describe, expect, it } from '@jest/globals';
import { Headers } from '../../src/lib/headers.ts';
import { headerSessionKey } from '../../src/request/session-key.ts';

describe('headerSessionKey()', () => {
  it.each<[string, Record<string, string>, string[], string | undefined]>([
    ['none where none is configured', { 'x-a': 'a' }, [], undefined],
    ['none where none is sent', {}, ['x-a'], undefined],
    ['the first configured, not the first sent', { 'x-b': 'b', 'x-a': 'a' }, ['x-a', 'x-b'], 'a'],
    ['the next where one is empty', { 'x-a': '', 'x-b': 'b' }, ['x-a', 'x-b'], 'b'],
    ['the next where one is blank', { 'x-a': ' \t', 'x-b': 'b' }, ['x-a', 'x-b'], 'b'],
    ['the value without space around it', { 'x-a': ' a b ' }, ['x-a'], 'a b'],
    ['the longest that is kept', { 'x-a': 'a'.repeat(1024) }, ['x-a'], 'a'.repeat(1024)],
    ['the next where one is too long', { 'x-a': 'a'.repeat(1025), 'x-b': 'b' }, ['x-a', 'x-b'], 'b'],
    ['bytes, not characters', { 'x-a': 'ü'.repeat(513) }, ['x-a'], undefined],
  ])('gives %s', (_, fields, names, expected) => {
    expect(headerSessionKey(Headers.of(fields), names)).toBe(expected);
  });
});
