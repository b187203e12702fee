/** How fast a queue drains, as far as its last turns tell. */

/** How many turns are remembered. */
const remembered = 64;

export interface DrainRate {
  /** Somebody got a turn. Times must not go back. */
  released(nowMs: number): void;
  /** How long so many turns take at this rate; Infinity while nothing is known. The longer the last one is ago, the longer. */
  msFor(turns: number, nowMs: number): number;
}

export function createDrainRate(): DrainRate {
  const releasedAtMs = new Float64Array(remembered);
  let count = 0;
  return {
    released(nowMs) {
      releasedAtMs[count++ % remembered] = nowMs;
    },
    msFor(turns, nowMs) {
      if (count === 0) return Infinity;
      const known = Math.min(count, remembered);
      return (turns * (nowMs - releasedAtMs[(count - known) % remembered]!)) / known;
    },
  };
}
