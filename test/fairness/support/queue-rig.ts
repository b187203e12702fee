/** A fair queue in front of so many slots, with a clock that tests move. */
import {
  createFairQueue,
  type FairQueue,
  type FairQueueOptions,
  type JoinResult,
  type Turn,
} from '../../../src/fairness/fair-queue.ts';
import { createFifoPolicy } from '../../../src/fairness/policies/fifo.ts';
import type { TokenCount } from '../../../src/fairness/token-count.ts';
import type { TurnPolicy } from '../../../src/fairness/turn-policy.ts';
import { FakeClock } from '../../support/fake-clock.ts';

export const roomy: FairQueueOptions = {
  maxQueued: 1000,
  maxQueuedPerFlow: 1000,
  queueTimeoutMs: 60_000,
  agingAfterMs: 0,
  maxConcurrent: 0,
  maxQps: 0,
};

export interface RigOptions extends Partial<FairQueueOptions> {
  readonly policy?: TurnPolicy;
  readonly clock?: FakeClock;
  readonly slots?: number;
  readonly isCrowded?: () => boolean;
  readonly isServed?: () => boolean;
}

export interface RigEntry {
  /** Default: the first letter of the name. */
  readonly flow?: string;
  readonly weight?: number;
  readonly outputTokens?: number;
  readonly signal?: AbortSignal;
  /** Default true: the turn is started as soon as it is known. */
  readonly starts?: boolean;
  readonly reserve?: () => void;
}

export function outputOf(outputTokens: number): TokenCount {
  return { inputTokens: 0, cachedInputTokens: 0, outputTokens };
}

/** Requests are called by names; turns are noted in the order in which they are given. */
export class QueueRig {
  readonly clock: FakeClock;
  readonly queue: FairQueue;
  readonly options: FairQueueOptions;
  slots: number;
  inFlight = 0;
  /** Names, in the order of their turns. */
  readonly order: string[] = [];
  /** How requests that had to wait ended, in the order in which they learned it. */
  readonly ends: string[] = [];
  readonly waitsMs: number[] = [];
  readonly leaves: string[] = [];
  readonly #turns = new Map<string, Turn>();
  readonly #started = new Set<string>();

  constructor({
    policy = createFifoPolicy(),
    clock = new FakeClock(),
    slots = 1,
    isCrowded,
    isServed,
    ...options
  }: RigOptions = {}) {
    this.clock = clock;
    this.slots = slots;
    this.options = { ...roomy, ...options };
    this.queue = createFairQueue(
      {
        clock,
        policy,
        freeSlots: () => this.slots - this.inFlight,
        ...(isCrowded === undefined ? {} : { isCrowded }),
        ...(isServed === undefined ? {} : { isServed }),
        onRelease: (waitedMs) => void this.waitsMs.push(waitedMs),
        onLeave: (reason) => void this.leaves.push(reason),
      },
      this.options,
    );
  }

  join(name: string, entry: RigEntry = {}): JoinResult['kind'] {
    const {
      flow = name[0]!,
      weight = 1,
      outputTokens = 1,
      signal = new AbortController().signal,
      starts = true,
    } = entry;
    const reserve = (): void => {
      this.order.push(name);
      entry.reserve?.();
    };
    const joined = this.queue.join({ flow, weight, expected: outputOf(outputTokens), reserve }, () => signal);
    if (joined.kind === 'turn') this.#got(name, joined.turn, starts);
    if (joined.kind === 'waiting')
      void joined.settled.then((end) => {
        this.ends.push(`${name} ${end.kind}`);
        if (end.kind === 'turn') this.#got(name, end.turn, starts);
      });
    return joined.kind;
  }

  turn(name: string): Turn {
    return this.#turns.get(name)!;
  }

  /** In flight from now on. */
  start(name: string): void {
    this.#started.add(name);
    this.inFlight++;
    this.turn(name).started();
  }

  /** Ends a request, that used what was given, and lets whoever got a turn for it know. */
  async end(name: string, outputTokens?: number): Promise<void> {
    if (this.#started.delete(name)) this.inFlight--;
    this.turn(name).end();
    this.turn(name).charge(outputTokens === undefined ? undefined : outputOf(outputTokens));
    await this.settled();
  }

  /** Lets everybody know what was decided. */
  async settled(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  #got(name: string, turn: Turn, starts: boolean): void {
    this.#turns.set(name, turn);
    if (starts) this.start(name);
  }
}
