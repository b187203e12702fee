/** A clock that moves only when told to. */
import type { Clock, Timer } from '../../src/lib/clock.ts';

export class FakeClock implements Clock {
  #nowMs = 0;
  #sequence = 0;
  readonly #timers = new Map<number, { readonly dueMs: number; readonly callback: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  epochMs(): number {
    return 1_700_000_000_000 + this.#nowMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const id = this.#sequence++;
    this.#timers.set(id, { dueMs: this.#nowMs + Math.max(0, delayMs), callback });
    return { cancel: () => void this.#timers.delete(id) };
  }

  /** How many timers are armed; zero after everything was stopped. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves time forward, firing timers in order of their due time, those armed meanwhile included. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs;
    for (;;) {
      const next = [...this.#timers]
        .filter(([, timer]) => timer.dueMs <= untilMs)
        .sort((a, b) => a[1].dueMs - b[1].dueMs || a[0] - b[0])[0];
      if (next === undefined) break;
      const [id, timer] = next;
      this.#timers.delete(id);
      this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
      timer.callback();
    }
    this.#nowMs = untilMs;
  }

  /** Like advance, but lets promise callbacks run after each timer, for code that awaits between timers. */
  async advanceAsync(byMs: number, stepMs = byMs): Promise<void> {
    for (let movedMs = 0; movedMs < byMs; movedMs += stepMs) {
      this.advance(Math.min(stepMs, byMs - movedMs));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
