import { describe, expect, it } from '@jest/globals';
import type { AdmissionResult } from '../../src/fairness/admission.ts';
import { admissionOf } from '../../src/request/admit.ts';
import { ClientGone } from '../../src/request/exchange.ts';
import { Rejection } from '../../src/request/rejection.ts';
import { rejectionReply } from '../../src/request/rejection-reply.ts';
import { Admissions } from '../support/admissions.ts';

function refusal(result: AdmissionResult): Rejection {
  try {
    admissionOf(result);
  } catch (error) {
    if (error instanceof Rejection) return error;
    throw error;
  }
  throw new Error('let in');
}

describe('admissionOf()', () => {
  it('is the admission of whoever is let in', () => {
    const result = new Admissions().letIn();
    expect(result.kind === 'admitted' && admissionOf(result) === result.admission).toBe(true);
  });

  it.each([
    [{ kind: 'full', scope: 'queue', retryAfterMs: 2500 }, 429, 'queue_full', '3'],
    [{ kind: 'full', scope: 'principal', retryAfterMs: 10 }, 429, 'queue_full', '1'],
    [{ kind: 'timeout' }, 504, 'queue_timeout', '1'],
    [{ kind: 'closed' }, 503, 'shutting_down', '1'],
  ] as const)('says in HTTP why %j is refused', (result, status, code, retryAfter) => {
    const reply = rejectionReply(refusal(result), 'chat');
    expect([reply.status, reply.headers['retry-after']]).toEqual([status, retryAfter]);
    expect(JSON.parse(reply.body)).toMatchObject({ error: { code } });
  });

  it('says whose requests are too many', () => {
    expect(refusal({ kind: 'full', scope: 'principal', retryAfterMs: 0 }).message).toContain('your requests');
    expect(refusal({ kind: 'full', scope: 'queue', retryAfterMs: 0 }).message).not.toContain('your');
  });

  it.each([
    [
      { what: 'input tokens', amount: 1000, per: 'minute', retryAfterMs: 1500 },
      'You have reached the limit "free" of 1000 input tokens per minute. Please try again in 2 s.',
    ],
    [
      { what: 'requests', amount: 1, per: 'day', retryAfterMs: 3_600_000 },
      'You have reached the limit "free" of 1 request per day. Please try again in 3600 s.',
    ],
    [
      { what: 'concurrent requests', amount: 4, per: undefined, retryAfterMs: 1000 },
      'You have reached the limit "free" of 4 concurrent requests. Please try again in 1 s.',
    ],
  ] as const)('names the limit that is reached: %j', (known, message) => {
    const headers = { 'x-ratelimit-remaining-tokens': '0' };
    const rejection = refusal({
      kind: 'limited',
      refusal: { kind: 'refused', limit: 'free', headers, ...known },
    });
    expect(rejection.message).toBe(message);
    expect(rejectionReply(rejection, 'chat').headers).toMatchObject(headers);
  });

  it('tells SDKs not to retry by themselves what takes more than a minute', () => {
    const long = { limit: 'free', what: 'requests', amount: 5, per: 'day', retryAfterMs: 60_001 } as const;
    const reply = rejectionReply(
      refusal({ kind: 'limited', refusal: { kind: 'refused', headers: {}, ...long } }),
      'chat',
    );
    expect(reply.headers).toMatchObject({ 'retry-after': '61', 'x-should-retry': 'false' });
  });

  it('has nobody to tell when the client left', () => {
    expect(() => admissionOf({ kind: 'left' })).toThrow(ClientGone);
  });
});
