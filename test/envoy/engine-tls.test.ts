import { describe, expect, it } from '@jest/globals';
import { engineTls } from '../../src/envoy/engine-tls.ts';

describe('engineTls()', () => {
  it('takes the file of authorities that was named', () => {
    expect(engineTls({ caFile: '/my/ca.pem' })).toEqual({ kind: 'verify', caFile: '/my/ca.pem' });
  });

  it('believes every certificate only when it was told to', () => {
    expect(engineTls({ caFile: '/my/ca.pem', insecureSkipVerify: true })).toEqual({ kind: 'insecure' });
    expect(engineTls().kind).toBe('verify');
  });
});
