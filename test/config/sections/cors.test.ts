import { describe, expect, it } from '@jest/globals';
import { createCors } from '../../../src/auth/cors.ts';
import { corsSection } from '../../../src/config/sections/cors.ts';
import { Headers } from '../../../src/lib/headers.ts';
import { sectionFaults } from './section-faults.ts';

const faultsOf = (section: unknown): string[] => sectionFaults(corsSection, section);

describe('corsSection', () => {
  it('lets no page call where nothing is written', () => {
    expect(corsSection.parse({})).toEqual({
      origins: [],
      methods: ['GET', 'POST'],
      headers: ['*'],
      exposedHeaders: ['x-request-id', 'retry-after'],
      maxAgeMs: 600_000,
      credentials: false,
    });
  });

  it('comes to what answers preflights', () => {
    const cors = createCors(corsSection.parse({ origins: ['https://App.example.com'], maxAge: '1m' }));
    const headers = Headers.of({
      origin: 'https://app.example.com',
      'access-control-request-method': 'POST',
    });
    expect(cors.preflight('OPTIONS', headers)?.headers).toMatchObject({
      'access-control-allow-origin': 'https://app.example.com',
      'access-control-max-age': '60',
    });
  });

  it.each([
    '*',
    'https://app.example.com',
    'http://localhost:3000',
    'http://[::1]:3000',
    'https://*.example.com',
    'vscode-webview://abc',
    'tauri://localhost',
  ])('takes the origin %s', (origin) => {
    expect(faultsOf({ origins: [origin] })).toEqual([]);
  });

  it.each([
    '',
    'null',
    'app.example.com',
    'https://app.example.com/',
    'https://*',
    'https://a.*.com',
    'https://*example.com',
    'https://a b',
  ])('refuses the origin %j', (origin) => {
    expect(faultsOf({ origins: [origin] })).toEqual([
      `origins.0: ${JSON.stringify(origin)} is not an origin: write it like https://app.example.com, https://*.example.com or "*", without a path`,
    ]);
  });

  it('refuses credentials for every origin', () => {
    expect(faultsOf({ origins: ['*'], credentials: true })).toEqual([
      'credentials: credentials are not for the origin "*": list the origins whose pages may send them',
    ]);
    expect(faultsOf({ origins: ['https://a.example'], credentials: true })).toEqual([]);
  });

  it('refuses what is no name of a header or method', () => {
    expect(faultsOf({ headers: ['a b'], methods: [''] })).toEqual([
      'methods.0: "" is not the name of a header or a method',
      'headers.0: "a b" is not the name of a header or a method',
    ]);
  });
});
