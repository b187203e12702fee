import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { asymmetricAlgorithms } from '../../../src/auth/algorithms.ts';
import { createAuthenticator } from '../../../src/auth/authenticate.ts';
import { authNotes, authSection } from '../../../src/config/sections/auth.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { sectionFaults } from './section-faults.ts';

const faultsOf = (section: unknown): string[] => sectionFaults(authSection, section);

const jwksUri = 'https://issuer.example/jwks.json';
const one = { issuer: 'https://issuer.example', jwksUri };
const jwk = { kty: 'EC', crv: 'P-256', x: 'AAAA', y: 'AAAA', kid: 'k' };

describe('authSection', () => {
  it('asks nobody for a token where nothing is written', () => {
    expect(authSection.parse({})).toEqual({
      providers: [],
      headers: ['authorization', 'x-api-key'],
      maxTokenBytes: 16_384,
      exempt: ['/health', '/healthz', '/livez', '/readyz'],
      clockToleranceMs: 60_000,
      keys: {
        refreshIntervalMs: 600_000,
        fetchTimeoutMs: 5000,
        refetchCooldownMs: 10_000,
        maxOutageMs: 86_400_000,
      },
      cache: { maxTokens: 10_000, maxBytes: 67_108_864 },
      envoyPayload: undefined,
      forwardToken: false,
      anonymous: { by: 'shared' },
      models: undefined,
    });
  });

  it("reads Kthena's form", () => {
    const section = {
      issuer: 'testing@secure.istio.io',
      audiences: ['kthena.io'],
      jwksUri:
        'https://raw.githubusercontent.com/istio/istio/release-1.27/security/tools/jwt/samples/jwks.json',
    };
    expect(authSection.parse(section).providers).toEqual([
      {
        issuer: 'testing@secure.istio.io',
        audiences: ['kthena.io'],
        jwks: { kind: 'uri', uri: section.jwksUri },
        algorithms: asymmetricAlgorithms,
        principal: { subject: 'sub', groups: 'groups', groupPrefix: '', tier: undefined },
        requiredClaims: [],
      },
    ]);
  });

  it('reads a provider the same at the top and in the list', () => {
    const full = {
      ...one,
      audiences: ['a'],
      algorithms: ['RS256', 'HS256'],
      subjectClaim: 'email',
      groupsClaim: 'realm_access.roles',
      groupPrefix: 'kc:',
      tierClaim: 'plan',
      requiredClaims: [{ claim: 'scope', values: ['llm', 1, true] }, { claim: 'org' }],
    };
    const provider = {
      issuer: one.issuer,
      audiences: ['a'],
      jwks: { kind: 'uri', uri: jwksUri },
      algorithms: ['RS256', 'HS256'],
      principal: { subject: 'email', groups: 'realm_access.roles', groupPrefix: 'kc:', tier: 'plan' },
      requiredClaims: [
        { claim: 'scope', values: ['llm', 1, true] },
        { claim: 'org', values: [] },
      ],
    };
    expect(authSection.parse(full).providers).toEqual([provider]);
    expect(authSection.parse({ providers: [full] }).providers).toEqual([provider]);
    expect(authSection.parse({ providers: [one] }).providers).toEqual(authSection.parse(one).providers);
  });

  it('reads the rest in its units', () => {
    const parsed = authSection.parse({
      providers: [
        { issuer: 'a', jwksUri: 'file:///etc/sluice/jwks.json' },
        { issuer: 'b', jwks: { keys: [jwk] } },
      ],
      headers: ['Authorization', 'X-Token'],
      maxTokenBytes: '8KiB',
      clockTolerance: 0,
      exempt: ['/ping', '/public/*'],
      keys: { refreshInterval: '1m', fetchTimeout: '1s', refetchCooldown: '2s', maxOutage: '1h' },
      cache: { maxTokens: 5, maxBytes: '1MiB' },
      envoyPayload: 'payload',
      forwardToken: true,
      models: { research: ['llama-3', 'qwen-*'], '*': ['small'], admins: ['*'] },
    });
    expect(parsed).toMatchObject({
      providers: [
        { issuer: 'a', jwks: { kind: 'uri', uri: 'file:///etc/sluice/jwks.json' } },
        { issuer: 'b', jwks: { kind: 'inline', jwks: { keys: [jwk] } } },
      ],
      headers: ['authorization', 'x-token'],
      maxTokenBytes: 8192,
      clockToleranceMs: 0,
      exempt: ['/ping', '/public/*'],
      keys: {
        refreshIntervalMs: 60_000,
        fetchTimeoutMs: 1000,
        refetchCooldownMs: 2000,
        maxOutageMs: 3_600_000,
      },
      cache: { maxTokens: 5, maxBytes: 1_048_576 },
      envoyPayload: 'payload',
      forwardToken: true,
      models: { research: ['llama-3', 'qwen-*'], '*': ['small'], admins: ['*'] },
    });
  });

  it('comes to what an authenticator takes', () => {
    const auth = createAuthenticator({ clock: new FakeClock(), random: () => 0 }, authSection.parse(one));
    expect(auth.status().providers).toMatchObject([{ issuer: one.issuer, source: jwksUri }]);
  });

  it('tells anonymous callers apart as written', () => {
    expect(authSection.parse({ anonymous: { by: 'address' } }).anonymous).toEqual({ by: 'address' });
    expect(authSection.parse({ anonymous: { by: 'header', header: 'X-User' } }).anonymous).toEqual({
      by: 'header',
      header: 'x-user',
    });
  });

  it.each<[string, unknown, string[]]>([
    [
      'an issuer without keys',
      { issuer: 'a' },
      ['jwksUri: is missing; the keys themselves can be given as jwks'],
    ],
    ['keys without an issuer', { jwksUri }, ['issuer: is missing']],
    ['audiences without an issuer', { audiences: [] }, ['issuer: is missing']],
    ['claims without an issuer', { requiredClaims: [] }, ['issuer: is missing']],
    [
      'an empty issuer and empty keys',
      { issuer: '', jwksUri: '' },
      [
        'issuer: must not be empty',
        'jwksUri: "" is not the URL of a JWKS: write it like https://issuer.example/jwks.json or file:///etc/sluice/jwks.json, without user',
      ],
    ],
    [
      'both sorts of keys',
      { ...one, jwks: { keys: [jwk] } },
      ['jwks: there is jwksUri too: keep one of them'],
    ],
    [
      'no provider',
      { providers: [] },
      ['providers: must not be empty: leave it out where nobody needs a token'],
    ],
    ['a provider without an issuer', { providers: [one, { jwksUri }] }, ['providers.1.issuer: is missing']],
    [
      'a provider without keys',
      { providers: [one, { issuer: 'b' }] },
      ['providers.1.jwksUri: is missing; the keys themselves can be given as jwks'],
    ],
    [
      'both forms',
      { ...one, providers: [{ ...one, issuer: 'b' }] },
      [
        'issuer: belongs to a provider: move it into `providers`',
        'jwksUri: belongs to a provider: move it into `providers`',
      ],
    ],
    [
      'an issuer twice',
      { providers: [one, { ...one, audiences: ['other'] }] },
      ['providers.1.issuer: "https://issuer.example" is listed twice'],
    ],
    ['keys that are no JWKS', { issuer: 'a', jwks: { keys: {} } }, ['jwks.keys: {} is not a list']],
    [
      'keys of no use',
      { issuer: 'a', jwks: { keys: [{ ...jwk, use: 'enc' }] } },
      ['jwks: it has no key of use; keys[0]: its use is not "sig"'],
    ],
    [
      'keys for other algorithms',
      { providers: [{ issuer: 'a', algorithms: ['RS256'], jwks: { keys: [jwk] } }] },
      ['providers.0.jwks: it has no key of use; keys[0]: it fits no algorithm that is allowed'],
    ],
    ['no algorithm', { ...one, algorithms: [] }, ['algorithms: must not be empty']],
    ['no header', { ...one, headers: [] }, ['headers: must not be empty']],
    ['no header name', { ...one, headers: ['a b'] }, ['headers.0: "a b" is not the name of a header']],
    [
      'an odd claim value',
      { ...one, requiredClaims: [{ claim: 'a', values: [null] }] },
      ['requiredClaims.0.values.0: null is not a string, a number, or true or false'],
    ],
    [
      'an odd model',
      { ...one, models: { g: ['a*b'] } },
      ['models.g.0: "a*b" is neither a name nor the beginning of one with "*" at the end'],
    ],
    [
      'an anonymous header without its name',
      { anonymous: { by: 'header' } },
      ['anonymous.header: is missing'],
    ],
    [
      'a header that nobody asks for',
      { anonymous: { header: 'x-user' } },
      ['anonymous.header: has no effect without `by: header`'],
    ],
    [
      'anonymous callers beside an issuer',
      { ...one, anonymous: { by: 'address' } },
      ['anonymous.by: has no effect: with an issuer, nobody is let in without a token'],
    ],
    [
      'what needs an issuer',
      { models: { g: [] }, envoyPayload: 'p' },
      ['envoyPayload: has no effect without an issuer', 'models: has no effect without an issuer'],
    ],
  ])('refuses %s', (_what, section, faults) => {
    expect(faultsOf(section)).toEqual(faults);
  });

  it.each(['none', 'HS1', 'rs256'])('refuses the algorithm %s', (algorithm) => {
    expect(faultsOf({ ...one, algorithms: [algorithm] })).toEqual([
      expect.stringMatching(/^algorithms\.0: ".*" is not one of "RS256", .*"HS512"/),
    ]);
  });

  it.each(['http://127.0.0.1:8080/jwks', 'https://issuer.example/jwks?tenant=1', 'file:///k.json'])(
    'takes %s',
    (uri) => {
      expect(faultsOf({ issuer: 'a', jwksUri: uri })).toEqual([]);
    },
  );

  it.each([
    'issuer.example/jwks',
    'ftp://issuer.example/jwks',
    'https://',
    'https://issuer.example/jwks#keys',
    'file://host/k.json',
    'file:///folder/',
    '/etc/jwks.json',
  ])('refuses the URL %s', (uri) => {
    expect(faultsOf({ issuer: 'a', jwksUri: uri })).toEqual([
      expect.stringContaining(`${JSON.stringify(uri)} is not the URL of a JWKS`),
    ]);
  });

  it('does not repeat a password', () => {
    const [fault] = faultsOf({ issuer: 'a', jwksUri: 'https://user:secret@issuer.example/jwks' });
    expect(fault).toContain('"https://…@issuer.example/jwks" is not the URL of a JWKS');
    expect(fault).not.toContain('secret');
  });

  it.each([
    'health',
    '/',
    '/*',
    '/a*',
    '/a/*/b',
    '/a?b',
    '/../a',
    '/a/..',
    '/a//b',
    '/a/./b',
    '/a b',
    '/%61',
  ])('refuses to exempt %s', (path) => {
    expect(faultsOf({ exempt: [path] })).toEqual([
      `exempt.0: ${JSON.stringify(path)} is not a path to exempt: write an absolute path, or a prefix that ends in "/*"`,
    ]);
  });

  it('describes every field', () => {
    const undescribed: string[] = [];
    const visit = (
      schema: { properties?: Record<string, z.core.JSONSchema._JSONSchema> },
      at: string,
    ): void => {
      for (const [name, field] of Object.entries(schema.properties ?? {})) {
        if (typeof field === 'boolean') continue;
        if (field.description === undefined) undescribed.push(`${at}${name}`);
        visit(field, `${at}${name}.`);
        if (typeof field.items === 'object' && !Array.isArray(field.items))
          visit(field.items, `${at}${name}.`);
      }
    };
    visit(z.toJSONSchema(authSection, { io: 'input' }), '');
    // RFC 7517 describes what is in a JWKS.
    expect(undescribed.filter((field) => !field.endsWith('jwks.keys'))).toEqual([]);
  });
});

describe('authNotes()', () => {
  it('says what an operator should know', () => {
    const parsed = authSection.parse({
      providers: [
        { ...one, audiences: ['a'] },
        { issuer: 'plain', audiences: ['a'], jwksUri: 'http://issuer.example/jwks' },
        { issuer: 'any', jwksUri: 'file:///k.json' },
      ],
    });
    expect(authNotes(parsed)).toEqual([
      'auth.jwksUri: the keys of "plain" come over plain http: who can change them on the way can forge tokens',
      'auth.audiences: tokens of "any" are accepted whatever audience they are for',
    ]);
    expect(authNotes(authSection.parse({}))).toEqual([]);
  });
});
