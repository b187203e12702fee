import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  bearer,
  expectUnauthorized,
  get,
  outcomesDuring,
  untilReady,
  type HeaderList,
} from '../support/callers.ts';
import { chatBody } from '../support/chat.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { send, type Reply, type Sent } from '../support/http-client.ts';
import { startIssuer, type Issuer } from '../support/issuer.ts';
import { vllmPage } from '../support/loopback-engine.ts';
import { exchangeOf } from '../support/refusals.ts';

const page = 'https://app.example.com';
const foreign = 'https://evil.example';
const preflightVary = 'origin, access-control-request-method, access-control-request-headers';

/** What an engine says that lets every page in; its paths decide its status. */
const engineHeaders = {
  'access-control-allow-origin': '*',
  'access-control-allow-credentials': 'true',
  'access-control-expose-headers': 'x-secret',
  vary: 'accept-encoding',
};

let engine: Server;
let engineUrl: string;
/** Methods and paths of what clients sent to it. */
const seen: string[] = [];
let issuer: Issuer;
let token: string;
beforeAll(async () => {
  engine = createServer((request, response) => {
    const { method = '', url = '' } = request;
    if (url === '/v1/models')
      return void response.end('{"object":"list","data":[{"id":"m","object":"model"}]}');
    if (url === '/metrics') return void response.end(vllmPage({}));
    if (url === '/health') return void response.end();
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.once('end', () => {
      seen.push(`${method} ${url}`);
      if (url === '/v1/embeddings') return void request.socket.destroy();
      const isStream = body.includes('"stream":true');
      const status = url === '/v1/completions' ? 400 : 200;
      const type = isStream ? 'text/event-stream' : 'application/json';
      response.writeHead(status, { ...engineHeaders, 'content-type': type });
      response.end(isStream ? 'data: {"choices":[]}\n\ndata: [DONE]\n\n' : '{"choices":[]}');
    });
  });
  await new Promise<void>((resolve) => engine.listen(0, '127.0.0.1', resolve));
  engineUrl = `http://127.0.0.1:${(engine.address() as AddressInfo).port}`;
  issuer = await startIssuer();
  token = await issuer.signed();
});
afterAll(async () => {
  engine.closeAllConnections();
  await new Promise((resolve) => engine.close(resolve));
  await issuer.stop();
});
afterEach(() => {
  seen.length = 0;
});

async function start(cors?: object): Promise<Gateway> {
  const config = JSON.stringify({ auth: issuer.section, envoy: { retries: 0 }, ...(cors && { cors }) });
  const gateway = await startGateway({ backends: [engineUrl], config });
  await untilReady(gateway);
  return gateway;
}

/** What a response says to a browser. */
function told({ headers }: Reply): object {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => name.startsWith('access-control-') || name === 'vary'),
  );
}

function preflight(gateway: Gateway, origin: string, more: HeaderList = [], path?: string): Promise<Reply> {
  const headers: HeaderList = [['origin', origin], ['access-control-request-method', 'POST'], ...more];
  return send(gateway.port, { method: 'OPTIONS', headers, ...(path !== undefined && { path }) });
}

const responses: readonly [name: string, status: number, sent: () => Sent][] = [
  ['an answer', 200, () => ({ headers: bearer(token), body: chatBody() })],
  ['a stream', 200, () => ({ headers: bearer(token), body: chatBody({ stream: true }) })],
  [
    'an error of the engine',
    400,
    () => ({ headers: bearer(token), body: chatBody(), path: '/v1/completions' }),
  ],
  [
    'the loss of an engine',
    503,
    () => ({ headers: bearer(token), body: chatBody(), path: '/v1/embeddings' }),
  ],
  ['the list of models', 200, () => ({ headers: bearer(token), path: '/v1/models', method: 'GET' })],
  ['a refusal of the caller', 401, () => ({ headers: [], body: chatBody() })],
  ['a refusal of the path', 404, () => ({ headers: bearer(token), path: '/nobody/knows', method: 'GET' })],
  ['a refusal of the method', 405, () => ({ headers: bearer(token), method: 'GET' })],
  ['a refusal of the model', 404, () => ({ headers: bearer(token), body: '{"model":"n"}' })],
  ['a refusal of the body', 400, () => ({ headers: bearer(token), body: '{' })],
];

function withOrigin(sent: Sent, origin: string): Sent {
  return {
    ...sent,
    headers: [...(sent.headers ?? []), ['content-type', 'application/json'], ['origin', origin]],
  };
}

describe('a page of an origin that is listed', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await start({ origins: [page, 'https://*.example.org'], credentials: true });
  }, 60_000);
  afterAll(() => gateway.stop());

  it.each(['/v1/chat/completions', '/v1/models', '/nobody/knows'])(
    'may ask without a token whether it may call %s',
    async (path) => {
      const asked: HeaderList = [['access-control-request-headers', 'authorization, x-stainless-os']];
      let reply: Reply | undefined;
      const outcomes = await outcomesDuring(gateway, async () => {
        reply = await preflight(gateway, page, asked, path);
      });
      expect(outcomes).toEqual({});
      expect(reply).toMatchObject({ status: 204, body: '' });
      expect(told(reply!)).toEqual({
        'access-control-allow-origin': page,
        'access-control-allow-credentials': 'true',
        'access-control-allow-methods': 'GET, POST',
        'access-control-allow-headers': 'authorization, x-stainless-os',
        'access-control-max-age': '600',
        vary: preflightVary,
      });
      expect(await exchangeOf(gateway, reply!)).toMatchObject({ status: 204, outcome: 'local' });
      expect(seen).toEqual([]);
    },
  );

  it.each(responses)('may read %s', async (_, status, sent) => {
    const reply = await send(gateway.port, withOrigin(sent(), page));
    expect(reply.status).toBe(status);
    const isEngines = seen.length > 0 && status !== 503;
    expect(told(reply)).toEqual({
      'access-control-allow-origin': page,
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': 'x-request-id, retry-after',
      vary: expect.stringMatching(isEngines ? /^accept-encoding, ?origin$/ : /^origin$/),
    });
  });

  it('is any of a domain that is listed, by its own name', async () => {
    const origin = 'https://chat.app.example.org';
    const reply = await send(gateway.port, withOrigin({ headers: bearer(token), body: chatBody() }, origin));
    expect(reply.headers['access-control-allow-origin']).toBe(origin);
  });

  it('still needs a token for all but its first question', async () => {
    const headers: HeaderList = [
      ['origin', page],
      ['access-control-request-method', 'POST'],
      ['content-type', 'application/json'],
    ];
    await expectUnauthorized(gateway, await send(gateway.port, { headers, body: chatBody() }), 'missing');
    for (const missing of ['origin', 'access-control-request-method']) {
      const reply = await send(gateway.port, {
        method: 'OPTIONS',
        headers: headers.filter(([name]) => name !== missing),
      });
      await expectUnauthorized(gateway, reply, 'missing');
    }
    expect(seen).toEqual([]);
  });
});

describe('a page of another origin', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await start({ origins: [page, 'https://*.example.org'] });
  }, 60_000);
  afterAll(() => gateway.stop());

  it.each([
    foreign,
    'null',
    'http://app.example.com',
    'https://app.example.com:8443',
    'https://app.example.com.evil.example',
    'https://example.org',
    'https://evil.example/.example.org',
    'https://evilexample.org',
  ])('is let in neither before nor after: %s', async (origin) => {
    const asked = await preflight(gateway, origin);
    expect(asked).toMatchObject({ status: 204, body: '' });
    expect(told(asked)).toEqual({ vary: preflightVary });
    const reply = await send(gateway.port, withOrigin({ headers: bearer(token), body: chatBody() }, origin));
    expect(reply.status).toBe(200);
    expect(told(reply)).toEqual({ vary: expect.stringMatching(/^accept-encoding, ?origin$/) });
  });

  it.each(responses)('reads nothing of %s', async (_, status, sent) => {
    const reply = await send(gateway.port, withOrigin(sent(), foreign));
    expect(reply.status).toBe(status);
    expect(Object.keys(told(reply))).toEqual(['vary']);
  });
});

describe('every page', () => {
  it('may call where all origins are', async () => {
    const gateway = await start({
      origins: ['*'],
      exposedHeaders: [],
      maxAge: '1m',
      headers: ['authorization'],
      methods: ['POST'],
    });
    try {
      expect(told(await preflight(gateway, foreign))).toEqual({
        'access-control-allow-origin': '*',
        'access-control-allow-methods': 'POST',
        'access-control-allow-headers': 'authorization',
        'access-control-max-age': '60',
        vary: preflightVary,
      });
      const reply = await send(
        gateway.port,
        withOrigin({ headers: bearer(token), body: chatBody() }, foreign),
      );
      expect(told(reply)).toEqual({ 'access-control-allow-origin': '*', vary: 'accept-encoding' });
    } finally {
      await gateway.stop();
    }
  }, 60_000);
});

describe('without a cors section', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await start();
  }, 60_000);
  afterAll(() => gateway.stop());

  it('what an engine says is left as it is', async () => {
    const reply = await send(gateway.port, withOrigin({ headers: bearer(token), body: chatBody() }, page));
    expect(told(reply)).toEqual(engineHeaders);
  });

  it('Sluice says nothing of its own, and asks no engine', async () => {
    expect(told(await get(gateway, '/v1/models', [...bearer(token), ['origin', page]]))).toEqual({});
    expect(told(await get(gateway, '/v1/models', [['origin', page]]))).toEqual({});
    const reply = await preflight(gateway, page);
    expect(reply).toMatchObject({ status: 204 });
    expect(told(reply)).toEqual({ vary: preflightVary });
    expect(seen).toEqual([]);
  });
});
