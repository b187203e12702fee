import { describe, expect, it } from '@jest/globals';
import { boundedLabel } from '../../src/observability/bounded-label.ts';

describe('boundedLabel()', () => {
  it('lets the first values in and calls all later ones other', () => {
    const label = boundedLabel(2);
    expect(['a', 'b', 'c', 'a', 'd', 'b'].map(label)).toEqual(['a', 'b', 'other', 'a', 'other', 'b']);
  });
});
