import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { connect as connectHttp2, constants } from 'node:http2';
import type { SimulatedEngine } from '../../src/engine-sim/server.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { responseOf, startRequest, type Sent } from '../support/http-client.ts';
import { until } from '../support/until.ts';

const long = {
  model: 'm',
  messages: [{ role: 'user', content: 'Hello' }],
  max_tokens: 2000,
  ignore_eos: true,
};

let gateway: Gateway;
let engine: SimulatedEngine;
let requests = 0;
beforeAll(async () => {
  gateway = await startGateway({
    engines: [{ requestLogSize: 1000, speed: 1 }],
    config: 'usage: { sampleRate: 0 }',
  });
  engine = gateway.engines[0]!;
}, 60_000);
afterAll(() => gateway.stop());
afterEach(async () => {
  engine.setFault({ mode: 'none' });
  await until(() => engine.stats().running + engine.stats().waiting === 0);
  expect(await gateway.inFlight()).toBe(0);
  expect(await activeExchanges()).toBe(0);
});

/** Begins a request whose exchange can be found. */
function begin(
  body: object | string,
  more: Omit<Sent, 'body'> = {},
): { readonly id: string; readonly outgoing: ClientRequest } {
  const id = `abort-${++requests}`;
  const headers = [
    ['content-type', 'application/json'],
    ['x-request-id', id],
    ...(more.headers ?? []),
  ] as const;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { id, outgoing: startRequest(gateway.port, { ...more, headers, body: text }) };
}

function lineOf(id: string) {
  return gateway.exchange((line) => line['requestId'] === id);
}

function atEngine(id: string) {
  return engine.requests().find(({ headers }) => headers['x-request-id'] === id);
}

/** Exchanges that have begun and not ended, as the metrics page says. */
async function activeExchanges(): Promise<number> {
  const page = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
  return Number(/^sluice_exchanges_active (\d+)$/m.exec(page)?.[1]);
}

/** Reads until the text has come; what follows is not read. */
async function readUntil(response: IncomingMessage, text: string): Promise<string> {
  let read = '';
  for await (const chunk of response.iterator({ destroyOnReturn: false })) {
    read += String(chunk);
    if (read.includes(text)) return read;
  }
  throw new Error(`The response ended without ${text}`);
}

describe('a client that leaves', () => {
  it('before its body was complete reaches no engine', async () => {
    const before = engine.requests().length;
    const { id, outgoing } = begin('{"model":', { headers: [['content-length', '1000']] });
    while ((await activeExchanges()) === 0) await new Promise((resolve) => setImmediate(resolve));
    outgoing.destroy();
    const line = await lineOf(id);
    expect(line).toMatchObject({ status: 0, outcome: 'aborted', usageSource: 'none' });
    expect(line['endpoint']).toBeUndefined();
    expect(engine.requests()).toHaveLength(before);
  });

  it.each([
    ['a plain answer', {}, 0],
    ['a streamed answer, after its head', { stream: true }, 200],
  ])('while a hanging engine owes %s frees it', async (_name, more, status) => {
    engine.setFault({ mode: 'hang' });
    const { id, outgoing } = begin({ ...long, ...more });
    const head = responseOf(outgoing).catch(() => undefined);
    await until(() => engine.stats().running + engine.stats().waiting === 1);
    if (status === 200) expect((await head)?.statusCode).toBe(200);
    expect(await gateway.inFlight()).toBe(1);
    outgoing.destroy();
    expect(await lineOf(id)).toMatchObject({
      status,
      outcome: 'aborted',
      endpoint: `127.0.0.1:${engine.port}`,
    });
    expect(await gateway.inFlight()).toBe(0);
    await until(() => engine.stats().running + engine.stats().waiting === 0);
    await until(() => atEngine(id)?.outcome === 'aborted');
  });

  it('mid-stream ends the generation', async () => {
    const { id, outgoing } = begin({ ...long, stream: true });
    await readUntil(await responseOf(outgoing), '"content":"');
    expect(engine.stats().running).toBe(1);
    outgoing.destroy();
    const line = await lineOf(id);
    expect(line).toMatchObject({ status: 200, outcome: 'aborted', attempts: 1, servedBy: line['endpoint'] });
    expect(line['outputTokens']).toBeUndefined();
    await until(() => engine.stats().running === 0);
    await until(() => atEngine(id)?.outcome === 'aborted');
  });

  it('mid-stream on HTTP/2 leaves the other streams of the connection alone', async () => {
    const session = connectHttp2(gateway.url);
    try {
      const open = (id: string, body: object) => {
        const stream = session.request({
          ':method': 'POST',
          ':path': '/v1/chat/completions',
          'x-request-id': id,
        });
        stream.end(JSON.stringify(body));
        return stream;
      };
      const leaving = open('h2-leaves', { ...long, stream: true });
      const staying = open('h2-stays', {
        ...long,
        max_tokens: 20,
        stream: true,
        stream_options: { include_usage: true },
      });
      await new Promise((resolve) => leaving.once('data', resolve));
      leaving.close(constants.NGHTTP2_CANCEL);
      let text = '';
      for await (const chunk of staying) text += String(chunk);
      expect(text).toMatch(/data: \[DONE\]\n\n$/);
      expect(await lineOf('h2-leaves')).toMatchObject({ outcome: 'aborted' });
      expect(await lineOf('h2-stays')).toMatchObject({ outcome: 'completed', outputTokens: 20 });
    } finally {
      session.close();
    }
  });

  it('at [DONE], without reading the end, was served', async () => {
    for (let turn = 0; turn < 20; turn++) {
      const { id, outgoing } = begin({
        ...long,
        max_tokens: 3,
        stream: true,
        stream_options: { include_usage: true },
      });
      await readUntil(await responseOf(outgoing), 'data: [DONE]');
      outgoing.destroy();
      expect(await lineOf(id)).toMatchObject({
        status: 200,
        outcome: 'completed',
        outputTokens: 3,
        usageSource: 'access-log',
      });
    }
  });

  it('at any moment from head to answer leaves nothing behind', async () => {
    engine.setFault({ mode: 'hang' });
    const body = JSON.stringify({ ...long, padding: '[]'.repeat(400_000) });
    const before = gateway.lines.length;
    for (let turns = 0; turns < 60; turns++) {
      const { outgoing } = begin(body);
      // The more turns of the event loop, the further it came: head, body, pick, engine.
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      outgoing.destroy();
    }
    await until(() => engine.requests().every(({ outcome }) => outcome !== 'open'));
    while ((await activeExchanges()) > 0) await new Promise((resolve) => setImmediate(resolve));
    const lines = gateway.lines.slice(before).filter((line) => 'exchange' in line);
    expect(lines.length).toBeGreaterThan(30);
    expect(lines.filter(({ outcome }) => outcome !== 'aborted')).toEqual([]);
    expect(gateway.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('with 50 others mid-stream leaves nothing behind', async () => {
    engine.setFault({ mode: 'slow', factor: 20 });
    const streams = Array.from({ length: 50 }, () => begin({ ...long, stream: true }));
    await Promise.all(
      streams.map(async ({ outgoing }) => readUntil(await responseOf(outgoing), '"content":"')),
    );
    expect(await gateway.inFlight()).toBe(50);
    for (const { outgoing } of streams) outgoing.destroy();
    for (const { id } of streams) expect(await lineOf(id)).toMatchObject({ status: 200, outcome: 'aborted' });
  });
});
