import { describe, expect, it } from '@jest/globals';
import { atLeast, formatEnvoyVersion, parseEnvoyVersion } from '../../src/envoy/version.ts';

describe('parseEnvoyVersion()', () => {
  it.each([
    ['1.40.0', { major: 1, minor: 40, patch: 0 }],
    ['v1.37.3', { major: 1, minor: 37, patch: 3 }],
    [' 1.38 ', { major: 1, minor: 38, patch: 0 }],
  ])('reads %j', (text, version) => {
    expect(parseEnvoyVersion(text)).toEqual(version);
  });

  it.each(['', '1', 'latest', '1.40.0-dev', '1.40.0.1'])('refuses %j and says what it expected', (text) => {
    expect(() => parseEnvoyVersion(text)).toThrow(
      `Cannot read Envoy version "${text}": expected three numbers, like 1.40.0`,
    );
  });
});

describe('formatEnvoyVersion()', () => {
  it('is the inverse of reading', () => {
    expect(formatEnvoyVersion(parseEnvoyVersion('1.39.3'))).toBe('1.39.3');
  });
});

describe('atLeast()', () => {
  it.each([
    ['1.38.0', 1, 38, true],
    ['1.37.9', 1, 38, false],
    ['1.40.0', 1, 4, true],
    ['2.0.0', 1, 38, true],
    ['0.99.0', 1, 38, false],
  ])('compares %s with %i.%i: %s', (version, major, minor, expected) => {
    expect(atLeast(parseEnvoyVersion(version), major, minor)).toBe(expected);
  });
});
