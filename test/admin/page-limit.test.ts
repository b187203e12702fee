import { describe, expect, it } from '@jest/globals';
import { withLimit } from '../../src/admin/page-limit.ts';

function show(query: string): unknown {
  return withLimit(new URLSearchParams(query), (limit) => ({ status: 200, body: limit }));
}

describe('withLimit()', () => {
  it.each([
    ['', 20],
    ['model=m', 20],
    ['limit=1', 1],
    ['limit=1000', 1000],
  ])('takes "%s" for %d', (query, limit) => {
    expect(show(query)).toEqual({ status: 200, body: limit });
  });

  it.each(['0', '-1', 'all', '1001', '', '1e3', ' 5'])('refuses "%s"', (limit) => {
    expect(show(`limit=${limit}`)).toEqual({
      status: 400,
      body: { error: `Cannot use limit "${limit}": it must be 1 to 1000` },
    });
  });
});
