import { afterEach, describe, expect, it } from '@jest/globals';
import {
  editBootstrap,
  extProcOf,
  withoutAccessLog,
  type ConnectionManager,
} from '../support/edit-bootstrap.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { responseOf, send, startRequest, type Reply } from '../support/http-client.ts';
import { exchangeOf } from '../support/refusals.ts';
import { until } from '../support/until.ts';

const messages = [{ role: 'user', content: 'Hello' }];
const streamed = { stream: true, stream_options: { include_usage: true } };

function chat(more: object = {}): string {
  return JSON.stringify({ model: 'm', messages, max_tokens: 20, ...more });
}

describe('beside an Envoy that somebody else configured', () => {
  let gateway: Gateway | undefined;
  afterEach(async () => {
    try {
      if (gateway === undefined) return;
      const { engines } = gateway;
      await until(() => engines.every((engine) => engine.stats().running === 0));
      expect(await gateway.inFlight()).toBe(0);
    } finally {
      await gateway?.stop();
      gateway = undefined;
    }
  });

  async function start(
    change: (manager: ConnectionManager, runtime: Record<string, unknown>) => void,
    config = 'usage: { sampleRate: 0 }',
  ): Promise<Gateway> {
    gateway = await startGateway({
      engines: 1,
      mode: 'attached',
      config,
      editBootstrap: editBootstrap(change),
    });
    return gateway;
  }

  /** Sends it, checks that it was served, and returns its exchange line. */
  async function served(at: Gateway, body: string) {
    const reply = await send(at.port, { body });
    expect(reply.status).toBe(200);
    return exchangeOf(at, reply);
  }

  /** A client that leaves after the first bytes of a long answer. */
  async function leaveMidStream(at: Gateway, requestId: string) {
    const outgoing = startRequest(at.port, {
      headers: [['x-request-id', requestId]],
      body: chat({ ...streamed, max_tokens: 2000 }),
    });
    const response = await responseOf(outgoing);
    response.on('error', () => undefined);
    await new Promise((resolve) => response.once('data', resolve));
    outgoing.destroy();
    return at.exchange((line) => line['requestId'] === requestId);
  }

  describe('and that sends no access log', () => {
    it.each([
      ['plain', {}],
      ['streamed', streamed],
    ])('usage is read from a %s answer, which the client gets byte for byte', async (_name, more) => {
      const at = await start(withoutAccessLog);
      const body = chat(more);
      const headers = [
        ['content-type', 'application/json'],
        ['x-request-id', 'same'],
      ] as const;
      const through = await send(at.port, { body, headers });
      const direct = await send(at.engines[0]!.port, { body, headers });
      expect(withoutTime(through)).toBe(withoutTime(direct));
      const line = await at.exchange(({ requestId }) => requestId === 'same');
      expect(line).toMatchObject({
        status: 200,
        outcome: 'completed',
        outputTokens: 20,
        usageSource: 'streamed',
      });
      expect(line['responseBytes']).toBe(Buffer.byteLength(through.body));
    });

    it('a client that leaves mid-stream is told from one that stays', async () => {
      const at = await start(withoutAccessLog);
      expect(await leaveMidStream(at, 'leaves')).toMatchObject({
        status: 200,
        outcome: 'aborted',
        usageSource: 'none',
      });
      expect(await served(at, chat(streamed))).toMatchObject({
        outcome: 'completed',
        usageSource: 'streamed',
      });
    });

    it('a client that leaves before the answer has begun is let go of', async () => {
      const at = await start(withoutAccessLog);
      at.engines[0]!.setFault({ mode: 'hang' });
      const outgoing = startRequest(at.port, { headers: [['x-request-id', 'early']], body: chat() });
      await until(() => at.engines[0]!.stats().running + at.engines[0]!.stats().waiting === 1);
      expect(await at.inFlight()).toBe(1);
      outgoing.destroy();
      // Envoy shows no reply of its own either: nobody can say which of the two it was.
      expect(await at.exchange((line) => line['requestId'] === 'early')).toMatchObject({
        status: 0,
        outcome: 'unknown',
      });
      expect(await at.inFlight()).toBe(0);
    });
  });

  it('and that sends its access log, bodies are read until the first entry came', async () => {
    const at = await start(() => undefined);
    const first = await served(at, chat());
    expect(first).toMatchObject({ outcome: 'completed', outputTokens: 20, usageSource: 'streamed' });
    while (!/entries_total\{result="matched"\} [1-9]/.test(await metrics(at)))
      await new Promise((resolve) => setImmediate(resolve));
    expect(await served(at, chat(streamed))).toMatchObject({ outputTokens: 20, usageSource: 'access-log' });
    expect(await leaveMidStream(at, 'leaves')).toMatchObject({ status: 200, outcome: 'aborted' });
  });

  it.each([
    ['none', { usageSource: 'none', outputTokens: undefined, outcome: 'unknown' }],
    ['streamed', { usageSource: 'streamed', outputTokens: 20, outcome: 'completed' }],
    ['access-log', { usageSource: 'access-log', outputTokens: 20, outcome: 'completed' }],
  ])('usage.source %s is what the exchanges’ lines say', async (source, expected) => {
    const at = await start(() => undefined, `usage: { source: ${source} }`);
    for (const more of [{}, streamed, streamed]) {
      const line = await served(at, chat(more));
      expect(line).toMatchObject({
        status: 200,
        usageSource: expected.usageSource,
        outcome: expected.outcome,
      });
      expect(line['outputTokens']).toBe(expected.outputTokens);
    }
  });

  it('and that shows no request body, an inference request is a clear failure of the set-up', async () => {
    const at = await start((manager) => {
      const filter = extProcOf(manager);
      filter['processing_mode'] = { ...Object(filter['processing_mode']), request_body_mode: 'NONE' };
    });
    const reply = await send(at.port, { body: chat() });
    expect(reply.status).toBe(500);
    expect(reply.json).toEqual({
      error: {
        message: 'The server had an error while processing your request.',
        type: 'server_error',
        param: null,
        code: 'internal',
      },
    });
    expect(await exchangeOf(at, reply)).toMatchObject({
      status: 500,
      outcome: 'rejected',
      reason: 'internal',
    });
    const failure = await at.line(({ level }) => level === 'error');
    expect(failure['err']).toMatchObject({
      message:
        "Cannot read the request body: Envoy's ext_proc filter has request_body_mode none; it must be BUFFERED or FULL_DUPLEX_STREAMED",
    });
    // What needs no body is served all the same.
    expect((await send(at.port, { method: 'GET', path: '/v1/models' })).status).toBe(200);
  });

  it('and that ends its streams by reset, every exchange is settled all the same', async () => {
    const guard = 'envoy.reloadable_features.ext_proc_graceful_grpc_close';
    const at = await start((_manager, runtime) => {
      expect(runtime[guard]).toBe(true);
      runtime[guard] = false;
    });
    await served(at, chat());
    for (let turn = 0; turn < 20; turn++)
      expect(await served(at, chat(streamed))).toMatchObject({ outcome: 'completed', outputTokens: 20 });
    expect(await leaveMidStream(at, 'leaves')).toMatchObject({ status: 200, outcome: 'aborted' });
    expect(await send(at.port, { body: 'hello' })).toMatchObject({ status: 400 });
    expect(await at.inFlight()).toBe(0);
    expect(at.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });
});

async function metrics(at: Gateway): Promise<string> {
  return (await fetch(`${at.adminUrl}/metrics`)).text();
}

/** The answer, but for the second in which it was made. */
function withoutTime({ body }: Reply): string {
  return body.replace(/"created(_at)?":\d+/g, '');
}
