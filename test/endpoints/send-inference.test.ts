import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { endpointId, type Endpoint, type EndpointTarget } from '../../src/endpoints/endpoint.ts';
import { sendInference, type InferenceCall } from '../../src/endpoints/send-inference.ts';
import { tinyRequest, type ModelType } from '../../src/endpoints/tiny-request.ts';
import { startSimulatedEngine, type SimulatedEngine } from '../../src/engine-sim/server.ts';
import { makeCertificate } from '../support/certificates.ts';
import { anEndpoint } from '../support/endpoints.ts';
import { freePort } from '../support/free-port.ts';
import { LoopbackEngine, type EngineReply } from '../support/loopback-engine.ts';
import { until } from '../support/until.ts';

const path = '/v1/chat/completions';
let engines: LoopbackEngine[] = [];
let servers: Server[] = [];

afterEach(async () => {
  await Promise.all(engines.map((engine) => engine.stop()));
  engines = [];
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  servers = [];
});

async function engine(reply: EngineReply, ...args: Parameters<typeof LoopbackEngine.start>) {
  const started = await LoopbackEngine.start(...args);
  engines.push(started);
  started.replies.set(path, reply);
  return started;
}

function at(target: EndpointTarget): Endpoint {
  return anEndpoint(0, { ...target, url: `${target.tls ? 'https' : 'http'}://${target.id}` });
}

function on(port: number): Endpoint {
  return at({ ...loopback, id: endpointId('127.0.0.1', port), port });
}

const loopback = { address: '127.0.0.1', tls: false, hostname: undefined, configuredModels: [] };

function call(endpoint: Endpoint, more: Partial<InferenceCall> = {}): InferenceCall {
  return { endpoint, request: tinyRequest('chat', 'm'), timeoutMs: 5000, ...more };
}

const noSignal = new AbortController().signal;

describe('sendInference()', () => {
  const tls = makeCertificate('DNS:engine.test');

  it.each([200, 404, 500, 503])('gives the status %i', async (status) => {
    const target = await engine({ status, body: 'x' });
    expect(await sendInference(call(at(target.target())), noSignal)).toEqual({ kind: 'answer', status });
    await until(() => target.open === 0);
    expect(target.seen).toMatchObject([{ path, host: `127.0.0.1:${target.port}`, authorization: undefined }]);
  });

  it('reads an answer of any length', async () => {
    const target = await engine({ status: 200, body: Buffer.alloc(1_000_000) });
    expect(await sendInference(call(at(target.target())), noSignal)).toMatchObject({ status: 200 });
  });

  it('sends headers that are configured, but no others in place of its own', async () => {
    const target = await engine({ status: 200, body: '' });
    const headers = { Authorization: 'Bearer key', 'Content-Type': 'text/plain', Host: 'other' };
    const endpoint = at(target.target({ hostname: 'engine.test' }));
    expect(await sendInference(call(endpoint, { headers }), noSignal)).toMatchObject({ status: 200 });
    expect(target.seen).toMatchObject([{ host: `engine.test:${target.port}`, authorization: 'Bearer key' }]);
  });

  it('uses a connection once', async () => {
    const target = await engine({ status: 200, body: '' });
    target.closesUsedConnections = true;
    for (let i = 0; i < 3; i++)
      expect(await sendInference(call(at(target.target())), noSignal)).toMatchObject({ status: 200 });
    expect(target.connections).toBe(3);
  });

  it('says that a connection is refused', async () => {
    const answer = await sendInference(call(on(await freePort())), noSignal);
    expect(answer).toEqual({ kind: 'failed', reason: 'connection refused' });
  });

  it.each<[string, string, string]>([
    ['no answer', '', 'connection closed before an answer'],
    [
      'half an answer',
      'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf',
      'connection closed before an answer',
    ],
    ['something else than HTTP', 'SSH-2.0-x\r\n', 'the answer is not HTTP'],
  ])('fails where there is %s', async (_, text, reason) => {
    const server = await rawServer(text);
    const { port } = server.address() as AddressInfo;
    expect(await sendInference(call(on(port)), noSignal)).toEqual({ kind: 'failed', reason });
  });

  it('ends at once where the signal says so', async () => {
    const target = await engine('hang');
    const abort = new AbortController();
    const answer = sendInference(call(at(target.target())), abort.signal);
    await until(() => target.open === 1);
    abort.abort();
    expect(await answer).toMatchObject({ kind: 'failed' });
    await until(() => target.open === 0);
  });

  it('verifies an https:// engine by the given CA, under the name of the operator', async () => {
    const target = await engine({ status: 200, body: '' }, '127.0.0.1', { tls });
    const named = at(target.target({ hostname: 'engine.test' }));
    expect(await sendInference(call(named, { ca: tls.cert }), noSignal)).toMatchObject({ status: 200 });
    expect(target.seen[0]).toMatchObject({ servername: 'engine.test', host: `engine.test:${target.port}` });
    expect(await sendInference(call(named), noSignal)).toMatchObject({
      kind: 'failed',
      reason: expect.stringMatching(/self.signed certificate/),
    });
    expect(await sendInference(call(named, { insecure: true }), noSignal)).toMatchObject({ status: 200 });
    expect(await sendInference(call(named, { ca: 'no certificate' }), noSignal)).toMatchObject({
      kind: 'failed',
    });
  });
});

describe('sendInference() to an engine that infers', () => {
  let sim: SimulatedEngine;
  beforeAll(async () => {
    sim = await startSimulatedEngine({ model: 'org/m', speed: 1000 });
  });
  afterAll(() => sim.stop());

  it.each<ModelType>([
    'chat',
    'completion',
    'embeddings',
    'rerank',
    'score',
    'transcription',
    'vision',
    'messages',
  ])('with a tiny request of type %s gives 200, and 404 for another model', async (type) => {
    const to = (model: string) => call(on(sim.port), { request: tinyRequest(type, model) });
    expect(await sendInference(to('org/m'), noSignal)).toEqual({ kind: 'answer', status: 200 });
    expect(await sendInference(to('other'), noSignal)).toEqual({ kind: 'answer', status: 404 });
    expect(sim.requests().at(-1)?.method).toBe('POST');
  });
});

/** Says the text to whoever sent something, and closes. */
async function rawServer(text: string): Promise<Server> {
  const server = createServer((socket) => {
    socket.once('data', () => socket.end(text));
    socket.on('error', () => undefined);
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
