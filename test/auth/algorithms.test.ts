import { describe, expect, it } from '@jest/globals';
import { algorithms, asymmetricAlgorithms, isAlgorithm, sameAlgorithm } from '../../src/auth/algorithms.ts';

describe('asymmetricAlgorithms', () => {
  it('are RS, PS and ES with 256 to 512 bits, and EdDSA by both of its names', () => {
    expect(asymmetricAlgorithms).toEqual([
      ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'],
      ...['EdDSA', 'Ed25519'],
    ]);
  });
});

describe('isAlgorithm()', () => {
  it.each([...asymmetricAlgorithms, 'HS256', 'HS384', 'HS512'])('knows %s', (name) => {
    expect(isAlgorithm(name)).toBe(true);
    expect(algorithms).toContain(name);
  });

  it.each(['none', 'None', 'rs256', 'RS1', 'toString', '', undefined, 256])('does not know %p', (name) => {
    expect(isAlgorithm(name)).toBe(false);
  });
});

describe('sameAlgorithm()', () => {
  it('knows both names of EdDSA, and keeps others apart', () => {
    expect(sameAlgorithm('EdDSA', 'Ed25519')).toBe(true);
    expect(sameAlgorithm('RS256', 'RS256')).toBe(true);
    expect(sameAlgorithm('RS256', 'PS256')).toBe(false);
    expect(sameAlgorithm('ES256', 'ES384')).toBe(false);
  });
});
