import { describe, expect, it } from '@jest/globals';
import { refused, type RefusalReason } from '../../src/auth/auth-result.ts';

describe('refused()', () => {
  it('says only that a token is needed where there was none', () => {
    expect(refused('missing')).toEqual({
      kind: 'unauthenticated',
      reason: 'missing',
      message: 'An access token is required.',
      headers: { 'www-authenticate': 'Bearer realm="sluice"' },
      retryAfterSeconds: undefined,
    });
  });

  it.each<[RefusalReason, string]>([
    ['malformed', 'invalid_token'],
    ['conflict', 'invalid_request'],
    ['too-large', 'invalid_token'],
    ['unknown-issuer', 'invalid_token'],
    ['algorithm-refused', 'invalid_token'],
    ['unknown-key', 'invalid_token'],
    ['bad-signature', 'invalid_token'],
    ['wrong-audience', 'invalid_token'],
    ['expired', 'invalid_token'],
    ['not-yet-valid', 'invalid_token'],
    ['claim-missing', 'invalid_token'],
  ])('challenges with the error of RFC 6750: %s is %s', (reason, error) => {
    const { kind, message, headers } = refused(reason);
    expect(kind).toBe('unauthenticated');
    expect(headers).toEqual({
      'www-authenticate': `Bearer realm="sluice", error="${error}", error_description="${message}"`,
    });
  });

  it('does not tell an outsider what would be accepted', () => {
    const reasons = [
      'unknown-issuer',
      'algorithm-refused',
      'unknown-key',
      'bad-signature',
      'wrong-audience',
    ] as const;
    expect(new Set(reasons.map((reason) => refused(reason).message)).size).toBe(1);
  });

  it('forbids where the token is good and its holder not let in', () => {
    expect(refused('claim-refused')).toMatchObject({
      kind: 'forbidden',
      headers: { 'www-authenticate': expect.stringContaining('error="insufficient_scope"') },
    });
  });

  it('asks to try again where it is not the token', () => {
    expect(refused('no-keys')).toMatchObject({ kind: 'unavailable', headers: {}, retryAfterSeconds: 2 });
  });
});
