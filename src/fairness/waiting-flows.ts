/** Who waits, in two orders: of arrival, and of turns as a policy has it. */
import { LinkedList, type ListNode } from '../lib/linked-list.ts';
import { FlowHeap, type Ranked } from './flow-heap.ts';
import type { TurnPolicy } from './turn-policy.ts';

/** Somebody's place among those who wait. */
export interface Place<T> {
  readonly value: T;
  readonly flow: Flow<T>;
  /** Places are numbered by arrival. */
  readonly sequence: number;
  /** Where it stands in its flow and among all; undefined for a moment, while it is made. */
  inFlow: ListNode<Place<T>> | undefined;
  inLine: ListNode<Place<T>> | undefined;
}

/** A flow with somebody waiting. Its `sequence` is that of its first place. */
export interface Flow<T> extends Ranked {
  readonly name: string;
  readonly weight: number;
  readonly places: LinkedList<Place<T>>;
}

/**
 * Holds everybody who waits, first come first served within a flow, and keeps the policy told of who does. To add, remove
 * or find the next takes time in the logarithm of the number of flows; a new epoch of the policy takes a look at each.
 */
export class WaitingFlows<T> {
  readonly #flows = new Map<string, Flow<T>>();
  readonly #heap = new FlowHeap<Flow<T>>();
  readonly #line = new LinkedList<Place<T>>();
  #sequence = 0;
  #policy: TurnPolicy;
  #epoch: number;

  constructor(policy: TurnPolicy) {
    this.#policy = policy;
    this.#epoch = policy.epoch();
  }

  /** How many wait, of all flows. */
  get size(): number {
    return this.#line.size;
  }

  /** How many flows they are of. */
  get flows(): number {
    return this.#heap.size;
  }

  /** How many of a flow wait. */
  sizeOf(flow: string): number {
    return this.#flows.get(flow)?.places.size ?? 0;
  }

  /** Everybody, who waits longest first; nobody may come or go meanwhile. */
  places(): Iterable<Place<T>> {
    return this.#line;
  }

  /** Who waits longest. */
  get oldest(): Place<T> | undefined {
    return this.#line.first;
  }

  /** Whose turn it is. */
  get next(): Place<T> | undefined {
    const epoch = this.#policy.epoch();
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.reorder();
    }
    return this.#heap.first?.places.first;
  }

  /** The priority of the flow whose turn it is. */
  get leastPriority(): number | undefined {
    return this.#heap.first?.priority;
  }

  /** Adds somebody at the end of the line. */
  add(name: string, weight: number, value: T): Place<T> {
    const sequence = this.#sequence++;
    let flow = this.#flows.get(name);
    if (flow === undefined) {
      flow = { name, weight, places: new LinkedList(), priority: 0, sequence, place: -1 };
      this.#flows.set(name, flow);
      this.#activate(flow);
    }
    const place: Place<T> = { value, flow, sequence, inFlow: undefined, inLine: undefined };
    place.inFlow = flow.places.append(place);
    place.inLine = this.#line.append(place);
    return place;
  }

  /** Takes out somebody who is in it. */
  remove({ flow, inFlow, inLine }: Place<T>): void {
    flow.places.remove(inFlow!);
    this.#line.remove(inLine!);
    const { first } = flow.places;
    if (first !== undefined) {
      flow.sequence = first.sequence;
      this.#rank(flow);
      return;
    }
    this.#heap.remove(flow);
    this.#flows.delete(flow.name);
    this.#policy.deactivated?.(flow.name);
  }

  /** Puts a flow where it belongs after its priority may have changed. */
  reorderFlow(name: string): void {
    const flow = this.#flows.get(name);
    if (flow !== undefined) this.#rank(flow);
  }

  /** Puts all flows where they belong after all priorities may have changed. */
  reorder(): void {
    for (const flow of this.#flows.values()) flow.priority = this.#policy.priority(flow.name);
    this.#heap.rebuild();
  }

  /** Goes by another policy from now on, which is told of the flows in the order in which they began to wait. */
  follow(policy: TurnPolicy): void {
    for (const flow of this.#flows.values()) {
      this.#heap.remove(flow);
      this.#policy.deactivated?.(flow.name);
    }
    this.#policy = policy;
    this.#epoch = policy.epoch();
    for (const flow of this.#flows.values()) this.#activate(flow);
  }

  /** The first flows in the order of turns. */
  list(limit: number): readonly Flow<T>[] {
    return this.#heap.list(limit);
  }

  #activate(flow: Flow<T>): void {
    this.#policy.activated(flow.name, flow.weight, this.leastPriority);
    flow.priority = this.#policy.priority(flow.name);
    this.#heap.add(flow);
  }

  #rank(flow: Flow<T>): void {
    flow.priority = this.#policy.priority(flow.name);
    this.#heap.moved(flow);
  }
}
