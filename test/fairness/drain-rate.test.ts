import { describe, expect, it } from '@jest/globals';
import { createDrainRate } from '../../src/fairness/drain-rate.ts';

describe('createDrainRate()', () => {
  it('msFor() knows nothing before the first turn', () => {
    expect(createDrainRate().msFor(1, 1000)).toBe(Infinity);
  });

  it('msFor() goes by the last turns', () => {
    const drain = createDrainRate();
    for (let atMs = 0; atMs < 100_000; atMs += 1000) drain.released(atMs);
    for (let atMs = 100_000; atMs < 106_400; atMs += 100) drain.released(atMs);
    expect(drain.msFor(10, 106_400)).toBe(1000);
  });

  it('msFor() grows while nobody gets a turn', () => {
    const drain = createDrainRate();
    drain.released(0);
    drain.released(100);
    expect([drain.msFor(10, 200), drain.msFor(10, 2000)]).toEqual([1000, 10_000]);
  });
});
