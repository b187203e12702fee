/** Growing pauses between attempts, with jitter so that many retries do not fall into step. */

export interface BackoffOptions {
  /** The first pause, before jitter. */
  readonly firstMs: number;
  /** No pause is longer than this, jitter included. */
  readonly maxMs: number;
  /** Each pause is this many times the one before. Default 2. */
  readonly factor?: number;
  /** Share of a pause that is random: 0.2 means 80 % to 100 % of it. Default 0.2. */
  readonly jitter?: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export interface Backoff {
  /** The pause before the next attempt, in milliseconds. */
  nextMs(): number;
  /** Call after a success: the next pause is the first one again. */
  reset(): void;
}

/** Creates an exponential backoff. It keeps no timer of its own. */
export function createBackoff({ firstMs, maxMs, factor = 2, jitter = 0.2, random }: BackoffOptions): Backoff {
  let pauseMs = Math.min(firstMs, maxMs);
  return {
    nextMs() {
      const currentMs = pauseMs;
      pauseMs = Math.min(pauseMs * factor, maxMs);
      return currentMs * (1 - jitter * random());
    },
    reset() {
      pauseMs = Math.min(firstMs, maxMs);
    },
  };
}
