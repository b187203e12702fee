/** Faults that tests and demonstrations switch on: what each does, and for which requests. */
import { z } from 'zod';
import { seededRandom } from './random.ts';

/** Which requests a fault strikes: a share of them, and only so many in all. */
const aim = { rate: z.number().min(0).max(1).default(1), count: z.int().positive().optional() };

/** The body of `POST /sim/faults`. */
export const faultSchema = z.discriminatedUnion('mode', [
  z.strictObject({ mode: z.literal('none') }),
  /** `engine`: requests are accepted and never get a token. `http`: nothing but `/sim` is answered. */
  z.strictObject({ mode: z.literal('hang'), scope: z.enum(['engine', 'http']).default('engine') }),
  z.strictObject({ mode: z.literal('error-500'), ...aim }),
  /** Inference and `/health` answer 503, as vLLM does once its engine has died. */
  z.strictObject({ mode: z.literal('unavailable-503'), ...aim }),
  /** Steps take `factor` times as long. */
  z.strictObject({ mode: z.literal('slow'), factor: z.number().positive().default(10) }),
  /** The connection is destroyed once `afterTokens` tokens were generated. */
  z.strictObject({
    mode: z.literal('drop-mid-stream'),
    afterTokens: z.int().nonnegative().default(3),
    ...aim,
  }),
  /** The connection is destroyed before anything is answered. */
  z.strictObject({ mode: z.literal('reset'), ...aim }),
  z.strictObject({ mode: z.literal('stale-metrics') }),
  z.strictObject({ mode: z.literal('hang-metrics') }),
  /** The port refuses connections, for so many real milliseconds; existing connections are destroyed. */
  z.strictObject({ mode: z.literal('refuse'), forMs: z.int().positive().default(1000) }),
]);

export type Fault = Readonly<z.infer<typeof faultSchema>>;

/** A fault as it is written: fields with defaults may be left out. */
export type FaultInput = Readonly<z.input<typeof faultSchema>>;

/** The fault in force, and who waits for it to end. */
export class Faults {
  readonly #random: () => number;
  #fault: Fault = { mode: 'none' };
  #struck = 0;
  #held: (() => void)[] = [];

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  get current(): Fault {
    return this.#fault;
  }

  /** Puts a fault in force in place of the last; whatever the last one held back goes on. */
  set(fault: Fault): void {
    this.#fault = fault;
    this.#struck = 0;
    const held = this.#held;
    this.#held = [];
    for (const release of held) release();
  }

  /** Whether the fault in force is of this mode and strikes this request; asked once for each request. */
  strikes(mode: 'error-500' | 'unavailable-503' | 'drop-mid-stream' | 'reset'): boolean {
    const fault = this.#fault;
    if (fault.mode !== mode || this.#struck >= (fault.count ?? Infinity)) return false;
    if (fault.rate < 1 && this.#random() >= fault.rate) return false;
    this.#struck++;
    return true;
  }

  /** Ends when the fault in force is replaced. */
  replaced(): Promise<void> {
    return new Promise((resolve) => this.#held.push(resolve));
  }
}
