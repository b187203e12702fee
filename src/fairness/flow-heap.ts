/** The order of turns among flows: a binary heap that knows where each flow stands. */

/** What the order goes by. Whoever changes it tells the heap. */
export interface Ranked {
  /** Lower goes first. */
  priority: number;
  /** Lower goes first among equals; no two flows have the same. */
  sequence: number;
  /** Where the flow stands in the heap, which alone writes it; -1 where it does not. */
  place: number;
}

/**
 * A heap of flows. Numbers are compared, nothing is called and nothing allocated, and (priority, sequence) is a total
 * order whatever the priorities are, NaN aside.
 */
export class FlowHeap<F extends Ranked> {
  readonly #flows: F[] = [];

  get size(): number {
    return this.#flows.length;
  }

  get first(): F | undefined {
    return this.#flows[0];
  }

  /** Adds a flow that is not in the heap. */
  add(flow: F): void {
    this.#flows.push(flow);
    this.#rise(flow, this.#flows.length - 1);
  }

  /** Puts a flow of the heap where it belongs after a change of its rank. */
  moved(flow: F): void {
    this.#rise(flow, flow.place);
    this.#sink(flow, flow.place);
  }

  /** Takes out a flow of the heap. */
  remove(flow: F): void {
    const { place } = flow;
    flow.place = -1;
    const last = this.#flows.pop()!;
    if (last === flow) return;
    last.place = place;
    this.#flows[place] = last;
    this.moved(last);
  }

  /** Puts all flows where they belong after a change of all their ranks. */
  rebuild(): void {
    for (let place = (this.#flows.length >> 1) - 1; place >= 0; place--)
      this.#sink(this.#flows[place]!, place);
  }

  /** The first flows in order; it takes time in the square of `limit`, however many there are. */
  list(limit: number): F[] {
    const listed: F[] = [];
    // Whoever comes next is the child of one who was listed.
    const candidates = this.#flows.slice(0, 1);
    while (listed.length < limit && candidates.length > 0) {
      const next = candidates.reduce((best, flow) => (before(flow, best) ? flow : best));
      listed.push(next);
      const children = this.#flows.slice(2 * next.place + 1, 2 * next.place + 3);
      candidates.splice(candidates.indexOf(next), 1, ...children);
    }
    return listed;
  }

  #rise(flow: F, from: number): void {
    let place = from;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = this.#flows[above]!;
      if (!before(flow, parent)) break;
      this.#put(parent, place);
      place = above;
    }
    this.#put(flow, place);
  }

  #sink(flow: F, from: number): void {
    const flows = this.#flows;
    let place = from;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= flows.length) break;
      if (below + 1 < flows.length && before(flows[below + 1]!, flows[below]!)) below++;
      if (!before(flows[below]!, flow)) break;
      this.#put(flows[below]!, place);
      place = below;
    }
    this.#put(flow, place);
  }

  #put(flow: F, place: number): void {
    this.#flows[place] = flow;
    flow.place = place;
  }
}

function before(a: Ranked, b: Ranked): boolean {
  return a.priority < b.priority || (a.priority === b.priority && a.sequence < b.sequence);
}
