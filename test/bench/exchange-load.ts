/**
 * A load of ext_proc exchanges without Envoy in between: one HTTP/2 connection, `concurrency` streams at a time, each the
 * messages that Envoy sends in BUFFERED mode. Written on node:http2 so that the client costs as little as it can.
 */
import http2 from 'node:http2';
import { encode } from '../support/proto.ts';

export interface LoadOptions {
  readonly port: number;
  readonly bodies: readonly Buffer[];
  readonly concurrency: number;
  readonly exchanges: number;
  /** Response body chunks per exchange that the server asked to see; 0 where it did not. */
  readonly responseChunks: number;
}

export interface LoadResult {
  readonly exchanges: number;
  readonly failed: number;
  readonly seconds: number;
}

const requestType = 'envoy.service.ext_proc.v3.ProcessingRequest';

/** Runs the load to its end. */
export async function exchangeLoad(options: LoadOptions): Promise<LoadResult> {
  const session = http2.connect(`http://127.0.0.1:${options.port}`, { settings: { initialWindowSize: 4 << 20 } });
  await new Promise((resolve, reject) => {
    session.once('connect', resolve);
    session.once('error', reject);
  });
  session.setLocalWindowSize(32 << 20);
  const bodies = options.bodies.map((body) => grpcFrame(encode(requestType, { requestBody: { body, endOfStream: true } })));
  const chunk = grpcFrame(encode(requestType, { responseBody: { body: sseChunk } }));
  const lastChunk = grpcFrame(encode(requestType, { responseBody: { body: sseEnd, endOfStream: true } }));
  let started = 0;
  let failed = 0;
  const startMs = performance.now();
  await Promise.all(
    Array.from({ length: options.concurrency }, async () => {
      while (started < options.exchanges) {
        const body = bodies[started++ % bodies.length]!;
        if (!(await runExchange(session, body, chunk, lastChunk, options.responseChunks))) failed++;
      }
    }),
  );
  const seconds = (performance.now() - startMs) / 1000;
  session.close();
  return { exchanges: options.exchanges, failed, seconds };
}

const sseChunk = Buffer.from(
  `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"token text "},"finish_reason":null}]}\n\n${' '.repeat(80)}`,
);
const sseEnd = Buffer.from('data: [DONE]\n\n');

function headerMap(fields: Record<string, string>): object {
  return { headers: Object.entries(fields).map(([key, value]) => ({ key, rawValue: Buffer.from(value) })) };
}

const requestHeaders = grpcFrame(
  encode(requestType, {
    requestHeaders: {
      headers: headerMap({
        ':authority': 'gateway.example.com',
        ':path': '/v1/chat/completions',
        ':method': 'POST',
        ':scheme': 'http',
        'content-type': 'application/json',
        accept: 'application/json',
        'user-agent': 'OpenAI/Python 1.99.1',
        'x-stainless-lang': 'python',
        'x-stainless-package-version': '1.99.1',
        'x-stainless-os': 'Linux',
        'x-stainless-arch': 'x64',
        'x-stainless-runtime': 'CPython',
        'x-stainless-runtime-version': '3.12.3',
        'x-forwarded-for': '10.1.2.3',
        'x-forwarded-proto': 'http',
        'x-request-id': '8f2e3c1a-5b3e-4a4e-9f57-0a3c9e6b7d11',
        'accept-encoding': 'identity',
        'x-stainless-async': 'false',
      }),
    },
    attributes: { 'envoy.filters.http.ext_proc': { fields: { 'source.address': { stringValue: '10.1.2.3:41234' } } } },
    protocolConfig: { requestBodyMode: 'BUFFERED' },
  }),
);

const responseHeaders = grpcFrame(
  encode(requestType, {
    responseHeaders: {
      headers: headerMap({ ':status': '200', 'content-type': 'text/event-stream; charset=utf-8', server: 'uvicorn' }),
    },
    attributes: {
      'envoy.filters.http.ext_proc': {
        fields: { 'upstream.address': { stringValue: '127.0.0.1:9100' }, 'upstream.request_attempt_count': { numberValue: 1 } },
      },
    },
  }),
);

/** Sends the head, the body at its answer, the response at the body's answer, and half-closes at the last answer. */
function runExchange(
  session: http2.ClientHttp2Session,
  body: Buffer,
  chunk: Buffer,
  lastChunk: Buffer,
  responseChunks: number,
): Promise<boolean> {
  return new Promise((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/envoy.service.ext_proc.v3.ExternalProcessor/Process',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    let answers = 0;
    let buffered: Buffer = emptyBuffer;
    stream.write(requestHeaders);
    stream.on('data', (data: Buffer) => {
      buffered = buffered.length === 0 ? data : Buffer.concat([buffered, data]);
      while (buffered.length >= 5 && buffered.length >= 5 + buffered.readUInt32BE(1)) {
        buffered = buffered.subarray(5 + buffered.readUInt32BE(1));
        answers++;
        if (answers === 1) stream.write(body);
        else if (answers === 2) stream.write(responseHeaders);
        else if (answers === 3 + responseChunks) stream.end();
        else if (answers === 2 + responseChunks) stream.write(lastChunk);
        else stream.write(chunk);
      }
    });
    stream.on('error', () => resolve(false));
    stream.on('close', () => resolve(answers === 3 + responseChunks));
  });
}

const emptyBuffer = Buffer.alloc(0);

function grpcFrame(message: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(5 + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  message.copy(frame, 5);
  return frame;
}
