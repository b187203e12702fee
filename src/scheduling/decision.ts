/** What one scheduling run says. */
import type { Endpoint } from '../endpoints/endpoint.ts';
import type { FilterDefinition } from './plugin.ts';

/** The request goes to ranked[0], or to the next where that fails. */
export interface Decision {
  readonly kind: 'chosen';
  readonly requestId: string;
  readonly model: string;
  /** Best first; never empty. */
  readonly ranked: readonly [Endpoint, ...Endpoint[]];
  /** Weighted sums of scores, one for each of `ranked`. */
  readonly totals: readonly number[];
  /** How many endpoints there were before the filters, and after. */
  readonly candidates: number;
  readonly kept: number;
}

/** Nobody can take the request: refuse it as the filter that left nobody says. */
export interface NoneEligible {
  readonly kind: 'none';
  /** The filter that left nobody; undefined where there was nobody to begin with. */
  readonly filter: string | undefined;
  readonly whenEmpty: FilterDefinition['whenEmpty'];
  readonly candidates: number;
}
