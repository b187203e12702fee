import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { maxScorePicker } from '../../../src/scheduling/plugins/max-score.ts';
import { anEndpoint } from '../../support/endpoints.ts';
import { fakeDeps } from '../../support/scoring.ts';

const endpoints = Array.from({ length: 40 }, (_, slot) => anEndpoint(slot));
const picker = () => maxScorePicker.create({}, fakeDeps);

describe('max-score picker', () => {
  it('rank() orders by total, greatest first, and stops at max', () => {
    const [a, b, c, d] = endpoints;
    expect(picker().rank([a!, b!, c!, d!], Float64Array.of(0.2, 3, 1, 2), 3)).toEqual([b, d, c]);
  });

  it('rank() ranks fewer where there are fewer', () => {
    expect(picker().rank(endpoints.slice(0, 2), Float64Array.of(1, 2), 5)).toEqual([
      endpoints[1],
      endpoints[0],
    ]);
  });

  it('rank() lets ties take turns', () => {
    const rank = picker();
    const three = endpoints.slice(0, 3);
    const firsts = Array.from({ length: 6 }, () => rank.rank(three, Float64Array.of(1, 1, 1), 2)[0]?.slot);
    expect(firsts).toEqual([0, 1, 2, 0, 1, 2]);
  });

  it('rank() lets ties take turns within each of two sets that alternate', () => {
    const rank = picker();
    const totals = Float64Array.of(1, 1);
    const firsts = Array.from({ length: 4 }, () => [
      rank.rank(endpoints.slice(0, 2), totals, 1)[0]?.slot,
      rank.rank(endpoints.slice(2, 4), totals, 1)[0]?.slot,
    ]);
    expect(firsts).toEqual([
      [0, 2],
      [1, 3],
      [0, 2],
      [1, 3],
    ]);
  });

  it('rank() agrees with a full sort', () => {
    const totals = fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(
        fc.array(totals, { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 45 }),
        (runs, max) => {
          const rank = picker();
          for (const run of runs) {
            const ranked = rank.rank(endpoints.slice(0, run.length), Float64Array.from(run), max);
            expect(new Set(ranked).size).toBe(ranked.length);
            expect(ranked.map(({ slot }) => run[slot])).toEqual(run.toSorted((a, b) => b - a).slice(0, max));
          }
        },
      ),
    );
  });
});
