import { describe, expect, it } from '@jest/globals';
import { parseGoBool, parseGoDurationMs, parseGoFloat, parseGoInt } from '../../src/config/go-values.ts';

describe('parseGoBool()', () => {
  it.each(['1', 't', 'T', 'TRUE', 'true', 'True'])('reads %p as true', (text) => {
    expect(parseGoBool(text)).toBe(true);
  });

  it.each(['0', 'f', 'F', 'FALSE', 'false', 'False'])('reads %p as false', (text) => {
    expect(parseGoBool(text)).toBe(false);
  });

  it.each(['', 'yes', 'on', 'tRUE', ' true', '2', 'constructor'])('refuses %p', (text) => {
    expect(parseGoBool(text)).toBeUndefined();
  });
});

describe('parseGoInt()', () => {
  it.each([
    ['0', 0],
    ['-0', 0],
    ['+7', 7],
    ['-7', -7],
    ['007', 7],
    ['9007199254740991', 9_007_199_254_740_991],
  ])('reads %p', (text, value) => {
    expect(parseGoInt(text)).toBe(value);
  });

  it.each(['', '1.0', '1e3', '0x10', '1_000', ' 1', '--1', '9007199254740992', '١'])('refuses %p', (text) => {
    expect(parseGoInt(text)).toBeUndefined();
  });
});

describe('parseGoFloat()', () => {
  it.each([
    ['1', 1],
    ['2.5', 2.5],
    ['.5', 0.5],
    ['5.', 5],
    ['+1', 1],
    ['-0.0', 0],
    ['1e3', 1000],
    ['25E-1', 2.5],
  ])('reads %p', (text, value) => {
    expect(parseGoFloat(text)).toBe(value);
  });

  it.each(['', '.', 'e3', '1e', '1,5', 'inf', 'NaN', '1e999', '0x1p-2', '1_000', ' 1'])(
    'refuses %p',
    (text) => {
      expect(parseGoFloat(text)).toBeUndefined();
    },
  );
});

describe('parseGoDurationMs()', () => {
  it.each([
    ['0', 0],
    ['-0', 0],
    ['0s', 0],
    ['5s', 5000],
    ['+5s', 5000],
    ['-5s', -5000],
    ['-0s', 0],
    ['100ms', 100],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['1h15m30.918s', 4_530_918],
    ['1.5h', 5_400_000],
    ['0.29s', 290],
    ['0.000000001s', 0.000_001],
    ['0.3333333333333333333h', 1_200_000],
    ['5.s', 5000],
    ['.5s', 500],
    ['3m2.5s1ms', 182_501],
    ['1s1s', 2000],
    ['1500us', 1.5],
    ['1500\u00b5s', 1.5],
    ['1500\u03bcs', 1.5],
    ['1ns', 0.000_001],
    ['0.9ns', 0],
    ['9223372036854775807ns', 9_223_372_036_854.775],
    ['-9223372036854775808ns', -9_223_372_036_854.775],
  ])('reads %p', (text, ms) => {
    expect(parseGoDurationMs(text)).toBeCloseTo(ms, 9);
  });

  it.each([
    '',
    '5',
    '+',
    '-',
    's',
    '.',
    '.s',
    '-.s',
    '+.s',
    '1.',
    '5 s',
    '5S',
    '1d',
    '1h30',
    '1.5.5s',
    '1e3s',
    '--5s',
    '3000000h',
    '9223372036854775808ns',
    '-9223372036854775809ns',
    'infinity',
  ])('refuses %p', (text) => {
    expect(parseGoDurationMs(text)).toBeUndefined();
  });

  it('gives no minus zero', () => {
    expect(Object.is(parseGoDurationMs('-0s'), 0)).toBe(true);
  });
});
