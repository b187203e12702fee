import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createUsageChunkFilter } from '../../src/request/usage-chunk.ts';
import { editBootstrap, fullDuplex } from '../support/edit-bootstrap.ts';
import { downloadTimeoutMs, testedEnvoyVersions } from '../support/envoy.ts';
import { startExchangeRig, type ExchangeRig } from '../support/exchange-rig.ts';
import { readReply, responseOf, send, startRequest } from '../support/http-client.ts';

const token = 'data: {"id":"1","choices":[{"delta":{"content":"ü"}}]}\n\n';
const chunk = 'data: {"id":"1","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n';
const done = 'data: [DONE]\n\n';
const events = { 'content-type': 'text/event-stream' };

const modes = [
  ...testedEnvoyVersions.map((version) => ({ version, duplex: false })),
  ...testedEnvoyVersions.map((version) => ({ version, duplex: true })),
];

describe.each(modes)('a response body that is filtered, by Envoy $version, full duplex $duplex', (mode) => {
  let rig: ExchangeRig;
  let answer: (response: ServerResponse, request: IncomingMessage) => void;
  beforeAll(async () => {
    rig = await startExchangeRig({
      envoyVersion: mode.version,
      engine: (request, response) => answer(response, request),
      ...(mode.duplex ? { editBootstrap: editBootstrap(fullDuplex) } : {}),
    });
  }, downloadTimeoutMs);
  afterAll(() => rig.stop());
  afterEach(() => {
    rig.decision = {};
  });

  /** The engine sends one piece after the other, each when the last one was seen. */
  function sendPieces(pieces: readonly string[]): () => string {
    let seen = '';
    let next: () => void = () => undefined;
    rig.decision = {
      filter: createUsageChunkFilter(),
      observer: {
        push(bytes) {
          seen += bytes.toString('latin1');
          next();
        },
      },
    };
    answer = (response) => {
      response.writeHead(200, events).flushHeaders();
      const left = [...pieces];
      next = () => {
        const piece = left.shift();
        if (piece === undefined) response.end();
        else response.write(piece);
      };
      next();
    };
    return () => Buffer.from(seen, 'latin1').toString();
  }

  it.each<[string, ...string[]]>([
    ['in one piece', token + chunk + done],
    ['by the event', token, token, chunk, done],
    [
      'in halves',
      token.slice(0, 20),
      token.slice(20),
      chunk.slice(0, 30),
      chunk.slice(30, 60),
      chunk.slice(60),
      done,
    ],
    ['last of all', token, done, chunk],
    ['without its blank line', token, done, chunk.slice(0, -1)],
  ])('passes without the chunk that comes %s', async (_, ...pieces) => {
    const seen = sendPieces(pieces);
    const reply = await send(rig.port, { body: '{}' });
    expect(seen()).toBe(pieces.join(''));
    expect(reply.body).toBe(pieces.join('').replace(chunk, '').replace(chunk.slice(0, -1), ''));
    expect(reply.status).toBe(200);
  });

  it('passes to its end when that had to wait', async () => {
    sendPieces([token, 'data: {"choices":[]']);
    expect((await send(rig.port, { body: '{}' })).body).toBe(token + 'data: {"choices":[]');
  });

  it('passes event by event', async () => {
    rig.decision = { filter: createUsageChunkFilter(), observer: { push: () => undefined } };
    let engine: ServerResponse | undefined;
    answer = (response) => {
      engine = response;
      response.writeHead(200, events).write(token);
    };
    const response = await responseOf(startRequest(rig.port, { body: '{}' }));
    // The first event is there while the engine has nothing else to say.
    const first = await new Promise<Buffer>((resolve) => response.once('data', resolve));
    expect(first.toString()).toBe(token);
    engine?.end(chunk + done);
    expect((await readReply(response)).body).toBe(done);
  });

  it('passes without the length that was declared', async () => {
    sendPieces([]);
    const body = token + chunk + done;
    answer = (response) =>
      response.writeHead(200, { ...events, 'content-length': Buffer.byteLength(body) }).end(body);
    const reply = await send(rig.port, { body: '{}' });
    expect(reply.body).toBe(token + done);
    expect(reply.headers['content-length']).toBeUndefined();
  });
});
