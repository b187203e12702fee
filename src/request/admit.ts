/** What a client is told whose request is not let in. */
import type { Admission, AdmissionResult } from '../fairness/admission.ts';
import type { LimitRefusal } from '../fairness/token-limits.ts';
import { ClientGone } from './exchange.ts';
import { Rejection } from './rejection.ts';

/**
 * The admission that a result holds.
 * @throws Rejection `rate-limited`, `queue-full`, `queue-timeout` or `shutting-down`.
 * @throws ClientGone when the client left while it waited.
 */
export function admissionOf(result: AdmissionResult): Admission {
  switch (result.kind) {
    case 'admitted':
      return result.admission;
    case 'limited':
      throw new Rejection('rate-limited', limitMessage(result.refusal), {
        retryAfterSeconds: wholeSeconds(result.refusal.retryAfterMs),
        headers: result.refusal.headers,
      });
    case 'full':
      throw new Rejection(
        'queue-full',
        result.scope === 'principal'
          ? 'Too many of your requests are waiting for this model. Please try again later.'
          : 'Too many requests are waiting for this model. Please try again later.',
        { retryAfterSeconds: wholeSeconds(result.retryAfterMs) },
      );
    case 'timeout':
      throw new Rejection(
        'queue-timeout',
        'The request waited too long for its turn. Please try again later.',
        {
          retryAfterSeconds: 1,
        },
      );
    case 'closed':
      throw new Rejection('shutting-down', 'The server is shutting down. Please try again.', {
        retryAfterSeconds: 1,
      });
    case 'left':
      throw new ClientGone();
    default:
      return result satisfies never;
  }
}

function limitMessage({ limit, what, amount, per, retryAfterMs }: LimitRefusal): string {
  const things = `${amount} ${amount === 1 ? what.replace(/s$/, '') : what}`;
  const bound = per === undefined ? things : `${things} per ${per}`;
  return `You have reached the limit "${limit}" of ${bound}. Please try again in ${wholeSeconds(retryAfterMs)} s.`;
}

function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}
