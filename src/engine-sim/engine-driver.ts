/** Runs the engine model on a clock: one timer for the whole engine, and none while it is idle. */
import type { Clock, Timer } from '../lib/clock.ts';
import type { EngineEvent, EngineRequest, EngineStats } from './engine.ts';
import { Engine } from './engine.ts';
import type { EngineProfile } from './profile.ts';

export interface EngineDriverOptions {
  readonly profile: EngineProfile;
  readonly clock: Clock;
  /** Virtual milliseconds in one real millisecond. */
  readonly speed: number;
  /** Sees every event of every request. */
  readonly onEvent: (event: EngineEvent) => void;
}

export class EngineDriver {
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #speed: number;
  readonly #listeners = new Map<string, (event: EngineEvent) => void>();
  #anchor: { readonly realMs: number; readonly virtualMs: number };
  #frozen = false;
  #armed: { readonly timer: Timer; readonly forMs: number } | undefined;

  constructor({ profile, clock, speed, onEvent }: EngineDriverOptions) {
    this.#clock = clock;
    this.#speed = speed;
    this.#anchor = { realMs: clock.nowMs(), virtualMs: 0 };
    this.#engine = new Engine(profile, (event) => {
      onEvent(event);
      const listener = this.#listeners.get(event.id);
      if (event.kind === 'finished') this.#listeners.delete(event.id);
      listener?.(event);
    });
  }

  /** Queues requests that arrive at the same moment; `listener` sees their events until each has finished. */
  submit(requests: readonly EngineRequest[], listener: (event: EngineEvent) => void): void {
    this.#engine.advance(this.#virtualNowMs());
    for (const request of requests) {
      this.#listeners.set(request.id, listener);
      this.#engine.submit(request);
    }
    this.#run();
  }

  /** Ends requests whose client has left. Their listener is told nothing more. */
  abort(ids: readonly string[]): void {
    for (const id of ids) {
      this.#listeners.delete(id);
      this.#engine.abort(id);
    }
    this.#arm();
  }

  /** Makes steps `slowdown` times longer, or stops virtual time altogether. */
  setPace({ slowdown, frozen }: { slowdown: number; frozen: boolean }): void {
    this.#run();
    this.#anchor = { realMs: this.#clock.nowMs(), virtualMs: this.#virtualNowMs() };
    this.#frozen = frozen;
    this.#engine.setSlowdown(slowdown);
    this.#disarm();
    this.#arm();
  }

  stats(): EngineStats {
    return this.#engine.stats();
  }

  /** Ends every timer; requests under way stay where they are. */
  stop(): void {
    this.#frozen = true;
    this.#disarm();
  }

  #virtualNowMs(): number {
    const elapsedMs = this.#frozen ? 0 : (this.#clock.nowMs() - this.#anchor.realMs) * this.#speed;
    return this.#anchor.virtualMs + elapsedMs;
  }

  #run(): void {
    this.#engine.advance(this.#virtualNowMs());
    this.#arm();
  }

  #arm(): void {
    const forMs = this.#frozen ? undefined : this.#engine.nextEventMs();
    if (forMs === this.#armed?.forMs) return;
    this.#disarm();
    if (forMs === undefined) return;
    const delayMs = Math.max(0, (forMs - this.#virtualNowMs()) / this.#speed);
    const timer = this.#clock.after(delayMs, () => {
      this.#armed = undefined;
      this.#run();
    });
    this.#armed = { timer, forMs };
  }

  #disarm(): void {
    this.#armed?.timer.cancel();
    this.#armed = undefined;
  }
}
