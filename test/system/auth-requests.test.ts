import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  ask,
  bearer,
  expectUnauthorized,
  get,
  isRefused,
  outcomesDuring,
  statusFor,
  untilReady,
  type HeaderList,
  type UnauthorizedReason,
} from '../support/callers.ts';
import { editBootstrap } from '../support/edit-bootstrap.ts';
import { eventually } from '../support/eventually.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { send, sendRaw } from '../support/http-client.ts';
import { startIssuer, type Issuer } from '../support/issuer.ts';
import { exchangeOf, requestsAtEngines } from '../support/refusals.ts';

const mib = 1024 * 1024;

let issuer: Issuer;
let gateway: Gateway;
let token: string;
let otherToken: string;
beforeAll(async () => {
  issuer = await startIssuer();
  gateway = await startGateway({
    engines: [{ requestLogSize: 1000 }],
    config: JSON.stringify({
      auth: { ...issuer.section, exempt: ['/health', '/ping/*'] },
      routes: { allow: ['/ping/*'] },
    }),
  });
  await untilReady(gateway);
  token = await issuer.signed();
  otherToken = await issuer.signed({ sub: 'bob' });
}, 60_000);
afterAll(async () => {
  await gateway.stop();
  await issuer.stop();
});
afterEach(() => eventually(async () => (await gateway.inFlight()) === 0));

describe('a request', () => {
  const accepted: readonly [name: string, headers: () => HeaderList][] = [
    ['with Bearer', () => bearer(token)],
    ['with bearer in lower case', () => [['authorization', `bearer ${token}`]]],
    ['with BEARER in upper case', () => [['AUTHORIZATION', `BEARER ${token}`]]],
    ['with more spaces', () => [['authorization', `  Bearer   ${token}  `]]],
    ['with a tab', () => [['authorization', `Bearer\t${token}`]]],
    ['with X-Api-Key', () => [['X-Api-Key', token]]],
    ['with Bearer in X-Api-Key', () => [['x-api-key', `Bearer ${token}`]]],
    ['with one token in both', () => [...bearer(token), ['x-api-key', token]]],
    ['with one token twice', () => [...bearer(token), ...bearer(token)]],
    [
      'with other credentials beside X-Api-Key',
      () => [
        ['authorization', 'Basic YTpi'],
        ['x-api-key', token],
      ],
    ],
    [
      'with nothing in Authorization beside X-Api-Key',
      () => [
        ['authorization', ''],
        ['x-api-key', token],
      ],
    ],
  ];
  it.each(accepted)('%s is served', async (_, headers) => {
    const before = requestsAtEngines(gateway);
    expect(await ask(gateway, headers())).toMatchObject({ status: 200 });
    expect(requestsAtEngines(gateway)).toBe(before + 1);
  });

  const refused: readonly [string, UnauthorizedReason, () => HeaderList][] = [
    ['without a token', 'missing', () => []],
    ['with nothing in Authorization', 'missing', () => [['authorization', '']]],
    ['with Basic', 'missing', () => [['authorization', 'Basic YTpi']]],
    ['with a token as Basic', 'missing', () => [['authorization', `Basic ${token}`]]],
    ['with a token in a cookie', 'missing', () => [['cookie', `access_token=${token}`]]],
    ['with a token for a proxy', 'missing', () => [['proxy-authorization', `Bearer ${token}`]]],
    ['with Bearer and no token', 'malformed', () => [['authorization', 'Bearer']]],
    ['with a token and no scheme', 'malformed', () => [['authorization', token]]],
    ['with three fields', 'malformed', () => [['authorization', `Bearer ${token} more`]]],
    ['with two fields in X-Api-Key', 'malformed', () => [['x-api-key', `Token ${token}`]]],
    ['with a word', 'malformed', () => bearer('word')],
    ['with two parts', 'malformed', () => bearer(token.split('.').slice(0, 2).join('.'))],
    ['with five parts', 'malformed', () => bearer(`${token}.a.b`)],
    ['with parts that are no JSON', 'malformed', () => bearer('aaaa.bbbb.cccc')],
    ['with quotes', 'malformed', () => [['authorization', `Bearer "${token}"`]]],
    ['with padding', 'malformed', () => bearer(`${token}=`)],
    ['with two tokens', 'conflict', () => [...bearer(token), ['x-api-key', otherToken]]],
    ['with Authorization twice', 'conflict', () => [...bearer(token), ...bearer(otherToken)]],
    ['with two tokens in one field', 'conflict', () => bearer(`${token}, Bearer ${otherToken}`)],
    [
      'with X-Api-Key twice',
      'conflict',
      () => [
        ['x-api-key', token],
        ['x-api-key', otherToken],
      ],
    ],
    ['with 20 KB of token', 'too-large', () => bearer('x'.repeat(20_000))],
    ['with 20 KB of X-Api-Key', 'too-large', () => [['x-api-key', `${token}${'x'.repeat(20_000)}`]]],
  ];
  it.each(refused)('%s is refused: %s', (_, reason, headers) =>
    isRefused(gateway, reason, () => ask(gateway, headers())),
  );

  it('with a token in the query is refused', () => {
    const path = `/v1/chat/completions?access_token=${token}`;
    return isRefused(gateway, 'missing', () => ask(gateway, [], { path }));
  });

  it('is told so as Anthropic does on /v1/messages', async () => {
    const reply = await ask(gateway, bearer('word'), { path: '/v1/messages' });
    await expectUnauthorized(gateway, reply, 'malformed', 'anthropic');
    expect(await ask(gateway, [['x-api-key', token]], { path: '/v1/messages' })).toMatchObject({
      status: 200,
    });
  });

  it('with 15 KB of token is served', async () => {
    const large = await issuer.signed({ pad: 'x'.repeat(11_000) });
    expect(large.length).toBeGreaterThan(14_500);
    expect(await statusFor(gateway, large)).toBe(200);
  });

  it.each([
    ['70 KB', 70_000],
    ['10 MB', 10 * mib],
  ])('with %s of headers ends at Envoy, and leaves the gateway as it was', async (_, bytes) => {
    const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${'x'.repeat(bytes)}\r\n\r\n`;
    const outcomes = await outcomesDuring(gateway, async () => {
      const answer = await sendRaw(gateway.port, head).catch(String);
      // Envoy closes the connection, nearly always before its 431 is on the way.
      expect(answer).toMatch(/^$|^HTTP\/1.1 431 |ECONNRESET|EPIPE/);
    });
    expect(outcomes).toEqual({});
    expect(await statusFor(gateway, token)).toBe(200);
  });
});

describe('a body', () => {
  const head = (...headers: readonly string[]): string =>
    [
      'POST /v1/chat/completions HTTP/1.1',
      'host: a',
      'content-type: application/json',
      ...headers,
      '',
      '',
    ].join('\r\n');

  it.each([
    ['of 10 MB', head(`content-length: ${10 * mib}`)],
    ['in chunks', head('transfer-encoding: chunked')],
    ['that waits to be asked for', head(`content-length: ${10 * mib}`, 'expect: 100-continue')],
  ])('%s is not waited for where there is no token', async (_, bytes) => {
    // Nothing of it is ever sent: who reads it first would wait for ever.
    const answer = await sendRaw(gateway.port, bytes);
    expect(answer).toMatch(/^(HTTP\/1.1 100 Continue\r\n\r\n)?HTTP\/1.1 401 /);
    expect(answer).toContain('\r\nwww-authenticate: Bearer realm="sluice"\r\n');
    const requestId = /x-request-id: (\S+)/.exec(answer)?.[1];
    const line = await gateway.exchange((exchange) => exchange['requestId'] === requestId);
    expect(line).toMatchObject({ status: 401, requestBytes: 0 });
  });

  it('of 10 MB that is sent all the same gets the 401', async () => {
    const reply = await send(gateway.port, { body: Buffer.alloc(10 * mib, ' ') });
    await expectUnauthorized(gateway, reply, 'missing');
    expect(await exchangeOf(gateway, reply)).toMatchObject({ requestBytes: 0 });
  });
});

describe('every path', () => {
  it.each([
    ['POST', '/v1/chat/completions'],
    ['GET', '/v1/chat/completions'],
    ['POST', '/v1/completions'],
    ['POST', '/v1/embeddings'],
    ['POST', '/v1/audio/transcriptions'],
    ['POST', '/tokenize'],
    ['GET', '/v1/models'],
    ['HEAD', '/v1/models'],
    ['GET', '/v1/models/m'],
    ['GET', '/version'],
    ['GET', '/engines'],
    ['GET', '/metrics'],
    ['GET', '/'],
    ['GET', '/nobody/knows'],
    ['OPTIONS', '/v1/chat/completions'],
    ['DELETE', '/health/more'],
  ])('needs a token before anything is said of it: %s %s', async (method, path) => {
    const reply = await send(gateway.port, { method, path });
    expect(reply.status).toBe(401);
    expect(reply.headers['www-authenticate']).toBe('Bearer realm="sluice"');
    if (method !== 'HEAD') await expectUnauthorized(gateway, reply, 'missing');
  });

  it.each([
    ['/v1/models', 200],
    ['/version', 200],
    ['/nobody/knows', 404],
    ['/v1/chat/completions', 405],
  ])('is what it is with a token: GET %s is %d', async (path, status) => {
    expect(await get(gateway, path, bearer(token))).toMatchObject({ status });
  });
});

describe('an exempt path', () => {
  it.each([
    ['/health', 200],
    ['/health?path=/v1/models', 200],
    ['//health', 200],
    ['/v1/../health', 200],
    ['/%68ealth', 200],
    ['/ping', 200],
    ['/ping/a', 404],
  ])('needs no token, however it is spelled: %s is %d', async (path, status) => {
    const outcomes = await outcomesDuring(gateway, async () => {
      expect(await get(gateway, path)).toMatchObject({ status });
    });
    expect(outcomes).toEqual({ exempt: 1 });
  });

  it('needs no good token either', async () => {
    expect(await get(gateway, '/health', bearer('word'))).toMatchObject({ status: 200 });
  });

  const tricks: readonly string[] = [
    '/health/../v1/models',
    '/health/..%2fv1/models',
    '/health%2f..%2fv1%2fmodels',
    '/health%2f%2e%2e%2fv1/models',
    '/health/%2e%2e/v1/models',
    '/health\\..\\v1\\models',
    '/health/',
    '/Health',
    '/health;/../v1/models',
    '/health%3f',
    '/health%20',
    '/pingpong',
    '/ping/../v1/models',
    '/ping/..%2fv1/models',
    '/ping/%2e%2e/v1/models',
    '/ping/%252e%252e/v1/models',
    '/ping/.%2e/v1/models',
    '/ping/a/../../v1/models',
    '/ping/..;/v1/models',
  ];
  it.each(tricks)('opens no other: %s', async (path) => {
    await isRefused(gateway, 'missing', () => get(gateway, path));
  });

  describe('behind an Envoy that takes paths as they come', () => {
    let plain: Gateway;
    beforeAll(async () => {
      plain = await startGateway({
        engines: 1,
        mode: 'attached',
        config: JSON.stringify({ auth: { ...issuer.section, exempt: ['/health', '/ping/*'] } }),
        editBootstrap: editBootstrap((manager) => {
          manager['normalize_path'] = false;
          manager['merge_slashes'] = false;
          manager['path_with_escaped_slashes_action'] = 'KEEP_UNCHANGED';
        }),
      });
      await untilReady(plain);
    }, 60_000);
    afterAll(() => plain.stop());

    it('needs no token', async () => {
      expect(await get(plain, '/health')).toMatchObject({ status: 200 });
    });

    it.each([
      ...tricks,
      '/health%00',
      '//health',
      '/./health',
      '/%68ealth',
      '/ping//a',
      '/ping/./a',
      '/ping/%61',
    ])('opens no other: %s', async (path) => {
      await expectUnauthorized(plain, await get(plain, path), 'missing');
    });
  });
});
