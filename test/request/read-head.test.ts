import { describe, expect, it } from '@jest/globals';
import { Headers } from '../../src/lib/headers.ts';
import { createPathMatcher, type PathMatch } from '../../src/request/api-paths.ts';
import { readHead, strippedHeaders, upstreamHeaders } from '../../src/request/read-head.ts';
import { aHead } from '../support/fake-exchange.ts';

const matchPath = createPathMatcher(['/metrics']);
const inference = matchPath('/v1/chat/completions');

describe('readHead()', () => {
  it.each(['/v1/chat/completions', '/tokenize', '/health', '/v1/models/m', '/metrics'])(
    'gives back %s as it was matched',
    (path) => {
      const match = matchPath(path);
      const method = match.kind === 'local' ? 'GET' : 'POST';
      expect(readHead(aHead({ method, path }), match, 10)).toBe(match);
    },
  );

  it.each<[string, PathMatch, object]>([
    ['an unknown path', matchPath('/admin'), { reason: 'path-not-found', status: 404 }],
    [
      'another spelling, and says the right one',
      matchPath('//v1/chat/completions'),
      { reason: 'path-not-found', message: expect.stringContaining('did you mean /v1/chat/completions?') },
    ],
  ])('refuses %s', (_, match, rejection) => {
    expect(() => readHead(aHead(), match, 10)).toThrow(expect.objectContaining(rejection));
  });

  it.each([
    ['GET', '/v1/chat/completions', 'POST'],
    ['OPTIONS', '/v1/embeddings', 'POST'],
    ['post', '/v1/completions', 'POST'],
    ['POST', '/health', 'GET, HEAD'],
    ['DELETE', '/v1/models', 'GET, HEAD'],
  ])('refuses %s %s and names what is allowed', (method, path, allow) => {
    expect(() => readHead(aHead({ method, path }), matchPath(path), 10)).toThrow(
      expect.objectContaining({
        reason: 'method-not-allowed',
        message: expect.stringContaining(method),
        headers: { allow },
      }),
    );
  });

  it('answers HEAD on a path that is ours', () => {
    const match = matchPath('/health');
    expect(readHead(aHead({ method: 'HEAD', hasBody: false }), match, 10)).toBe(match);
  });

  it('leaves every method, body and length to a path that the operator allowed', () => {
    const match = matchPath('/metrics');
    const head = aHead({ method: 'DELETE', hasBody: false, fields: { 'content-length': '999' } });
    expect(readHead(head, match, 10)).toBe(match);
  });

  it('refuses an inference request without a body', () => {
    expect(() => readHead(aHead({ hasBody: false }), inference, 10)).toThrow(
      expect.objectContaining({ reason: 'invalid-request', message: expect.stringContaining('no body') }),
    );
  });

  it.each(['gzip', 'br', 'gzip, identity'])('refuses content-encoding "%s"', (encoding) => {
    expect(() => readHead(aHead({ fields: { 'content-encoding': encoding } }), inference, 10)).toThrow(
      expect.objectContaining({ reason: 'unsupported-encoding', status: 415 }),
    );
  });

  it('takes content-encoding identity for none', () => {
    expect(readHead(aHead({ fields: { 'content-encoding': 'identity' } }), inference, 10)).toBe(inference);
  });

  it.each([
    [['10'], undefined],
    [['10', '10'], undefined],
    [['11'], 'body-too-large'],
    [['10', '9'], 'invalid-request'],
    [['99999999999999999999'], 'body-too-large'],
  ])('judges declared lengths %j by a bound of 10: %s', (lengths, reason) => {
    const head = aHead({ headers: new Headers(lengths.flatMap((length) => ['content-length', length])) });
    if (reason === undefined) expect(readHead(head, inference, 10)).toBe(inference);
    else expect(() => readHead(head, inference, 10)).toThrow(expect.objectContaining({ reason }));
  });
});

describe('strippedHeaders()', () => {
  it('names every control header and no other', () => {
    const headers = Headers.of({
      ':path': '/',
      'x-sluice-user': 'root',
      'x-sluice-': '',
      'x-gateway-destination-endpoint': '10.0.0.9:1',
      'x-gateway-destination-endpoint-subset': '10.0.0.9:1',
      'x-gateway-destination-endpoint-served': '10.0.0.9:1',
      'x-prefiller-host-port': '10.0.0.9:1',
      'x-request-id': 'r',
      'x-sluicebox': '',
      'sluice-x': '',
      authorization: 'Bearer t',
    });
    expect(strippedHeaders(headers, ['authorization', 'x-api-key'])).toEqual([
      'x-sluice-user',
      'x-sluice-',
      'x-gateway-destination-endpoint-subset',
      'x-gateway-destination-endpoint-served',
      'x-prefiller-host-port',
      'authorization',
    ]);
  });
});

describe('upstreamHeaders()', () => {
  it.each([
    [{}, {}],
    [{ 'accept-encoding': 'identity' }, {}],
    [{ 'accept-encoding': 'gzip, br' }, { 'accept-encoding': 'identity' }],
    [{ 'accept-encoding': '' }, { 'accept-encoding': 'identity' }],
  ])('turns %j into %j', (fields, expected) => {
    expect(upstreamHeaders(Headers.of(fields))).toEqual(expected);
  });
});
