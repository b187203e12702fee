/**
 * The arithmetic of a token bucket: it holds its amount at most, refills evenly by that amount in each period, and its
 * level is negative where more was used than had been taken.
 */

/** What counts as there although it is not: rounding must not make somebody wait who came when told. */
const slack = 1e-9;

/** The level after some time. */
export function refilled(level: number, amount: number, perMs: number, elapsedMs: number): number {
  return Math.min(amount, level + (elapsedMs * amount) / perMs);
}

/**
 * Whole milliseconds until so much may be taken; 0 where it may be now. What is more than the bucket can hold may be taken
 * when it is full, for otherwise it never could; what is nothing always may.
 */
export function waitMs(level: number, amount: number, perMs: number, cost: number): number {
  if (cost <= 0) return 0;
  const missing = Math.min(cost, amount) - level;
  return missing <= amount * slack ? 0 : Math.ceil((missing * perMs) / amount);
}

/** Whole milliseconds until the bucket is full. */
export function fullInMs(level: number, amount: number, perMs: number): number {
  return waitMs(level, amount, perMs, amount);
}

/** How many whole ones there are; none where the level is negative. */
export function remaining(level: number, amount: number): number {
  return Math.max(0, Math.floor(level + amount * slack));
}
