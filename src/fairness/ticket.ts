/** The right to be in flight: taken on admission, settled once, at the end of the exchange, whatever the end was. */
import type { Endpoint } from '../endpoints/endpoint.ts';

/**
 * Holds at most one reservation on one endpoint. In flight moves here and nowhere else, so it is back where it was once
 * every ticket is settled.
 */
export class Ticket {
  readonly #onSettled: (() => void) | undefined;
  #routedTo: Endpoint | undefined;
  #holder: Endpoint | undefined;
  #settled = false;

  /** `onSettled` gives back what admission took; it is called once. */
  constructor(onSettled?: () => void) {
    this.#onSettled = onSettled;
  }

  /** Where the request was sent to by the last decision. */
  get routedTo(): Endpoint | undefined {
    return this.#routedTo;
  }

  /** On whom the reservation is now; undefined before routing and after settling. */
  get holder(): Endpoint | undefined {
    return this.#holder;
  }

  get settled(): boolean {
    return this.#settled;
  }

  /** Reserves on the endpoint of a decision, in the tick of the decision. False, and nothing done, once settled. */
  routeTo(endpoint: Endpoint): boolean {
    if (!this.#hold(endpoint)) return false;
    this.#routedTo = endpoint;
    return true;
  }

  /** Moves the reservation to who really serves. False, and nothing done, once settled. */
  servedBy(endpoint: Endpoint): boolean {
    return this.#hold(endpoint);
  }

  /** Gives everything back. True for the first call only: who gets it does the accounting. */
  settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    if (this.#holder !== undefined) this.#holder.inFlight--;
    this.#holder = undefined;
    this.#onSettled?.();
    return true;
  }

  #hold(endpoint: Endpoint): boolean {
    if (this.#settled) return false;
    if (endpoint === this.#holder) return true;
    if (this.#holder !== undefined) this.#holder.inFlight--;
    endpoint.inFlight++;
    this.#holder = endpoint;
    return true;
  }
}
