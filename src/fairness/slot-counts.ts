/** What was used in each slot of a sliding window, in memory for the slots that had any use. */
import { slotsPerWindow } from './slot-clock.ts';
import type { TokenCount } from './token-count.ts';

/** Tokens and requests together. */
export interface UsageCount extends TokenCount {
  readonly requests: number;
  /** How many of the input and output tokens no engine counted. */
  readonly estimatedTokens: number;
}

/** A sum in the making. */
export type UsageSum = { -readonly [K in keyof UsageCount]: UsageCount[K] };

/** What was used in one slot. */
export interface SlotUsage extends UsageCount {
  readonly slot: number;
}

type SlotSum = { -readonly [K in keyof SlotUsage]: SlotUsage[K] };

/** A sum of nothing. */
export function noUsage(): UsageSum {
  return { inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, requests: 0, estimatedTokens: 0 };
}

/** Adds to a sum, or with a `sign` of -1 takes away from it. */
export function addUsage(sum: UsageSum, count: UsageCount, sign: 1 | -1 = 1): void {
  sum.inputTokens += sign * count.inputTokens;
  sum.cachedInputTokens += sign * count.cachedInputTokens;
  sum.outputTokens += sign * count.outputTokens;
  sum.requests += sign * count.requests;
  sum.estimatedTokens += sign * count.estimatedTokens;
}

/** Makes a sum the same as a count. */
export function setUsage(sum: UsageSum, count: UsageCount): void {
  sum.inputTokens = count.inputTokens;
  sum.cachedInputTokens = count.cachedInputTokens;
  sum.outputTokens = count.outputTokens;
  sum.requests = count.requests;
  sum.estimatedTokens = count.estimatedTokens;
}

/** Whether a slot belongs to the window at `now`, or may: wall clocks of replicas differ, and are set. */
export function isInWindow(slot: number, now: number): boolean {
  return slot >= now - slotsPerWindow && slot <= now + slotsPerWindow;
}

/**
 * Sums over a sliding window: the slot under way and the 60 before it, so that what is added counts for `windowMs` to
 * `windowMs * 61 / 60`. Call `slideTo` before reading.
 */
export class SlotCounts {
  /** The sum over all slots of the window. */
  readonly sum: UsageCount;
  readonly #sum = noUsage();
  /** In ascending order of slots. */
  #slots: SlotSum[] = [];

  constructor() {
    this.sum = this.#sum;
  }

  get empty(): boolean {
    return this.#slots.length === 0;
  }

  add(slot: number, count: UsageCount): void {
    addUsage(this.#at(slot), count);
    addUsage(this.#sum, count);
  }

  /** Makes this the use of a slot, and returns what the slot had before. */
  replace(slot: number, count: UsageCount): UsageCount {
    const current = this.#at(slot);
    const before: UsageCount = { ...current };
    addUsage(current, before, -1);
    addUsage(this.#sum, before, -1);
    addUsage(current, count);
    addUsage(this.#sum, count);
    return before;
  }

  /**
   * Forgets what left the window, and what is more than a window ahead: the wall clock was set back, and it would stay for
   * as long as that.
   */
  slideTo(slot: number): void {
    const slots = this.#slots;
    if (slots.length === 0) return;
    if (isInWindow(slots[0]!.slot, slot) && isInWindow(slots.at(-1)!.slot, slot)) return;
    while (slots.length > 0 && !isInWindow(slots[0]!.slot, slot)) addUsage(this.#sum, slots.shift()!, -1);
    while (slots.length > 0 && !isInWindow(slots.at(-1)!.slot, slot)) addUsage(this.#sum, slots.pop()!, -1);
    // Counts too large to be exact leave nothing behind.
    if (slots.length === 0) setUsage(this.#sum, noUsage());
  }

  /** What was used in this slot and in later ones. They change with the next call of another method: copy them. */
  since(slot: number): readonly SlotUsage[] {
    return this.#slots.filter((known) => known.slot >= slot);
  }

  /**
   * Puts all into slots of another length. What was in an old slot counts as if it had happened at its end, so it stays
   * for at least the new window, and every replica that knows the same puts it into the same slots.
   */
  resize(slotMs: number, newSlotMs: number): void {
    const known = this.#slots;
    this.#slots = [];
    for (const usage of known) {
      const slot = Math.ceil(((usage.slot + 1) * slotMs) / newSlotMs) - 1;
      addUsage(this.#at(slot), usage);
    }
  }

  #at(slot: number): SlotSum {
    const slots = this.#slots;
    let index = slots.length;
    while (index > 0 && slots[index - 1]!.slot > slot) index--;
    const known = slots[index - 1];
    if (known?.slot === slot) return known;
    const added: SlotSum = { slot, ...noUsage() };
    slots.splice(index, 0, added);
    return added;
  }
}
