/** What the ledger knows of one principal and one model. */
import type { Neighbours } from './recency-list.ts';
import type { WindowPosition } from './slot-clock.ts';
import { addUsage, noUsage, setUsage, SlotCounts, type UsageCount, type UsageSum } from './slot-counts.ts';
import type { TokenCount } from './token-count.ts';

/** Another replica, as long as what it says counts. */
export interface Source {
  dropped: boolean;
}

/** Use in the window, here and at other replicas, and what is reserved here. Call `slideTo` before reading. */
export class Account implements Neighbours<Account> {
  readonly principal: string;
  readonly model: string;
  older: Account | undefined;
  newer: Account | undefined;
  /** The first slot whose use other replicas have not been told, or not as it is now. */
  untoldFrom = Infinity;
  readonly own = new SlotCounts();
  readonly #reserved = noUsage();
  #remotes: { readonly source: Source; readonly counts: SlotCounts }[] = [];
  #slotMs: number;

  constructor(principal: string, model: string, slotMs: number) {
    this.principal = principal;
    this.model = model;
    this.#slotMs = slotMs;
  }

  /** What is expected of requests under way. */
  get reserved(): UsageCount {
    return this.#reserved;
  }

  reserve({ inputTokens, cachedInputTokens, outputTokens }: TokenCount, sign: 1 | -1): void {
    const expected = { inputTokens, cachedInputTokens, outputTokens, requests: 1, estimatedTokens: 0 };
    addUsage(this.#reserved, expected, sign);
    // Whatever rounding there was ends with the last request.
    if (this.#reserved.requests === 0) setUsage(this.#reserved, noUsage());
  }

  /** Makes this the use that a replica says there was in a slot, and returns what it said before. */
  replace(source: Source, slot: number, count: UsageCount): UsageCount {
    let remote = this.#remotes.find((known) => known.source === source);
    if (remote === undefined) this.#remotes.push((remote = { source, counts: new SlotCounts() }));
    return remote.counts.replace(slot, count);
  }

  /** Forgets what left the window, after putting everything into slots of this length. */
  slideTo({ slot, slotMs }: WindowPosition): void {
    if (slotMs !== this.#slotMs) this.#resize(slotMs);
    this.own.slideTo(slot);
    if (this.#remotes.length === 0) return;
    let live = 0;
    for (const remote of this.#remotes) {
      remote.counts.slideTo(slot);
      if (!remote.source.dropped && !remote.counts.empty) this.#remotes[live++] = remote;
    }
    this.#remotes.length = live;
  }

  /** Makes a sum of what was used in the window, here and elsewhere. */
  readInto(sum: UsageSum): void {
    setUsage(sum, this.own.sum);
    for (const { counts } of this.#remotes) addUsage(sum, counts.sum);
  }

  /** Nothing was used in the window, and nothing is reserved. */
  get idle(): boolean {
    return this.#reserved.requests === 0 && this.own.empty && this.#remotes.length === 0;
  }

  #resize(slotMs: number): void {
    this.own.resize(this.#slotMs, slotMs);
    for (const { counts } of this.#remotes) counts.resize(this.#slotMs, slotMs);
    this.#slotMs = slotMs;
  }
}
