import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import type { ReceivedRequest } from '../../src/engine-sim/request-log.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { readReply, responseOf, send, sendRaw, startRequest, type Reply } from '../support/http-client.ts';
import { exchangeOf } from '../support/refusals.ts';

const mib = 1024 * 1024;
const json: [string, string] = ['content-type', 'application/json'];
const messages = [{ role: 'user', content: 'Hello' }];
const chat = JSON.stringify({ model: 'm', messages, max_tokens: 2 });
const streamedChat = JSON.stringify({
  model: 'm',
  messages,
  max_tokens: 3,
  stream: true,
  stream_options: { include_usage: true },
});

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway({
    engines: [{ adapters: ['my-adapter'], requestLogSize: 1000 }],
    config: 'usage: { sampleRate: 0 }',
  });
}, 60_000);
afterAll(() => gateway.stop());
afterEach(async () => {
  expect(await gateway.inFlight()).toBe(0);
});

function received(requestId: unknown): ReceivedRequest {
  const seen = gateway.engines[0]!.requests().filter(({ headers }) => headers['x-request-id'] === requestId);
  expect(seen).toHaveLength(1);
  return seen[0]!;
}

function sha256(body: string | Buffer): string {
  return createHash('sha256').update(body).digest('hex');
}

/** Checks that it was served with its tokens counted; returns what the engine saw. */
async function wasServed(reply: Reply, outputTokens: number): Promise<ReceivedRequest> {
  expect(reply.status).toBe(200);
  const line = await exchangeOf(gateway, reply);
  expect(line).toMatchObject({ status: 200, outcome: 'completed', outputTokens, usageSource: 'access-log' });
  return received(reply.headers['x-request-id']);
}

describe('the engine gets the bytes that the client sent', () => {
  it.each([1024, 64 * 1024, 220 * 1024, mib, 15 * mib])('in a body of about %d bytes', async (size) => {
    const text = 'Grüße, 世界 🌍 \\u00e9\\n'.repeat(Math.ceil(size / 29));
    const body = `{"model":"m","padding":"${text}","messages":[{"role":"user","content":"ß世🌍"}],"max_tokens":2}`;
    expect(Buffer.byteLength(body)).toBeGreaterThanOrEqual(size);
    const seen = await wasServed(await send(gateway.port, { body }), 2);
    expect(seen.body).toMatchObject({ bytes: Buffer.byteLength(body), sha256: sha256(body) });
  });

  it('uploaded in 3000 chunks that cut characters in two', async () => {
    const body = Buffer.from(
      `{"model":"m","padding":"${'世🌍'.repeat(3000)}","messages":${JSON.stringify(messages)},"max_tokens":2}`,
    );
    const chunks = Array.from({ length: Math.ceil(body.length / 7) }, (_, index) =>
      body.subarray(index * 7, index * 7 + 7),
    );
    expect(chunks.length).toBeGreaterThan(3000);
    const seen = await wasServed(await send(gateway.port, { body: chunks }), 2);
    expect(seen.body).toMatchObject({ bytes: body.length, sha256: sha256(body) });
  });

  it('with trailers after them', async () => {
    const seen = await wasServed(
      await send(gateway.port, {
        body: [chat.slice(0, 20), chat.slice(20)],
        trailers: { 'x-checksum': 'abc' },
      }),
      2,
    );
    expect(seen.body?.sha256).toBe(sha256(chat));
  });

  it('with trailers and nothing else: refused', async () => {
    const reply = await send(gateway.port, { body: [], trailers: { 'x-checksum': 'abc' } });
    expect(reply.status).toBe(400);
    expect(await exchangeOf(gateway, reply)).toMatchObject({
      outcome: 'rejected',
      reason: 'invalid-request',
    });
  });

  it('after 100 Continue, for who asks', async () => {
    const outgoing = request(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { expect: '100-continue', 'content-length': chat.length },
    });
    outgoing.flushHeaders();
    await once(outgoing, 'continue');
    expect(gateway.engines[0]!.requests().filter(({ outcome }) => outcome === 'open')).toEqual([]);
    outgoing.end(chat);
    const seen = await wasServed(await readReply(await responseOf(outgoing)), 2);
    expect(seen.body?.sha256).toBe(sha256(chat));
  });
});

describe('a connection', () => {
  it('serves 100 requests one after the other', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      const ports = new Set<number | undefined>();
      for (let turn = 0; turn < 100; turn++) {
        const outgoing = startRequest(gateway.port, { body: chat, agent });
        const response = await responseOf(outgoing);
        ports.add(response.socket.localPort);
        await wasServed(await readReply(response), 2);
      }
      expect(ports.size).toBe(1);
    } finally {
      agent.destroy();
    }
  }, 30_000);

  it('serves requests that were sent without waiting, in their order, up to one that is refused', async () => {
    const post = (id: string, body: string): string =>
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-request-id: ${id}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    const replies = await sendRaw(
      gateway.port,
      post('pipe-1', chat) + post('pipe-2', chat) + post('pipe-3', '{}') + post('pipe-4', chat),
    );
    expect([...replies.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual([
      '200',
      '200',
      '400',
    ]);
    expect([...replies.matchAll(/x-request-id: (\S+)/g)].map(([, id]) => id)).toEqual([
      'pipe-1',
      'pipe-2',
      'pipe-3',
    ]);
    // Envoy ends the connection with a reply of its own, and says so.
    expect([...replies.matchAll(/connection: close/g)]).toHaveLength(1);
    for (const id of ['pipe-1', 'pipe-2'])
      expect(await gateway.exchange((line) => line['requestId'] === id)).toMatchObject({
        outcome: 'completed',
      });
    expect(gateway.lines.some((line) => line['requestId'] === 'pipe-4')).toBe(false);
  });

  it('of HTTP/1.0 is served, plain and streamed', async () => {
    const plain = await sendRaw(
      gateway.port,
      `POST /v1/chat/completions HTTP/1.0\r\nx-request-id: old-1\r\ncontent-length: ${chat.length}\r\n\r\n${chat}`,
    );
    expect(plain).toMatch(/^HTTP\/1\.0 200 OK\r\n/);
    expect(plain).toContain('"completion_tokens":2');
    const streamed = await sendRaw(
      gateway.port,
      `POST /v1/chat/completions HTTP/1.0\r\nx-request-id: old-2\r\ncontent-length: ${streamedChat.length}\r\n\r\n${streamedChat}`,
    );
    expect(streamed).toMatch(/^HTTP\/1\.0 200 OK\r\n/);
    expect(streamed).not.toContain('transfer-encoding');
    expect(streamed).toMatch(/data: \[DONE\]\n\n$/);
    for (const [id, outputTokens] of [
      ['old-1', 2],
      ['old-2', 3],
    ] as const)
      expect(await gateway.exchange((line) => line['requestId'] === id)).toMatchObject({
        outcome: 'completed',
        outputTokens,
      });
  });

  it('of HTTP/2 serves requests side by side', async () => {
    const session = connectHttp2(gateway.url);
    try {
      const cases = [
        { body: chat, status: 200, outputTokens: 2 },
        { body: streamedChat, status: 200, outputTokens: 3 },
        { body: '{}', status: 400, outputTokens: undefined },
        { body: chat, status: 200, outputTokens: 2, trailers: true },
      ];
      const replies = await Promise.all(
        cases.map(({ body, trailers }) => sendHttp2(session, body, trailers)),
      );
      for (const [index, { status, outputTokens }] of cases.entries()) {
        expect(replies[index]).toMatchObject({ status });
        const line = await exchangeOf(gateway, replies[index]!);
        expect(line).toMatchObject({ status, outcome: status === 200 ? 'completed' : 'rejected' });
        expect(line['outputTokens']).toBe(outputTokens);
      }
      expect(replies[1]!.body).toMatch(/data: \[DONE\]\n\n$/);
    } finally {
      session.close();
    }
  });
});

async function sendHttp2(
  session: ClientHttp2Session,
  body: string,
  trailers = false,
): Promise<{ status: unknown; headers: Reply['headers']; body: string }> {
  const stream = session.request(
    { ':method': 'POST', ':path': '/v1/chat/completions', 'content-type': 'application/json' },
    { waitForTrailers: trailers },
  );
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-checksum': 'abc' }));
  stream.end(body);
  const [headers] = (await once(stream, 'response')) as [Reply['headers'] & { ':status'?: number }];
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return { status: headers[':status'], headers, body: text };
}

describe('an inference path', () => {
  const input = { model: 'm', max_tokens: 2 };
  const parts = [{ role: 'user', content: [{ type: 'text', text: 'Hello' }] }];
  const documents = { model: 'm', query: 'q', documents: ['a', 'b'] };
  const texts = { model: 'm', text_1: 'q', text_2: ['a', 'b'] };
  it.each<[path: string, name: string, body: object, outputTokens: number | undefined]>([
    ['/v1/chat/completions', 'with text parts', { ...input, messages: parts }, 2],
    ['/v1/completions', 'with a string', { ...input, prompt: 'Hello' }, 2],
    ['/v1/completions', 'with a list of strings', { ...input, prompt: ['Hello', 'World'] }, 4],
    ['/v1/completions', 'with tokens', { ...input, prompt: [1, 2, 3] }, 2],
    ['/v1/completions', 'with lists of tokens', { ...input, prompt: [[1, 2], [3]] }, 4],
    ['/v1/embeddings', 'with a string', { model: 'm', input: 'Hello' }, 0],
    ['/v1/embeddings', 'with lists of tokens', { model: 'm', input: [[1, 2]] }, 0],
    ['/v1/responses', 'with a string', { model: 'm', input: 'Hello', max_output_tokens: 2 }, 2],
    ['/v1/messages', 'with a string', { ...input, messages }, 2],
    ['/v1/messages/count_tokens', 'with a string', { model: 'm', messages }, undefined],
    ['/rerank', 'with documents', documents, 0],
    ['/v1/rerank', 'with documents', documents, 0],
    ['/v2/rerank', 'with documents', documents, 0],
    ['/score', 'with texts', texts, 0],
    ['/v1/score', 'with texts', texts, 0],
    ['/pooling', 'with a string', { model: 'm', input: 'Hello' }, 0],
    ['/tokenize', 'with a string', { model: 'm', prompt: 'Hello' }, undefined],
    ['/detokenize', 'with tokens', { model: 'm', tokens: [1] }, undefined],
  ])('%s is served %s', async (path, _name, body, outputTokens) => {
    const reply = await send(gateway.port, { path, body: JSON.stringify(body) });
    expect(reply.status).toBe(200);
    const line = await exchangeOf(gateway, reply);
    expect(line).toMatchObject({
      path,
      model: 'm',
      status: 200,
      outcome: 'completed',
      servedBy: line['endpoint'],
    });
    const usage = reply.json['usage'] as Record<string, number> | undefined;
    expect(line['inputTokens']).toBe(usage?.['prompt_tokens'] ?? usage?.['input_tokens']);
    expect(line['outputTokens']).toBe(outputTokens);
    expect(received(reply.headers['x-request-id'])).toMatchObject({
      path,
      status: 200,
      body: { sha256: sha256(JSON.stringify(body)) },
    });
  });

  it('/v1/audio/transcriptions is served with a form', async () => {
    const form = new FormData();
    form.set('file', new Blob([Buffer.alloc(300_000, 7)], { type: 'audio/wav' }), 'speech.wav');
    form.set('model', 'm');
    const response = await fetch(`${gateway.url}/v1/audio/transcriptions`, { method: 'POST', body: form });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ text: expect.any(String) });
    const requestId = response.headers.get('x-request-id');
    expect(await gateway.exchange((line) => line['requestId'] === requestId)).toMatchObject({
      model: 'm',
      status: 200,
      outcome: 'completed',
    });
    expect(received(requestId).body?.bytes).toBeGreaterThan(300_000);
  });

  it('serves a LoRA adapter by its name', async () => {
    const reply = await send(gateway.port, { body: chat.replace('"m"', '"my-adapter"') });
    expect(reply.json['model']).toBe('my-adapter');
    await wasServed(reply, 2);
    expect(await exchangeOf(gateway, reply)).toMatchObject({ model: 'my-adapter' });
  });

  it.each(['/v1/chat/completions', '/v1/completions', '/v1/responses', '/v1/messages'])(
    '%s counts a streamed answer that the client would have had compressed',
    async (path) => {
      const body = JSON.stringify({
        model: 'm',
        ...(path === '/v1/responses' ? { input: 'Hello', max_output_tokens: 3 } : { max_tokens: 3 }),
        ...(path === '/v1/completions' ? { prompt: 'Hello' } : { messages }),
        stream: true,
        ...(path.endsWith('completions') && { stream_options: { include_usage: true } }),
      });
      const reply = await send(gateway.port, {
        path,
        body,
        headers: [json, ['accept-encoding', 'gzip, br']],
      });
      expect(reply.headers['content-type']).toMatch(/^text\/event-stream/);
      expect(reply.headers['content-encoding']).toBeUndefined();
      const seen = await wasServed(reply, 3);
      expect(seen.headers['accept-encoding']).toBe('identity');
    },
  );
});

describe('x-request-id', () => {
  it.each([
    ['a plain answer', { body: chat }, 200],
    ['a streamed answer', { body: streamedChat }, 200],
    ['a local answer', { method: 'GET', path: '/v1/models' }, 200],
    ['an unknown path', { body: chat, path: '/nowhere' }, 404],
    ['a body that is no JSON', { body: 'hello' }, 400],
    ['a body that Envoy refuses', { body: Array.from({ length: 17 }, () => Buffer.alloc(mib)) }, 413],
  ])('is kept, or made, with %s', async (_name, sent, status) => {
    const headers = [json, ['x-request-id', `mine-${status}-${_name}`]] as const;
    const kept = await send(gateway.port, { ...sent, headers });
    expect(kept).toMatchObject({ status, headers: { 'x-request-id': `mine-${status}-${_name}` } });
    expect(await exchangeOf(gateway, kept)).toMatchObject({ status });
    const made = await send(gateway.port, sent);
    expect(made).toMatchObject({
      status,
      headers: { 'x-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/) },
    });
    expect(await exchangeOf(gateway, made)).toMatchObject({ status });
  });
});
