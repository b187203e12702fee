import { describe, expect, it } from '@jest/globals';
import { defaultProfile, parseProfile } from '../../src/engine-sim/profile.ts';

describe('parseProfile()', () => {
  it('fills what is left out with the defaults', () => {
    expect(parseProfile('{"maxNumSeqs": 64}', 'p.json')).toEqual({ ...defaultProfile, maxNumSeqs: 64 });
  });

  it.each([
    ['{', /^Cannot read profile "p\.json": it is not JSON: /],
    [
      '{"stepBaseMs": "fast"}',
      /^Cannot use profile "p\.json": stepBaseMs: Invalid input: expected number, received string$/,
    ],
    ['{"kvBlock": 5}', /^Cannot use profile "p\.json": Unrecognized key: "kvBlock"$/],
    ['{"kvBlocks": 0, "maxNumSeqs": 1.5}', /^Cannot use profile "p\.json": kvBlocks: .*; maxNumSeqs: /],
    [
      '{"kvBlocks": 10}',
      /^Cannot use profile "p\.json": maxModelLen: is more than kvBlocks \* blockSize tokens/,
    ],
  ])('refuses %s', (text, message) => {
    expect(() => parseProfile(text, 'p.json')).toThrow(message);
  });
});
