/** What an engine says of its prefix cache. */

/** Tokens since the engine started. */
export interface PrefixCacheTotals {
  /** Looked for. */
  readonly queries: number;
  /** Found. */
  readonly hits: number;
}

/** 0 to 1; undefined before the first query. */
export function hitRate(totals: PrefixCacheTotals | undefined): number | undefined {
  return totals === undefined || totals.queries <= 0 ? undefined : totals.hits / totals.queries;
}
