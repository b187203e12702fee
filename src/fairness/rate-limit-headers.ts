/** What is left of a caller's limits, in the headers in which OpenAI tells it. */
import type { Levels } from './limit-lack.ts';
import type { Charge, Quantity } from './limit-rule.ts';
import { fullInMs, remaining } from './token-bucket.ts';

interface Tightest {
  readonly amount: number;
  readonly remaining: number;
  readonly resetMs: number;
}

/**
 * `x-ratelimit-limit-…`, `-remaining-…` and `-reset-…` for requests and for tokens, each from that limit of all charges of
 * which the fewest are left, be they input, output or total tokens. What no rule limits over time has no headers.
 */
export function rateLimitHeaders(
  charges: readonly Charge[],
  levels: readonly Levels[],
): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  addHeaders(headers, 'requests', tightest(charges, levels, true));
  addHeaders(headers, 'tokens', tightest(charges, levels, false));
  return headers;
}

function tightest(
  charges: readonly Charge[],
  levels: readonly Levels[],
  ofRequests: boolean,
): Tightest | undefined {
  let found: { charge: Charge; quantity: Quantity; level: number; remaining: number } | undefined;
  charges.forEach((charge, i) => {
    const { limited, amounts } = charge.limit;
    for (const quantity of limited) {
      if ((quantity === 'requests') !== ofRequests) continue;
      const level = levels[i]![quantity];
      const left = remaining(level, amounts[quantity]);
      if (found === undefined || left < found.remaining) found = { charge, quantity, level, remaining: left };
    }
  });
  if (found === undefined) return undefined;
  const { limit } = found.charge;
  const amount = limit.amounts[found.quantity];
  return {
    amount,
    remaining: found.remaining,
    resetMs: fullInMs(found.level, amount, limit.rule.perMs),
  };
}

function addHeaders(headers: Record<string, string>, what: string, found: Tightest | undefined): void {
  if (found === undefined) return;
  headers[`x-ratelimit-limit-${what}`] = String(found.amount);
  headers[`x-ratelimit-remaining-${what}`] = String(found.remaining);
  headers[`x-ratelimit-reset-${what}`] = formatReset(found.resetMs);
}

/** As OpenAI writes durations: `120ms`, `1s`, `1.5s`, `6m0s`, `24h0m0s`. Takes whole milliseconds. */
export function formatReset(ms: number): string {
  if (ms > 0 && ms < 1000) return `${ms}ms`;
  const minutes = Math.floor(ms / 60_000);
  const seconds = `${(ms % 60_000) / 1000}s`;
  if (minutes === 0) return seconds;
  if (minutes < 60) return `${minutes}m${seconds}`;
  return `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}`;
}
