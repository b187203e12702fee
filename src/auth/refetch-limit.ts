/** How often tokens with unknown keys may make us ask an issuer for its keys. */
import type { Clock } from '../lib/clock.ts';

export interface RefetchLimitOptions {
  /** How long one unknown key is not asked for again. */
  readonly cooldownMs: number;
  /** Fetches within the cooldown for keys of any names. Anybody can make up names. */
  readonly burst: number;
}

/** `asked`: it was, a moment ago; `spent`: it was not, but too many others were. */
export type RefetchAnswer = 'fetch' | 'asked' | 'spent';

export interface RefetchLimit {
  /** Whether to fetch for the sake of this key now; after `fetch` it counts as asked for. */
  ask(missed: string): RefetchAnswer;
}

/**
 * Creates the limit. It counts the fetches that it allowed and no others: a refresh on schedule says nothing of a key
 * that is made a second later.
 */
export function createRefetchLimit(clock: Clock, { cooldownMs, burst }: RefetchLimitOptions): RefetchLimit {
  let recent: { readonly missed: string; readonly atMs: number }[] = [];
  return {
    ask(missed) {
      const nowMs = clock.nowMs();
      recent = recent.filter(({ atMs }) => nowMs - atMs < cooldownMs);
      if (recent.some((asked) => asked.missed === missed)) return 'asked';
      if (recent.length >= burst) return 'spent';
      recent.push({ missed, atMs: nowMs });
      return 'fetch';
    },
  };
}
