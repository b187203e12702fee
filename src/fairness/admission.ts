/**
 * Admission: token limits first, then the caller's turn. What a request is expected to use is set aside meanwhile, in
 * limits, ledger and queue alike, and made what it really used at the end.
 */
import type { Endpoint } from '../endpoints/endpoint.ts';
import type { Caller } from './caller.ts';
import type { Ledger, Reservation, Spent } from './ledger.ts';
import type { ModelQueues } from './model-queues.ts';
import type { LeaveReason, Turn } from './fair-queue.ts';
import type { TokenCount } from './token-count.ts';
import type { TokenEstimates } from './token-estimates.ts';
import type { LimitHold, LimitRefusal, TokenLimits } from './token-limits.ts';

/** A request that asks to be sent to an engine. */
export interface Arrival {
  /** Unguessable and its own. */
  readonly id: string;
  readonly caller: Caller;
  /** Of the caller, as a share: more than 0. */
  readonly weight: number;
  /** As engines know it. */
  readonly model: string;
  readonly promptBytes: number;
  /** How much of it has to be kept while it waits. */
  readonly keptBytes: number;
  readonly stream: boolean;
  /** Most output tokens of all answers together, where the client said so. */
  readonly maxOutputTokens: number | undefined;
  /** The session that may be boosted. */
  readonly sessionKey: string | undefined;
}

/** What was seen of the response to a request that was sent. */
export interface Seen {
  /** As the engine counted. */
  readonly usage: TokenCount | undefined;
  /** Whether an engine began to answer with a success. */
  readonly answered: boolean;
  /** Whether the response is text that was generated. */
  readonly generated: boolean;
  /** Events with output, where they were counted. */
  readonly outputChunks: number | undefined;
  readonly responseBytes: number | undefined;
  /** Whether the response reached its own end. */
  readonly completed: boolean;
}

/**
 * A request that was let in. Call `started` and `tried` or not, then `ended` and `settle`; of these three every call but
 * the first does nothing.
 */
export interface Admission {
  /** Headers of the response that say what is left of the caller's limits. */
  readonly headers: Readonly<Record<string, string>>;
  /** Which of the endpoints it may be sent to: those with room for it. */
  candidates(endpoints: readonly Endpoint[]): readonly Endpoint[];
  /** It holds its place in flight: the next request may be looked at. */
  started(): void;
  /** It was sent to an endpoint, which answered it or let it down; of each that was tried. */
  tried(endpoint: Endpoint, answered: boolean): void;
  /** It is in flight no longer. What it used may not be known yet. */
  ended(): void;
  /** Charges what it used, and says what that is. Undefined: it was never sent, and costs nothing. */
  settle(seen: Seen | undefined): Spent | undefined;
}

export type AdmissionResult =
  | { readonly kind: 'admitted'; readonly admission: Admission }
  | { readonly kind: 'limited'; readonly refusal: LimitRefusal }
  | { readonly kind: 'full'; readonly scope: 'queue' | 'principal'; readonly retryAfterMs: number }
  | { readonly kind: LeaveReason };

export interface Admit {
  /**
   * Lets a request in, at once or when its turn has come. `onWait` is called when it has to wait, and returns the signal
   * that makes it leave.
   */
  admit(arrival: Arrival, onWait: () => AbortSignal): AdmissionResult | Promise<AdmissionResult>;
}

export interface AdmissionDeps {
  readonly ledger: Ledger;
  readonly estimates: TokenEstimates;
  readonly limits: TokenLimits;
  readonly queues: ModelQueues;
}

export function createAdmission({ ledger, estimates, limits, queues }: AdmissionDeps): Admit {
  /** Lets in what has passed the limits, as soon as it is its turn. */
  function takeTurn(
    arrival: Arrival,
    expected: TokenCount,
    hold: LimitHold | undefined,
    onWait: () => AbortSignal,
  ): AdmissionResult | Promise<AdmissionResult> {
    const { caller, model } = arrival;
    let reservation: Reservation | undefined;
    // In the tick of the release, so that whoever is looked at next sees it.
    const reserve = (): void => void (reservation = ledger.reserve(caller.id, model, expected));
    const joined = queues.join(arrival, expected, reserve, onWait);
    if (joined === undefined) {
      reserve();
      return admitted(undefined);
    }
    switch (joined.kind) {
      case 'turn':
        return admitted(joined.turn);
      case 'full':
        hold?.cancel();
        return joined;
      case 'waiting':
        return joined.settled.then((end) => {
          if (end.kind === 'turn') return admitted(end.turn);
          hold?.cancel();
          return end;
        });
      default:
        return joined satisfies never;
    }

    function admitted(turn: Turn | undefined): AdmissionResult {
      return { kind: 'admitted', admission: createAdmitted(turn) };
    }

    function createAdmitted(turn: Turn | undefined): Admission {
      return {
        headers: hold?.headers ?? noHeaders,
        candidates: (endpoints) => (turn === undefined ? endpoints : queues.withRoom(endpoints)),
        started: () => turn?.started(),
        tried: (endpoint, answered) => queues.onTried(endpoint, answered),
        ended() {
          turn?.end();
          hold?.release();
          queues.freed();
        },
        settle(seen) {
          const spent = seen && spentBy(arrival, seen, expected, estimates);
          reservation?.settle(spent);
          turn?.charge(spent);
          if (seen === undefined) hold?.cancel();
          else hold?.settle(spent);
          if (seen?.usage !== undefined && seen.completed) {
            const { promptBytes, stream } = arrival;
            estimates.learn(caller.id, model, {
              promptBytes,
              stream,
              responseBytes: seen.generated ? seen.responseBytes : undefined,
              usage: seen.usage,
            });
          }
          return spent;
        },
      };
    }
  }

  return {
    admit(arrival, onWait) {
      const { caller, model, promptBytes, maxOutputTokens } = arrival;
      const expected: TokenCount = {
        inputTokens: estimates.input(model, promptBytes),
        cachedInputTokens: 0,
        outputTokens: estimates.output(caller.id, model, maxOutputTokens),
      };
      const taken = limits.take(caller, model, {
        inputTokens: expected.inputTokens,
        // All that it may become: what many requests at once are expected to use could pass a limit together.
        outputTokens: maxOutputTokens ?? expected.outputTokens,
      });
      if (taken === undefined) return takeTurn(arrival, expected, undefined, onWait);
      if (!(taken instanceof Promise)) return afterLimits(taken);
      return taken.then(afterLimits);

      function afterLimits(result: Awaited<typeof taken>): AdmissionResult | Promise<AdmissionResult> {
        if (result?.kind === 'refused') return { kind: 'limited', refusal: result };
        return takeTurn(arrival, expected, result?.hold, onWait);
      }
    },
  };
}

const noHeaders: Readonly<Record<string, string>> = {};

/** What a request that was sent has used: what the engine says, else what can be told from the response. */
function spentBy(
  { model, stream }: Arrival,
  { usage, answered, generated, outputChunks, responseBytes, completed }: Seen,
  expected: TokenCount,
  estimates: TokenEstimates,
): Spent | undefined {
  // The last account of a stream that broke off is not all of it.
  if (usage !== undefined) return { ...usage, estimated: !completed };
  // An engine that never began, or refused, has computed nothing.
  if (!answered) return undefined;
  const outputTokens = !generated
    ? 0
    : (outputChunks ??
      (responseBytes === undefined
        ? expected.outputTokens
        : estimates.outputOfBytes(model, stream, responseBytes)));
  return { inputTokens: expected.inputTokens, cachedInputTokens: 0, outputTokens, estimated: true };
}
