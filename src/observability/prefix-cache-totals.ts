/** What an engine says of its prefix cache. */
import type { PrefixCacheTotals } from '../endpoints/endpoint.ts';

/** 0 to 1; undefined before the first query. */
export function hitRate(totals: PrefixCacheTotals | undefined): number | undefined {
  return totals === undefined || totals.queries <= 0 ? undefined : totals.hits / totals.queries;
}
