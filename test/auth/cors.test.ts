import { describe, expect, it } from '@jest/globals';
import { createCors, type CorsOptions } from '../../src/auth/cors.ts';
import { Headers } from '../../src/lib/headers.ts';

const options: CorsOptions = {
  origins: ['https://app.example.com', 'https://*.example.org', 'http://localhost:3000'],
  methods: ['GET', 'POST'],
  headers: ['authorization', 'content-type'],
  exposedHeaders: ['x-request-id'],
  maxAgeMs: 600_000,
  credentials: false,
};

const asked = (origin: string, more: Record<string, string> = {}) =>
  Headers.of({ origin, 'access-control-request-method': 'POST', ...more });
const preflightVary = 'origin, access-control-request-method, access-control-request-headers';

describe('preflight()', () => {
  it('tells a page what it may send', () => {
    expect(createCors(options).preflight('OPTIONS', asked('https://app.example.com'))).toEqual({
      status: 204,
      headers: {
        'access-control-allow-origin': 'https://app.example.com',
        'access-control-allow-methods': 'GET, POST',
        'access-control-allow-headers': 'authorization, content-type',
        'access-control-max-age': '600',
        vary: preflightVary,
      },
    });
  });

  it.each<[string, string, Headers]>([
    ['another method', 'POST', asked('https://app.example.com')],
    ['no origin', 'OPTIONS', Headers.of({ 'access-control-request-method': 'POST' })],
    ['no method asked for', 'OPTIONS', Headers.of({ origin: 'https://app.example.com' })],
    [
      'two origins',
      'OPTIONS',
      new Headers(['origin', 'https://a', 'origin', 'https://b', 'access-control-request-method', 'GET']),
    ],
  ])('is none with %s', (_what, method, headers) => {
    expect(createCors(options).preflight(method, headers)).toBeUndefined();
  });

  it.each([
    'https://evil.example',
    'http://app.example.com',
    'https://app.example.com:444',
    'https://app.example.com.evil.example',
    'https://example.org',
    'https://.example.org',
    'https://evil.example/.example.org',
    'https://user@x.example.org',
    'https://a..example.org',
    'null',
  ])('answers a page of %s without a word of permission', (origin) => {
    const cors = createCors(options);
    expect(cors.preflight('OPTIONS', asked(origin))).toEqual({
      status: 204,
      headers: { vary: preflightVary },
    });
    expect(cors.responseHeaders(Headers.of({ origin }))).toEqual({ vary: 'origin' });
  });

  it.each(['https://a.example.org', 'https://a.b-c.example.org', 'http://localhost:3000'])(
    'allows %s',
    (origin) => {
      expect(createCors(options).preflight('OPTIONS', asked(origin))?.headers).toMatchObject({
        'access-control-allow-origin': origin,
      });
    },
  );

  it('allows nobody where no origin is configured', () => {
    const cors = createCors({ ...options, origins: [] });
    expect(cors.preflight('OPTIONS', asked('https://app.example.com'))).toEqual({
      status: 204,
      headers: { vary: preflightVary },
    });
    expect(cors.responseHeaders(Headers.of({ origin: 'https://app.example.com' }))).toEqual({});
  });

  it.each([
    ['authorization, X-Stainless-OS', 'authorization, X-Stainless-OS'],
    ['a,b', 'a, b'],
    ['a, b c, d:e, \u00e9', 'a'],
    ['', undefined],
    ['x'.repeat(1025), undefined],
  ])('says back which headers %j a page asked for, where all are allowed', (wanted, said) => {
    const answer = createCors({ ...options, headers: ['*'] }).preflight(
      'OPTIONS',
      asked('https://app.example.com', { 'access-control-request-headers': wanted }),
    );
    expect(answer?.headers['access-control-allow-headers']).toBe(said);
  });
});

describe('responseHeaders()', () => {
  it('lets a page read the response', () => {
    expect(createCors(options).responseHeaders(Headers.of({ origin: 'https://app.example.com' }))).toEqual({
      'access-control-allow-origin': 'https://app.example.com',
      'access-control-expose-headers': 'x-request-id',
      vary: 'origin',
    });
  });

  it('says to caches that it depends on the origin, where there is none too', () => {
    expect(createCors(options).responseHeaders(Headers.of({}))).toEqual({ vary: 'origin' });
  });

  it('lets every page read it where all origins are allowed', () => {
    const cors = createCors({ ...options, origins: ['*'], exposedHeaders: [] });
    expect(cors.responseHeaders(Headers.of({ origin: 'https://any.example' }))).toEqual({
      'access-control-allow-origin': '*',
    });
  });

  it('allows credentials to listed origins', () => {
    const cors = createCors({ ...options, credentials: true });
    const granted = {
      'access-control-allow-origin': 'https://app.example.com',
      'access-control-allow-credentials': 'true',
    };
    const headers = asked('https://app.example.com');
    expect(cors.responseHeaders(headers)).toMatchObject(granted);
    expect(cors.preflight('OPTIONS', headers)?.headers).toMatchObject(granted);
  });

  it('never allows credentials to all', () => {
    const cors = createCors({ ...options, origins: ['*'], credentials: true });
    const headers = asked('https://any.example');
    for (const given of [cors.responseHeaders(headers), cors.preflight('OPTIONS', headers)!.headers]) {
      expect(given['access-control-allow-origin']).toBe('*');
      expect(given).not.toHaveProperty('access-control-allow-credentials');
    }
  });
});
