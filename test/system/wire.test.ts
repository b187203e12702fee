import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect as connectHttp2, constants } from 'node:http2';
import { startSimulatedEngine, type SimulatedEngine } from '../../src/engine-sim/server.ts';
import { envoyBootstrap } from '../../src/envoy/bootstrap.ts';
import { createEnvoySupervisor, type EnvoySupervisor } from '../../src/envoy/supervisor.ts';
import { decodeAccessLog } from '../../src/extproc/access-log.ts';
import { decodeFrame } from '../../src/extproc/codec.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createLogger } from '../../src/observability/log.ts';
import type { AccessLogEntry } from '../../src/request/access-log.ts';
import { envoyBinary } from '../support/envoy.ts';
import { freePort } from '../support/free-port.ts';
import { send } from '../support/http-client.ts';
import { decode } from '../support/proto.ts';
import { startWireTap, type WireTap } from '../support/wire-tap.ts';

const messages = [{ role: 'user', content: 'Grüße, 世界' }];
const chat = JSON.stringify({ model: 'm', messages, max_tokens: 2 });

describe('what the real Envoy sends', () => {
  let engine: SimulatedEngine;
  let tap: WireTap;
  let envoy: EnvoySupervisor;
  let port: number;

  beforeAll(async () => {
    engine = await startSimulatedEngine({ model: 'm' });
    tap = await startWireTap(engine.port);
    port = await freePort();
    const listen = { kind: 'tcp', host: '127.0.0.1', port } as const;
    const extProc = { kind: 'tcp', host: '127.0.0.1', port: tap.port } as const;
    envoy = createEnvoySupervisor(
      { log: createLogger({ level: 'silent', format: 'json' }), clock: systemClock, random: () => 0 },
      {
        bin: await envoyBinary(),
        listen,
        concurrency: 1,
        bootstrap: (admin) =>
          envoyBootstrap({
            listen,
            admin,
            extProc,
            engineTls: { kind: 'insecure' },
            accessLog: 'off',
            clientAddress: true,
          }),
      },
    );
    await envoy.start();
    await tap.until('endpoints', 2);

    const sent = await send(port, {
      path: '/v1/chat/completions?a=b',
      headers: [
        ['content-type', 'application/json'],
        ['x-request-id', 'request-1'],
        ['x-bytes', 'café'],
        ['x-twice', 'one'],
        ['x-twice', 'two'],
      ],
      body: chat,
    });
    expect(sent.status).toBe(200);
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const stream = session.request({ ':method': 'POST', ':path': '/v1/chat/completions' });
    stream.end(JSON.stringify({ model: 'm', messages, max_tokens: 2000, stream: true }));
    await new Promise((resolve) => stream.once('data', resolve));
    stream.close(constants.NGHTTP2_CANCEL);
    while (loggedEntries().length < 2) await tap.until('accessLog', tap.received('accessLog').length + 1);
    session.close();
  }, 60_000);

  afterAll(async () => {
    await envoy.stop(1000);
    tap.stop();
    await engine.stop();
  });

  function processed(): Record<string, unknown>[] {
    return tap
      .received('process')
      .map((bytes) => decode('envoy.service.ext_proc.v3.ProcessingRequest', bytes));
  }

  function loggedEntries(): AccessLogEntry[] {
    const entries: AccessLogEntry[] = [];
    for (const bytes of tap.received('accessLog'))
      decodeAccessLog(bytes, (exchangeId, entry) => {
        expect(exchangeId).toBe('exchange-1');
        entries.push(entry);
      });
    return entries;
  }

  it('is read by proto/ as a request’s head, body and response head', () => {
    const [head, body, response] = processed();
    expect(head).toEqual({
      requestHeaders: { headers: { headers: expect.any(Array) } },
      metadataContext: {},
      attributes: {
        'envoy.filters.http.ext_proc': {
          fields: { 'source.address': { stringValue: expect.stringMatching(/^127\.0\.0\.1:\d+$/) } },
        },
      },
      protocolConfig: { requestBodyMode: 'BUFFERED' },
    });
    const fields = headerPairs(head!);
    expect(fields).toEqual(
      expect.arrayContaining([
        [':method', 'POST'],
        [':path', '/v1/chat/completions?a=b'],
        [':authority', `127.0.0.1:${port}`],
        [':scheme', 'http'],
        ['content-type', 'application/json'],
        ['content-length', String(Buffer.byteLength(chat))],
        ['x-request-id', 'request-1'],
        ['x-bytes', Buffer.from('café').toString('latin1')],
        ['x-twice', 'one'],
        ['x-twice', 'two'],
      ]),
    );
    expect(body).toEqual({
      requestBody: { body: Buffer.from(chat), endOfStream: true },
      metadataContext: {},
    });
    expect(response).toMatchObject({
      attributes: {
        'envoy.filters.http.ext_proc': {
          fields: {
            'upstream.address': { stringValue: `127.0.0.1:${engine.port}` },
            'upstream.request_attempt_count': { numberValue: 1 },
          },
        },
      },
    });
    expect(headerPairs(response!)).toEqual(expect.arrayContaining([[':status', '200']]));
  });

  it('is read by decodeFrame() exactly as by proto/', () => {
    const frames = tap.received('process').map((bytes) => decodeFrame(bytes));
    expect(frames.map(({ kind }) => kind)).toEqual([
      'request-headers',
      'request-body',
      'response-headers',
      'request-headers',
      'request-body',
      'response-headers',
    ]);
    for (const [index, message] of processed().entries()) {
      const frame = frames[index]!;
      if (frame.kind === 'request-body') {
        const { body, endOfStream } = message['requestBody'] as { body: Buffer; endOfStream: boolean };
        expect(frame).toEqual({ kind: 'request-body', body, endOfStream });
      } else if (frame.kind === 'request-headers' || frame.kind === 'response-headers') {
        const pairs = headerPairs(message);
        const names = [...new Set(pairs.map(([name]) => name))];
        expect(frame.headers.names(() => true)).toEqual(pairs.map(([name]) => name));
        for (const name of names)
          expect(frame.headers.getAll(name)).toEqual(
            pairs.filter(([other]) => other === name).map(([, value]) => value),
          );
        expect(frame.endOfStream).toBe(false);
        expect(frame.attributes).toEqual(attributesOf(message));
        expect(frame.protocol).toEqual(
          frame.kind === 'request-headers' ? { requestBody: 'buffered', responseBody: 'none' } : undefined,
        );
      }
    }
  });

  it('is read as an access log', () => {
    const [first] = tap
      .received('accessLog')
      .map((bytes) => decode('envoy.service.accesslog.v3.StreamAccessLogsMessage', bytes));
    expect(first).toMatchObject({
      identifier: { node: { id: 'sluice-envoy', cluster: 'sluice' }, logName: 'sluice' },
    });
    const entries = (first!['httpLogs'] as { logEntry: Record<string, Record<string, unknown>>[] }).logEntry;
    expect(entries[0]).toMatchObject({
      commonProperties: {
        upstreamRemoteAddress: { socketAddress: { address: '127.0.0.1', portValue: engine.port } },
        metadata: {
          filterMetadata: {
            sluice: { fields: { exchange: { stringValue: 'exchange-1' }, model: { stringValue: 'm' } } },
            'sluice.usage': { fields: { output_tokens: { numberValue: 2 } } },
          },
        },
        upstreamRequestAttemptCount: 1,
      },
      response: { responseCode: { value: 200 }, responseCodeDetails: 'via_upstream' },
    });

    const served = { servedBy: `127.0.0.1:${engine.port}`, attempts: 1, status: 200, upstreamFailed: false };
    const { commonProperties, response } = entries[0]!;
    const { nanos } = commonProperties!['duration'] as { nanos: number };
    expect(loggedEntries()).toEqual([
      {
        ...served,
        details: 'via_upstream',
        clientClosed: false,
        durationMs: nanos / 1e6,
        responseBytes: response!['responseBodyBytes'],
        usage: { input_tokens: expect.any(Number), output_tokens: 2, cached_tokens: 0 },
      },
      {
        ...served,
        details: 'http2.remote_reset',
        clientClosed: true,
        durationMs: expect.any(Number),
        responseBytes: expect.any(Number),
        usage: undefined,
      },
    ]);
  });

  it('is read as endpoint discovery: asked, then accepted', () => {
    const requests = tap
      .received('endpoints')
      .map((bytes) => decode('envoy.service.discovery.v3.DiscoveryRequest', bytes));
    const asked = {
      node: { id: 'sluice-envoy', cluster: 'sluice' },
      resourceNames: ['pods'],
      typeUrl: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
    };
    expect(requests).toEqual([asked, { ...asked, versionInfo: '7', responseNonce: 'first' }]);
  });
});

interface HeaderMap {
  readonly headers: {
    readonly headers: readonly {
      readonly key: string;
      readonly rawValue?: Buffer;
      readonly value?: string;
    }[];
  };
}

/** Envoy fills `raw_value` and nothing else. */
function headerPairs(message: Record<string, unknown>): [name: string, value: string][] {
  const { headers } = (message['requestHeaders'] ?? message['responseHeaders']) as HeaderMap;
  return headers.headers.map(({ key, rawValue, value }) => {
    expect(value).toBeUndefined();
    return [key, (rawValue ?? Buffer.alloc(0)).toString('latin1')];
  });
}

function attributesOf(message: Record<string, unknown>): Record<string, unknown> {
  const { fields } = (
    message['attributes'] as Record<string, { fields: Record<string, Record<string, unknown>> }>
  )['envoy.filters.http.ext_proc']!;
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, Object.values(value)[0]]));
}
