import { describe, expect, it } from '@jest/globals';
import { Rejection, type RejectionReason } from '../../src/request/rejection.ts';

/** The whole list: what clients and dashboards rely on. */
const cases: readonly [RejectionReason, number, string, string][] = [
  ['invalid-request', 400, 'invalid_request_error', 'invalid_request'],
  ['unauthenticated', 401, 'authentication_error', 'unauthenticated'],
  ['forbidden', 403, 'permission_error', 'forbidden'],
  ['path-not-found', 404, 'invalid_request_error', 'path_not_found'],
  ['method-not-allowed', 405, 'invalid_request_error', 'method_not_allowed'],
  ['model-not-found', 404, 'invalid_request_error', 'model_not_found'],
  ['body-too-large', 413, 'invalid_request_error', 'body_too_large'],
  ['unsupported-encoding', 415, 'invalid_request_error', 'unsupported_encoding'],
  ['rate-limited', 429, 'rate_limit_error', 'rate_limited'],
  ['saturated', 429, 'overloaded_error', 'saturated'],
  ['internal', 500, 'server_error', 'internal'],
  ['model-unavailable', 503, 'overloaded_error', 'model_unavailable'],
  ['no-endpoint-eligible', 503, 'overloaded_error', 'no_endpoint_eligible'],
  ['shutting-down', 503, 'overloaded_error', 'shutting_down'],
  ['queue-timeout', 504, 'timeout_error', 'queue_timeout'],
];

describe('Rejection', () => {
  it.each(cases)('%s is a %i %s with code %s', (reason, status, type, code) => {
    const { status: itsStatus, type: itsType, code: itsCode } = new Rejection(reason, 'why');
    expect([itsStatus, itsType, itsCode]).toEqual([status, type, code]);
  });

  it('keeps its details, and its cause as an Error does', () => {
    const cause = new Error('underneath');
    const rejection = new Rejection('rate-limited', 'Too many tokens.', {
      param: 'max_tokens',
      retryAfterSeconds: 7,
      headers: { allow: 'GET' },
      cause,
    });
    expect(rejection).toBeInstanceOf(Error);
    expect(rejection).toMatchObject({
      name: 'Rejection',
      message: 'Too many tokens.',
      param: 'max_tokens',
      retryAfterSeconds: 7,
      headers: { allow: 'GET' },
      cause,
    });
  });

  it('has no details where none are given', () => {
    const { param, retryAfterSeconds, headers, cause } = new Rejection('internal', 'why');
    expect([param, retryAfterSeconds, headers, cause]).toEqual([undefined, undefined, {}, undefined]);
  });
});
