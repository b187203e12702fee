/**
 * Loads of ext_proc exchanges without Envoy in between: one HTTP/2 connection, on each stream the messages that Envoy
 * sends in BUFFERED mode. Either so many at a time, or so many a second.
 */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { encode } from '../support/proto.ts';
import { connectGrpc, frameMessage, type FramedMessage, type GrpcConnection } from './grpc-connection.ts';
import { counter } from './prompts.ts';

interface Exchanges {
  /** `host:port` of the server. */
  readonly target: string;
  /** A request body that has `counter` in it: each exchange writes its own number there. */
  readonly body: Buffer;
  /** The number of the first exchange. */
  readonly firstNumber: number;
  /** Access tokens that exchanges send in turn. Default: none. */
  readonly tokens?: readonly string[];
  /** Whether every exchange is to be refused at its head, and then counts as complete. Default false. */
  readonly refused?: boolean;
}

export interface LoadOptions extends Exchanges {
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

export interface PacedLoadOptions extends Exchanges {
  /** Exchanges that begin in a second, however many are under way. */
  readonly perSecond: number;
}

export interface PacedLoadResult extends LoadResult {
  /** From when an exchange should have begun to its end. */
  readonly latencyMs: Percentiles;
  /** How late exchanges began: the part of their latency that the client and the machine are to blame for. */
  readonly lateMs: Percentiles;
}

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

const requestType = 'envoy.service.ext_proc.v3.ProcessingRequest';
const processPath = '/envoy.service.ext_proc.v3.ExternalProcessor/Process';

/** Runs the load to its end. */
export async function exchangeLoad(options: LoadOptions): Promise<LoadResult> {
  const { connection, run } = await connectExchanges(options, options.responseChunks);
  let started = 0;
  let failed = 0;
  const startMs = performance.now();
  const endMs = startMs + options.durationMs;
  await Promise.all(
    Array.from({ length: options.concurrency }, async () => {
      while (started < options.exchanges && performance.now() < endMs) {
        if (!(await run(started++))) failed++;
      }
    }),
  );
  const seconds = (performance.now() - startMs) / 1000;
  connection.close();
  return { exchanges: started, failed, seconds };
}

/** An exchange that has not ended this long after the last one began never will. */
const longestExchangeMs = 10_000;

/**
 * Begins exchanges at a fixed rate until it is aborted, and waits for their ends. None waits for another one, and each is
 * timed from when it should have begun: who is held up by a server that stands still counts, and so do those that could
 * not even begin meanwhile.
 */
export async function pacedLoad(
  options: PacedLoadOptions,
  onStarted: () => void,
  signal: AbortSignal,
): Promise<PacedLoadResult> {
  const { connection, run } = await connectExchanges(options, 0);
  const intervalMs = 1000 / options.perSecond;
  const latencies: number[] = [];
  const lateness: number[] = [];
  const running = new Set<Promise<void>>();
  let failed = 0;

  async function timed(number: number, dueMs: number): Promise<void> {
    const isComplete = await run(number);
    latencies.push(monotonicMs() - dueMs);
    if (!isComplete) failed++;
  }

  const pace = await startPace(intervalMs);
  const { startMs } = pace;
  pace.onTick(() => {
    for (;;) {
      const number = lateness.length;
      const dueMs = startMs + number * intervalMs;
      const nowMs = monotonicMs();
      if (dueMs > nowMs) return;
      lateness.push(nowMs - dueMs);
      const exchange = timed(number, dueMs).finally(() => running.delete(exchange));
      running.add(exchange);
    }
  });
  onStarted();
  await once(signal, 'abort');
  await pace.stop();
  const seconds = (monotonicMs() - startMs) / 1000;
  await Promise.race([Promise.all(running), delay(longestExchangeMs)]);
  connection.close();
  return {
    exchanges: lateness.length,
    failed: failed + running.size,
    seconds,
    latencyMs: percentiles(latencies),
    lateMs: percentiles(lateness),
  };
}

/** Connects; `run` runs one exchange and says whether it was complete. */
async function connectExchanges(
  { target, body: text, firstNumber, tokens = [], refused = false }: Exchanges,
  responseChunks: number,
): Promise<{ connection: GrpcConnection; run: (number: number) => Promise<boolean> }> {
  const body = frameMessage(encode(requestType, { requestBody: { body: text, endOfStream: true } }));
  const numberAt = body.frames.indexOf(counter);
  if (numberAt < 0) throw new Error('Cannot make prompts unique: the body has no counter');
  const connection = await connectGrpc(target, processPath, body.payloadBytes);
  const heads = tokens.length === 0 ? [requestHead()] : tokens.map(requestHead);
  return {
    connection,
    run(number) {
      const head = heads[number % heads.length]!;
      if (refused) return runRefusal(connection, head);
      const digits = String(firstNumber + number).padStart(counter.length, '0');
      const patch = (frames: Buffer): unknown => frames.write(digits, numberAt, 'latin1');
      return runExchange(connection, head, body, patch, responseChunks);
    },
  };
}

function percentiles(values: readonly number[]): Percentiles {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** Of the clock that all threads share. */
function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
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

function requestHead(token?: string): FramedMessage {
  return frameMessage(
    encode(requestType, {
      requestHeaders: {
        headers: headerMap({
          ':authority': 'gateway.example.com',
          ':path': '/v1/chat/completions',
          ':method': 'POST',
          ':scheme': 'http',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
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
      protocolConfig: { requestBodyMode: 'BUFFERED' },
    }),
  );
}

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
  head: FramedMessage,
  body: FramedMessage,
  number: (frames: Buffer) => void,
  responseChunks: number,
): Promise<boolean> {
  return new Promise((resolve) => {
    let answers = 0;
    let served = true;
    connection.open(head, {
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

/** What an answer begins with that is for the client: the tag of immediate_response. */
const immediateResponseTag = 0x3a;

/** Sends the head, whose only answer is to be one for the client. */
function runRefusal(connection: GrpcConnection, head: FramedMessage): Promise<boolean> {
  return new Promise((resolve) => {
    let isRefused = false;
    connection.open(head, {
      message(answer, stream) {
        isRefused = answer[0] === immediateResponseTag;
        stream.end();
      },
      close: (clean) => resolve(clean && isRefused),
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

interface Pace {
  /** When the first tick is due, by `monotonicMs`. */
  readonly startMs: number;
  readonly onTick: (tick: () => void) => void;
  stop(): Promise<unknown>;
}

/** Ticks at every interval, from a thread that does nothing but wait: timers of Node know whole milliseconds only. */
async function startPace(intervalMs: number): Promise<Pace> {
  const thread = new Worker(import.meta.filename, { workerData: { intervalMs } satisfies PaceData });
  const [startMs] = (await once(thread, 'message')) as [number];
  return {
    startMs,
    onTick: (tick) => thread.on('message', tick),
    stop: () => thread.terminate(),
  };
}

interface PaceData {
  readonly intervalMs: number;
}

/** The thread of `startPace`: says when it starts, then ticks. */
function keepPace({ intervalMs }: PaceData): void {
  const startMs = monotonicMs();
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  parentPort!.postMessage(startMs);
  for (let tick = 0; ; tick++) {
    const waitMs = startMs + tick * intervalMs - monotonicMs();
    if (waitMs > 0) Atomics.wait(nothing, 0, 0, waitMs);
    parentPort!.postMessage(undefined);
  }
}

if (!isMainThread) keepPace(workerData as PaceData);
