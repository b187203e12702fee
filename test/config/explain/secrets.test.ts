import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { withoutSecrets } from '../../../src/config/explain/secrets.ts';
import { configForm } from '../../../src/config/json-schema.ts';

const schema = configForm(
  z.looseObject({ names: z.record(z.string(), z.string()).optional(), apiKey: z.string().optional() }),
);

describe('withoutSecrets()', () => {
  it.each([
    ['a password', { redis: { password: 'p' } }, { redis: { password: '****' } }],
    ['a client secret', { clientSecret: 's' }, { clientSecret: '****' }],
    ['a token', { authToken: 't' }, { authToken: '****' }],
    ['API keys', { apiKeys: ['a', 'b'] }, { apiKeys: '****' }],
    ['a private key', [{ private_key: 'k' }], [{ private_key: '****' }]],
    [
      'the secret members of keys',
      {
        keys: [
          { kty: 'oct', kid: 'a', k: 's' },
          { kty: 'RSA', n: 'public', d: 's', oth: [{ r: 's' }] },
        ],
      },
      {
        keys: [
          { kty: 'oct', kid: 'a', k: '****' },
          { kty: 'RSA', n: 'public', d: '****', oth: '****' },
        ],
      },
    ],
    ['users of URLs', 'redis://me:secret@host:1/0', 'redis://****@host:1/0'],
    ['query parameters of URLs', 'https://h/jwks?a=1&api_key=s#x', 'https://h/jwks?a=1&api_key=****#x'],
  ])('masks %s', (_, value, expected) => {
    expect(withoutSecrets(value)).toEqual(expected);
  });

  it('masks fields of a schema as well', () => {
    expect(withoutSecrets({ apiKey: 'x', names: { token: 'm' } }, schema)).toEqual({
      apiKey: '****',
      names: { token: 'm' },
    });
  });

  it.each([
    ['weights of tokens', { inputTokenWeight: 2, maxTokens: 5 }],
    ['switches', { token: true, forwardToken: false, password: '' }],
    ['where keys are', { jwksUri: 'https://issuer.example/jwks.json?v=1', secretFile: '/run/secrets/x' }],
    ['mail addresses', { subject: 'someone@example.com' }],
    ['fields that are called like members of keys', { k: 5, d: 'x' }],
    ['nothing at all', null],
    ['names that users gave', { names: { 'my-token': 'llama' } }],
  ])('leaves %s', (_, value) => {
    expect(withoutSecrets(value, schema)).toEqual(value);
  });
});
