/**
 * A load of ext_proc exchanges without Envoy in between: one HTTP/2 connection, `concurrency` streams at a time, each the
 * messages that Envoy sends in BUFFERED mode.
 */
import { encode } from '../support/proto.ts';
import { connectGrpc, frameMessage, type FramedMessage, type GrpcConnection } from './grpc-connection.ts';
import { counter } from './prompts.ts';

export interface LoadOptions {
  /** `host:port` of the server. */
  readonly target: string;
  /** A request body that has `counter` in it: each exchange writes its own number there. */
  readonly body: Buffer;
  /** The number of the first exchange. */
  readonly firstNumber: number;
  readonly concurrency: number;
  /** The load ends at whichever comes first. */
  readonly exchanges: number;
  readonly durationMs: number;
  /** Response body chunks per exchange that the server asked to see; 0 where it did not. */
  readonly responseChunks: number;
}

export interface LoadResult {
  readonly exchanges: number;
  readonly failed: number;
  readonly seconds: number;
}

const requestType = 'envoy.service.ext_proc.v3.ProcessingRequest';
const processPath = '/envoy.service.ext_proc.v3.ExternalProcessor/Process';

/** Runs the load to its end. */
export async function exchangeLoad(options: LoadOptions): Promise<LoadResult> {
  const body = frameMessage(encode(requestType, { requestBody: { body: options.body, endOfStream: true } }));
  const numberAt = body.frames.indexOf(counter);
  if (numberAt < 0) throw new Error('Cannot make prompts unique: the body has no counter');
  const connection = await connectGrpc(options.target, processPath, body.payloadBytes);
  let started = 0;
  let failed = 0;
  const startMs = performance.now();
  const endMs = startMs + options.durationMs;
  await Promise.all(
    Array.from({ length: options.concurrency }, async () => {
      while (started < options.exchanges && performance.now() < endMs) {
        const number = String(options.firstNumber + started++).padStart(counter.length, '0');
        const isComplete = await runExchange(
          connection,
          body,
          (frames) => frames.write(number, numberAt, 'latin1'),
          options.responseChunks,
        );
        if (!isComplete) failed++;
      }
    }),
  );
  const seconds = (performance.now() - startMs) / 1000;
  connection.close();
  return { exchanges: started, failed, seconds };
}

const sseChunk = Buffer.from(
  `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"token text "},"finish_reason":null}]}\n\n${' '.repeat(80)}`,
);
const sseEnd = Buffer.from('data: [DONE]\n\n');
const chunk = frameMessage(encode(requestType, { responseBody: { body: sseChunk } }));
const lastChunk = frameMessage(encode(requestType, { responseBody: { body: sseEnd, endOfStream: true } }));

function headerMap(fields: Record<string, string>): object {
  return { headers: Object.entries(fields).map(([key, value]) => ({ key, rawValue: Buffer.from(value) })) };
}

const requestHeaders = frameMessage(
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
    attributes: {
      'envoy.filters.http.ext_proc': { fields: { 'source.address': { stringValue: '10.1.2.3:41234' } } },
    },
    protocolConfig: { requestBodyMode: 'BUFFERED' },
  }),
);

/** The response of an engine, by its address: Envoy says who served, and that is who was chosen. */
const responseHeaders = new Map<string, FramedMessage>();

function responseHeadersFrom(address: string): FramedMessage {
  let frame = responseHeaders.get(address);
  if (frame === undefined) {
    frame = frameMessage(
      encode(requestType, {
        responseHeaders: {
          headers: headerMap({
            ':status': '200',
            'content-type': 'text/event-stream; charset=utf-8',
            server: 'uvicorn',
          }),
        },
        attributes: {
          'envoy.filters.http.ext_proc': {
            fields: {
              'upstream.address': { stringValue: address },
              'upstream.request_attempt_count': { numberValue: 1 },
            },
          },
        },
      }),
    );
    responseHeaders.set(address, frame);
  }
  return frame;
}

/** Sends the head, the body at its answer, the response at the body's answer, and half-closes at the last answer. */
function runExchange(
  connection: GrpcConnection,
  body: FramedMessage,
  number: (frames: Buffer) => void,
  responseChunks: number,
): Promise<boolean> {
  return new Promise((resolve) => {
    let answers = 0;
    let served = true;
    connection.open(requestHeaders, {
      message(answer, stream) {
        answers++;
        if (answers === 1) stream.send(body, number);
        else if (answers === 2) {
          const address = destination(answer);
          served = address !== undefined;
          if (address === undefined) stream.end();
          else stream.send(responseHeadersFrom(address));
        } else if (answers === 3 + responseChunks) stream.end();
        else if (answers === 2 + responseChunks) stream.send(lastChunk);
        else stream.send(chunk);
      },
      close: (clean) => resolve(clean && served && answers === 3 + responseChunks),
    });
  });
}

const destinationHeader = 'x-gateway-destination-endpoint';

/** The first of the addresses that an answer names, or undefined for a refusal. */
function destination(answer: Buffer): string | undefined {
  const name = answer.indexOf(destinationHeader);
  if (name < 0) return undefined;
  // After the name: the tag of raw_value, the length of the value, the value.
  const at = name + destinationHeader.length;
  const list = answer.toString('latin1', at + 2, at + 2 + answer[at + 1]!);
  const comma = list.indexOf(',');
  return comma < 0 ? list : list.slice(0, comma);
}
