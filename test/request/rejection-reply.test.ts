import { describe, expect, it } from '@jest/globals';
import { internalRejection, rejectionReply } from '../../src/request/rejection-reply.ts';
import { Rejection, type RejectionReason } from '../../src/request/rejection.ts';

describe('rejectionReply()', () => {
  it("is OpenAI's error object with a word for Envoy's log", () => {
    const reply = rejectionReply(new Rejection('model-not-found', 'No "x".', { param: 'model' }), 'chat');
    expect(reply).toEqual({
      status: 404,
      headers: { 'content-type': 'application/json' },
      body: expect.any(String),
      details: 'sluice_model_not_found',
    });
    expect(JSON.parse(reply.body)).toEqual({
      error: { message: 'No "x".', type: 'invalid_request_error', param: 'model', code: 'model_not_found' },
    });
  });

  it.each([undefined, 'completions', 'embeddings', 'responses', 'by-model'] as const)(
    'speaks OpenAI to %s, with an explicit null for no parameter',
    (api) => {
      expect(JSON.parse(rejectionReply(new Rejection('forbidden', 'No.'), api).body)).toEqual({
        error: { message: 'No.', type: 'permission_error', param: null, code: 'forbidden' },
      });
    },
  );

  it.each<[RejectionReason, string]>([
    ['invalid-request', 'invalid_request_error'],
    ['unauthenticated', 'authentication_error'],
    ['forbidden', 'permission_error'],
    ['path-not-found', 'not_found_error'],
    ['method-not-allowed', 'invalid_request_error'],
    ['model-not-found', 'not_found_error'],
    ['body-too-large', 'request_too_large'],
    ['unsupported-encoding', 'invalid_request_error'],
    ['rate-limited', 'rate_limit_error'],
    ['saturated', 'rate_limit_error'],
    ['internal', 'api_error'],
    ['model-unavailable', 'overloaded_error'],
    ['no-endpoint-eligible', 'overloaded_error'],
    ['shutting-down', 'overloaded_error'],
    ['queue-timeout', 'overloaded_error'],
  ])('speaks Anthropic to the messages API: %s is %s', (reason, type) => {
    expect(JSON.parse(rejectionReply(new Rejection(reason, 'Why.'), 'messages').body)).toEqual({
      type: 'error',
      error: { message: 'Why.', type, param: null, code: reason.replaceAll('-', '_') },
    });
  });

  it.each([
    [1, { 'retry-after': '1' }],
    [60, { 'retry-after': '60' }],
    [61, { 'retry-after': '61', 'x-should-retry': 'false' }],
  ])('says to come back after %i s', (retryAfterSeconds, expected) => {
    const { headers } = rejectionReply(new Rejection('rate-limited', 'Wait.', { retryAfterSeconds }), 'chat');
    expect(headers).toEqual({ 'content-type': 'application/json', ...expected });
  });

  it('carries the headers of the refusal', () => {
    const rejection = new Rejection('method-not-allowed', 'No.', { headers: { allow: 'POST' } });
    expect(rejectionReply(rejection, undefined).headers).toMatchObject({ allow: 'POST' });
  });
});

describe('internalRejection()', () => {
  it('keeps the cause and says nothing of it', () => {
    const cause = new Error('password=hunter2 at /srv/file.ts');
    const rejection = internalRejection(cause);
    expect(rejection).toMatchObject({ reason: 'internal', status: 500, cause });
    const { status, headers, body, details } = rejectionReply(rejection, 'chat');
    expect(JSON.stringify([status, headers, body, details])).not.toMatch(/hunter2|file\.ts|password/);
  });
});
