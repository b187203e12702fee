import { describe, expect, it } from '@jest/globals';
import { outputText } from '../../src/engine-sim/output-text.ts';
import { encode } from '../../src/engine-sim/tokenizer.ts';

describe('outputText()', () => {
  it('has exactly the tokens asked for, and longer answers begin like shorter ones', () => {
    expect(encode(outputText(1, 57))).toHaveLength(57);
    expect(outputText(1, 57).startsWith(outputText(1, 10))).toBe(true);
    expect(outputText(2, 57)).not.toBe(outputText(1, 57));
    expect(outputText(1, 0)).toBe('');
  });
});
