import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { send, sendRaw, type Sent } from '../support/http-client.ts';
import { exchangeOf, expectRefusal, requestsAtEngines, type Refusal } from '../support/refusals.ts';

const mib = 1024 * 1024;
const messages = [{ role: 'user', content: 'Hello' }];
const json: [string, string] = ['content-type', 'application/json'];

/** Two engines with a model each: who serves is no accident. */
let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway({
    engines: [{ model: 'a' }, { model: 'b' }],
    config: 'routes: { allow: ["/ping", "/echo/*"] }',
  });
}, 60_000);
afterAll(() => gateway.stop());
afterEach(async () => {
  expect(await gateway.inFlight()).toBe(0);
});

function chat(model = 'a'): string {
  return JSON.stringify({ model, messages, max_tokens: 2 });
}

type RefusedCase = readonly [
  name: string,
  sent: Sent,
  refusal: Omit<Refusal, 'status'> & { status?: number },
];

async function isRefused(sent: Sent, refusal: Omit<Refusal, 'status'> & { status?: number }): Promise<void> {
  const before = requestsAtEngines(gateway);
  await expectRefusal(gateway, await send(gateway.port, sent), { status: 400, ...refusal });
  expect(requestsAtEngines(gateway)).toBe(before);
}

describe('a body that is not a request', () => {
  const invalid = { reason: 'invalid-request' } as const;
  const cases: readonly RefusedCase[] = [
    ['truncated', { body: chat().slice(0, -3) }, { ...invalid, message: 'it ends too early' }],
    ['not JSON', { body: 'hello' }, { ...invalid, message: 'expected an object' }],
    ['an array', { body: '[]' }, { ...invalid, message: 'found an array' }],
    ['a string', { body: '"model"' }, { ...invalid, message: 'expected an object' }],
    ['null', { body: 'null' }, { ...invalid, message: 'expected an object' }],
    ['more than one object', { body: '{"model":"a"}{}' }, { ...invalid, message: 'JSON' }],
    ['empty, with its length', { body: '' }, { ...invalid, message: 'no body' }],
    ['empty, in chunks', { body: [] }, { ...invalid, message: 'it is empty' }],
    [
      'without a model',
      { body: '{"messages":[]}' },
      { ...invalid, param: 'model', message: 'you must provide' },
    ],
    [
      'with a blank model',
      { body: '{"model":" "}' },
      { ...invalid, param: 'model', message: 'you must provide' },
    ],
    [
      'with a number as model',
      { body: '{"model":7}' },
      { ...invalid, param: 'model', message: 'must be a string' },
    ],
    [
      'with null as model',
      { body: '{"model":null}' },
      { ...invalid, param: 'model', message: 'you must provide' },
    ],
    [
      'with a list as model',
      { body: '{"model":["a"]}' },
      { ...invalid, param: 'model', message: 'must be a string' },
    ],
    [
      'with a model nobody serves',
      { body: chat('nobody') },
      { status: 404, reason: 'model-not-found', param: 'model', message: '"nobody" does not exist' },
    ],
    [
      'with invalid UTF-8',
      {
        body: Buffer.concat([
          Buffer.from('{"model":"a","x":"'),
          Buffer.from([0xc3, 0x28]),
          Buffer.from('"}'),
        ]),
      },
      { ...invalid, message: 'not valid UTF-8' },
    ],
    [
      'with 10 MB of nested arrays',
      { body: `{"model":"a","messages":${'['.repeat(5 * mib)}${']'.repeat(5 * mib)}}` },
      { ...invalid, message: 'nested deeper than 128 levels' },
    ],
    [
      'of 17 MB, by its length',
      { body: Buffer.alloc(17 * mib, ' ') },
      { status: 413, reason: 'body-too-large', message: 'larger than 16777216 bytes' },
    ],
    [
      'with a content encoding',
      { body: chat(), headers: [json, ['content-encoding', 'gzip']] },
      { status: 415, reason: 'unsupported-encoding', message: '"gzip"' },
    ],
  ];
  it.each(cases)('%s is refused', (_name, sent, refusal) => isRefused(sent, refusal));

  it('of 17 MB in chunks is refused by Envoy, in the same shape', async () => {
    const before = requestsAtEngines(gateway);
    const reply = await send(gateway.port, {
      body: Array.from({ length: 17 }, () => Buffer.alloc(mib, ' ')),
    });
    expect(reply.status).toBe(413);
    expect(reply.headers['content-type']).toBe('application/json');
    expect(reply.json).toEqual({
      error: {
        message: 'The request body is larger than 16777216 bytes.',
        type: 'invalid_request_error',
        param: null,
        code: 'request_too_large',
      },
    });
    const line = await exchangeOf(gateway, reply);
    expect(line).toMatchObject({ status: 413, outcome: 'rejected', reason: 'body-too-large' });
    expect(requestsAtEngines(gateway)).toBe(before);
  });

  it('with 3 million empty arrays is the engine’s to judge', async () => {
    const reply = await send(gateway.port, {
      body: `{"model":"a","messages":[],"x":[${'[],'.repeat(3 * mib)}[]]}`,
    });
    expect(reply.status).toBe(400);
    expect(await exchangeOf(gateway, reply)).toMatchObject({ status: 400, outcome: 'completed' });
  });
});

describe('a refusal on /v1/messages', () => {
  const anthropic = { dialect: 'anthropic', reason: 'invalid-request' } as const;
  const path = '/v1/messages';
  const cases: readonly RefusedCase[] = [
    ['no JSON', { path, body: 'hello' }, { ...anthropic, message: 'expected an object' }],
    ['no model', { path, body: '{}' }, { ...anthropic, param: 'model', message: 'you must provide' }],
    [
      'unknown model',
      { path, body: chat('nobody') },
      {
        ...anthropic,
        status: 404,
        reason: 'model-not-found',
        type: 'not_found_error',
        param: 'model',
        message: 'nobody',
      },
    ],
    [
      'too large',
      { path, body: Buffer.alloc(17 * mib, ' ') },
      { ...anthropic, status: 413, reason: 'body-too-large', type: 'request_too_large', message: '16777216' },
    ],
    [
      'GET',
      { path, method: 'GET' },
      { ...anthropic, status: 405, reason: 'method-not-allowed', message: 'does not accept GET' },
    ],
  ];
  it.each(cases)('has the shape of Anthropic’s errors: %s', (_name, sent, refusal) =>
    isRefused(sent, refusal),
  );
});

describe('a method that an inference path does not have', () => {
  const refusal = { status: 405, reason: 'method-not-allowed' } as const;
  const cases: readonly RefusedCase[] = [
    ['GET', { method: 'GET' }, { ...refusal, message: 'does not accept GET; use POST' }],
    ['GET with a body', { method: 'GET', body: chat() }, { ...refusal, message: 'does not accept GET' }],
    ['OPTIONS', { method: 'OPTIONS' }, { ...refusal, message: 'does not accept OPTIONS' }],
    ['PUT', { method: 'PUT', body: chat() }, { ...refusal, message: 'does not accept PUT' }],
    ['DELETE', { method: 'DELETE' }, { ...refusal, message: 'does not accept DELETE' }],
  ];
  it.each(cases)('%s is refused', async (_name, sent, more) => {
    await isRefused(sent, more);
    expect((await send(gateway.port, sent)).headers['allow']).toBe('POST');
  });

  it('HEAD is refused without a body', async () => {
    const reply = await send(gateway.port, { method: 'HEAD' });
    expect(reply).toMatchObject({ status: 405, body: '' });
    expect(await exchangeOf(gateway, reply)).toMatchObject({
      outcome: 'rejected',
      reason: 'method-not-allowed',
    });
  });
});

describe('the path', () => {
  it.each([
    '//v1/chat/completions',
    '/v1//chat///completions',
    '/v1/../v1/chat/completions',
    '/v1/./chat/completions',
    '/v1/chat%2Fcompletions',
    '/v1/chat%2fcompletions',
    '/v1%2Fchat%2Fcompletions',
    '/v1/%63hat/completions',
    '/v1/%2e%2e/v1/chat/completions',
    '/v1\\chat\\completions',
  ])('%s is served as the canonical one', async (path) => {
    const reply = await send(gateway.port, { path, body: chat() });
    expect(reply.status).toBe(200);
    expect(await exchangeOf(gateway, reply)).toMatchObject({ path: '/v1/chat/completions', outputTokens: 2 });
    expect(gateway.engines[0]!.requests().at(-1)?.path).toBe('/v1/chat/completions');
  });

  const unknown = { status: 404, reason: 'path-not-found' } as const;
  it.each([
    ['/v1/chat/completions/', 'did you mean /v1/chat/completions?'],
    ['/V1/chat/completions', 'Unknown path'],
    ['/v1/chat/completions%3F', 'Unknown path'],
    ['/v1/chat/completions;v=1', 'Unknown path'],
    ['/', 'Unknown path'],
    ['/pingpong', 'Unknown path'],
    ['/v1/models/..%2f..%2fmetrics', 'Unknown path'],
  ])('%s is refused', async (path, message) => {
    await isRefused({ path, body: chat() }, { ...unknown, message });
  });

  const operatorPaths = ['/metrics', '/v1/load_lora_adapter', '/sim/faults'];
  const spellings: readonly ((path: string) => string)[] = [
    (path) => path,
    (path) => `/${path}`,
    (path) => `${path}/`,
    (path) => `${path}?path=/v1/chat/completions`,
    (path) => `/v1/..${path}`,
    (path) => `/v1/chat/completions/../../..${path}`,
    (path) => `/health/..${path}`,
    (path) => `/ping/..${path}`,
    (path) => `/echo/..${path}`,
    (path) => `/echo/..%2f${path.slice(1)}`,
    (path) => `/echo/%2e%2e${path}`,
    (path) => `/echo/%252e%252e${path}`,
    (path) => `/echo/%252e%252e%252f${path.slice(1)}`,
    (path) => `/echo/..\\${path.slice(1)}`,
    (path) => `/echo/..%5c${path.slice(1)}`,
    (path) => `/echo/.%2e${path}`,
    (path) => `/v1/models/%2e%2e/%2e%2e${path}`,
    (path) => `/v1/models/..%2f..${path}`,
    (path) => `/%2e${path}`,
    (path) => path.replace(/[a-z]/, (letter) => `%${letter.charCodeAt(0).toString(16)}`),
    (path) => path.replace(/[a-z]/, (letter) => `%25${letter.charCodeAt(0).toString(16)}`),
    (path) => path.replaceAll('/', '%2F').replace('%2F', '/'),
    (path) => `http://${gateway.engines[0]!.host}:${gateway.engines[0]!.port}${path}`,
    (path) => `/v1/chat/completions;/../../..${path}`,
    (path) => `${path};/v1/chat/completions`,
  ];
  it.each(operatorPaths)('%s reaches no engine, however it is spelled', async (operatorPath) => {
    const scraped = gateway.engines.map((engine) => engine.requests().length);
    for (const spell of spellings) {
      for (const method of ['GET', 'POST']) {
        const reply = await send(gateway.port, {
          method,
          path: spell(operatorPath),
          ...(method === 'POST' && { body: chat() }),
        });
        expect([spell(operatorPath), reply.status]).toEqual([spell(operatorPath), expect.any(Number)]);
        expect(reply.status).toBeGreaterThanOrEqual(400);
        expect(reply.body).not.toMatch(/vllm:|Success|"mode"/);
      }
    }
    for (const [index, engine] of gateway.engines.entries()) {
      const reached = engine
        .requests()
        .slice(scraped[index])
        .map(({ path }) => decodeURIComponent(decodeURIComponent(path)));
      expect(reached.filter((path) => path.includes(operatorPath))).toEqual([]);
    }
    const faults: unknown = await (await fetch(`${gateway.engines[0]!.url}/sim/faults`)).json();
    expect(faults).toEqual({ mode: 'none' });
  });

  it.each([
    ['GET', undefined],
    ['POST', '{}'],
  ])('that routes.allow names reaches an engine: %s', async (method, body) => {
    const before = requestsAtEngines(gateway);
    const reply = await send(gateway.port, {
      method,
      path: '/ping?a=b',
      ...(body !== undefined && { body }),
    });
    expect(reply.status).toBe(200);
    expect(await exchangeOf(gateway, reply)).toMatchObject({
      path: '/ping',
      status: 200,
      outcome: 'completed',
    });
    expect(requestsAtEngines(gateway)).toBe(before + 1);
  });
});

describe('headers that a client sends', () => {
  /** What an engine saw of the exchange a reply belongs to. */
  async function received(reply: Awaited<ReturnType<typeof send>>, engine = gateway.engines[0]!) {
    await exchangeOf(gateway, reply);
    const seen = engine
      .requests()
      .find(({ headers }) => headers['x-request-id'] === reply.headers['x-request-id']);
    if (seen === undefined) throw new Error('This engine did not get the request');
    return seen.headers;
  }

  it('never choose an endpoint, and do not reach the engine', async () => {
    const [serving, other] = gateway.engines;
    const forged = `${other!.host}:${other!.port}`;
    const before = other!.requests().length;
    const reply = await send(gateway.port, {
      body: chat('a'),
      headers: [
        json,
        ['x-gateway-destination-endpoint', forged],
        ['X-Gateway-Destination-Endpoint', forged],
        ['x_gateway_destination_endpoint', forged],
        ['x-gateway-destination-endpoint-subset', forged],
        ['x-gateway-destination-endpoint-served', forged],
        ['x-prefiller-host-port', forged],
        ['x-sluice-endpoint', forged],
        ['x-sluice-anything', '1'],
        ['x-envoy-original-dst-host', forged],
        ['x-envoy-original-path', '/metrics'],
        ['x-envoy-external-address', '10.9.8.7'],
        ['x-envoy-attempt-count', '9'],
        ['x-envoy-upstream-rq-timeout-ms', '1'],
        ['x-envoy-retry-on', '5xx'],
      ],
    });
    expect(reply.status).toBe(200);
    const line = await exchangeOf(gateway, reply);
    const served = `${serving!.host}:${serving!.port}`;
    expect(line).toMatchObject({ status: 200, outcome: 'completed', endpoint: served, servedBy: served });
    expect(other!.requests()).toHaveLength(before);
    const headers = await received(reply);
    // One entry for each attempt.
    expect(new Set(String(headers['x-gateway-destination-endpoint']).split(','))).toEqual(new Set([served]));
    expect(
      Object.keys(headers)
        .filter((name) => /sluice|prefiller|subset|served|_|x-envoy/.test(name))
        .toSorted(),
    ).toEqual(['x-envoy-attempt-count', 'x-envoy-external-address']);
    expect(headers['x-envoy-external-address']).toBe('127.0.0.1');
  });

  it('do not choose an endpoint for a path that routes.allow names either', async () => {
    const [first, second] = gateway.engines.map(({ host, port }) => `${host}:${port}`);
    const servers = new Set<unknown>();
    for (let turn = 0; turn < 6; turn++) {
      const reply = await send(gateway.port, {
        method: 'GET',
        path: '/ping',
        headers: [['x-gateway-destination-endpoint', second!]],
      });
      const line = await exchangeOf(gateway, reply);
      expect(line['servedBy']).toBe(line['endpoint']);
      servers.add(line['servedBy']);
    }
    // Ties rotate: had the header been obeyed, one engine would have had them all.
    expect([...servers].toSorted()).toEqual([first!, second!].toSorted());
  });

  it('authorization, sent twice, is passed on and nothing else happens', async () => {
    const reply = await send(gateway.port, {
      body: chat(),
      headers: [json, ['authorization', 'Bearer one'], ['authorization', 'Bearer two']],
    });
    expect(reply.status).toBe(200);
    expect((await received(reply))['authorization']).toBe('Bearer one,Bearer two');
  });

  it('x-request-id, sent twice, is one name in the log and in the reply', async () => {
    const reply = await send(gateway.port, {
      body: chat(),
      headers: [json, ['x-request-id', 'one'], ['x-request-id', 'two']],
    });
    expect(reply).toMatchObject({ status: 200, headers: { 'x-request-id': 'one,two' } });
    expect(await exchangeOf(gateway, reply)).toMatchObject({ requestId: 'one,two', outcome: 'completed' });
  });

  const head = 'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n';
  const smuggled = 'POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n';
  it.each([
    [
      'two lengths that differ',
      `${head}content-length: 0\r\ncontent-length: ${smuggled.length}\r\n\r\n${smuggled}`,
    ],
    ['a list of lengths', `${head}content-length: 0, ${smuggled.length}\r\n\r\n${smuggled}`],
    ['a length that is no number', `${head}content-length: ten\r\n\r\n${smuggled}`],
    [
      'length and chunks',
      `${head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    ],
    ['a negative length', `${head}content-length: -1\r\n\r\n${smuggled}`],
    ['not HTTP', 'hello\r\n\r\n'],
  ])('%s: the connection ends and nobody is asked', async (_name, bytes) => {
    const before = requestsAtEngines(gateway);
    const lines = gateway.lines.length;
    expect(await sendRaw(gateway.port, bytes)).toMatch(/^(HTTP\/1\.1 400 |$)/);
    expect(requestsAtEngines(gateway)).toBe(before);
    // A whole exchange later, none of those bytes has become a request.
    await exchangeOf(gateway, await send(gateway.port, { body: chat() }));
    expect(gateway.lines.slice(lines).filter((line) => 'exchange' in line)).toHaveLength(1);
  });
});
