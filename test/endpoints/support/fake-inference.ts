/** Engines as a check meets them: every request waits until the test answers it. */
import type { Endpoint } from '../../../src/endpoints/endpoint.ts';
import type { InferenceAnswer, InferenceCall, SendInference } from '../../../src/endpoints/send-inference.ts';

export interface OpenCall extends InferenceCall {
  /** `address model`. */
  readonly to: string;
  readonly signal: AbortSignal;
  /** Ends the call with a status or, given a text, without an answer. */
  answer(outcome: number | string): Promise<void>;
}

export class FakeInference {
  /** Not answered yet, oldest first. */
  readonly open: OpenCall[] = [];
  /** Every request ever sent, as `address model`. */
  readonly sent: string[] = [];

  /** Aborted calls end by themselves. */
  readonly send: SendInference = (call, signal) =>
    new Promise((resolve) => {
      const to = `${call.endpoint.address} ${modelOf(call)}`;
      const end = (outcome: InferenceAnswer): Promise<void> => {
        const at = this.open.indexOf(open);
        if (at !== -1) this.open.splice(at, 1);
        resolve(outcome);
        return settled();
      };
      const open: OpenCall = {
        ...call,
        to,
        signal,
        answer: (outcome) =>
          end(
            typeof outcome === 'number'
              ? { kind: 'answer', status: outcome }
              : { kind: 'failed', reason: outcome },
          ),
      };
      this.sent.push(to);
      this.open.push(open);
      signal.addEventListener('abort', () => void end({ kind: 'failed', reason: 'aborted' }));
    });

  /** Answers the oldest open call; rejects where there is none. */
  async answer(outcome: number | string): Promise<void> {
    const [call] = this.open;
    if (call === undefined) throw new Error('nothing was asked');
    await call.answer(outcome);
  }

  /** Answers what is open and what follows from it at once. */
  async answerAll(outcome: number | string): Promise<void> {
    while (this.open.length > 0) await this.answer(outcome);
  }

  callTo(endpoint: Endpoint): OpenCall {
    const call = this.open.find((open) => open.endpoint === endpoint);
    if (call === undefined) throw new Error(`nothing is asked of ${endpoint.id}`);
    return call;
  }
}

/** Lets promise callbacks run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function modelOf({ request }: InferenceCall): string {
  const { model } = JSON.parse(request.body.toString()) as { readonly model: string };
  return model;
}
