/** Chance that can be repeated. */

export interface Dice {
  /** A whole number of 0 or more and below `n`; 0 where there is none. */
  below(n: number): number;
  /** One of them. */
  pick<T>(items: readonly [T, ...T[]]): T;
  pick<T>(items: readonly T[]): T | undefined;
}

/** Dice that fall the same for the same seed: mulberry32, by Tommy Ettinger. */
export function createDice(seed: number): Dice {
  let state = seed | 0;
  function below(n: number): number {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return n < 1 ? 0 : ((mixed ^ (mixed >>> 14)) >>> 0) % n;
  }
  return { below, pick: <T>(items: readonly T[]) => items[below(items.length)] as T };
}
