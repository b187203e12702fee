/**
 * One ext_proc stream as an Exchange: frames come in as Envoy sends them, the main path pulls what it needs.
 *
 * Outside FULL_DUPLEX_STREAMED Envoy is owed exactly one answer for each message, in order; `#owed` is that debt. In
 * FULL_DUPLEX_STREAMED it keeps no copy of a body: what we do not send on is lost.
 */
import { randomUUID } from 'node:crypto';
import {
  ClientGone,
  type BodyFilter,
  type BodyObserver,
  type Exchange,
  type ExchangeEnd,
  type HeaderChanges,
  type LocalReply,
  type RequestHead,
  type ResponseHead,
  type Route,
} from '../request/exchange.ts';
import { Rejection } from '../request/rejection.ts';
import { spliceBody } from '../request/splice.ts';
import type { StructValue } from '../lib/protobuf-struct.ts';
import { clientAddress } from './client-address.ts';
import {
  emptyAnswer,
  encodeHeadAnswer,
  encodeImmediateResponse,
  encodeReplacedBody,
  encodeRequestMutation,
  encodeResponseHeaders,
  encodeStreamedBody,
  encodeTimeoutOverride,
  streamResponseBody,
} from './codec.ts';
import type { Frame, ProtocolConfig } from './frame.ts';

/** Envoy's side of the stream: what the transport has to offer. */
export interface Stream {
  /** Sends one ProcessingResponse. */
  send(message: Buffer): void;
}

/** The header and the metadata key that name the endpoint, by the Gateway API inference extension's protocol. */
const destinationKey = 'x-gateway-destination-endpoint';

type HeadersFrame = Extract<Frame, { kind: 'request-headers' | 'response-headers' }>;
type BodyFrame = Extract<Frame, { readonly body: Buffer }>;
type TrailersFrame = Extract<Frame, { kind: 'request-trailers' | 'response-trailers' }>;

/** Envoy ≤ 1.33 does not say how it is configured. */
const classic: ProtocolConfig = { requestBody: 'buffered', responseBody: 'none' };
/** Envoy takes streamed bodies in chunks of at most 64 KiB. */
const chunkBytes = 62_000;

export class ExtProcExchange implements Exchange {
  readonly id = randomUUID();
  readonly head: RequestHead;
  readonly #stream: Stream;
  readonly #protocol: ProtocolConfig;
  /** The request message that awaits our answer. */
  #owed: 'request-headers' | 'request-body' | undefined = 'request-headers';
  readonly #requestChunks: Buffer[] = [];
  #requestBytes = 0;
  #requestComplete: boolean;
  #requestTrailers = false;
  /** Routed or replied: from now on what comes is let through. */
  #decided = false;
  #responseHeaders: HeadersFrame | undefined;
  #responseHeadersAnswered = false;
  /** What came after response headers that are not answered yet: in full duplex Envoy does not wait, and we must. */
  readonly #early: (BodyFrame | TrailersFrame)[] = [];
  #responseChanges: HeaderChanges | undefined;
  #observer: BodyObserver | undefined;
  #filter: BodyFilter | undefined;
  #observing = false;
  #responseComplete = false;
  #ended = false;
  #abort: AbortController | undefined;
  #wake: (() => void) | undefined;

  constructor(first: HeadersFrame, stream: Stream) {
    this.#stream = stream;
    this.#protocol = first.protocol ?? classic;
    this.#requestComplete = first.endOfStream;
    this.head = {
      method: first.headers.get(':method') ?? '',
      path: first.headers.get(':path') ?? '',
      headers: first.headers,
      hasBody: !first.endOfStream,
      clientAddress: first.attributes && clientAddress(first.attributes),
      metadata: first.metadata ?? noMetadata,
    };
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#ended && !this.#decided) this.#abort.abort();
    return this.#abort.signal;
  }

  /** Takes the next message from Envoy. */
  receive(frame: Frame): void {
    switch (frame.kind) {
      case 'request-body':
        this.#receiveRequestBody(frame.body, frame.endOfStream);
        break;
      case 'request-trailers':
        this.#receiveRequestTrailers();
        break;
      case 'response-headers':
        this.#responseHeaders = frame;
        this.#responseComplete = frame.endOfStream;
        break;
      case 'response-body':
      case 'response-trailers':
        if (this.#responseHeaders !== undefined && !this.#responseHeadersAnswered) this.#early.push(frame);
        else this.#receiveResponseRest(frame);
        break;
      case 'request-headers':
      case 'unknown':
        // A message of a later Envoy, or a second head: nothing is owed that we could name, so nothing is said.
        break;
      default:
        frame satisfies never;
    }
    this.#changed();
  }

  /** The stream ended, however it did. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (!this.#decided) this.#abort?.abort();
    this.#changed();
  }

  async body(maxBytes: number): Promise<Buffer> {
    if (!this.head.hasBody) return emptyBody;
    if (this.#protocol.requestBody === 'buffered') {
      this.#owed = undefined;
      this.#stream.send(encodeHeadAnswer(this.id));
    } else if (this.#protocol.requestBody !== 'full-duplex') {
      throw new Error(
        `Cannot read the request body: Envoy's ext_proc filter has request_body_mode ${this.#protocol.requestBody}; it must be BUFFERED or FULL_DUPLEX_STREAMED`,
      );
    }
    const tooLarge = (): boolean => this.#requestBytes > maxBytes || this.#responseStatus() === 413;
    while (!this.#requestComplete && !this.#ended && !tooLarge() && this.#responseHeaders === undefined)
      await this.#change();
    if (this.#responseHeaders !== undefined) {
      // Envoy answered before we did: over its own buffer limit it says 413, and shows us that answer.
      this.#decided = true;
      this.#stream.send(emptyAnswer['response-headers']);
      this.#openResponse();
    }
    if (tooLarge())
      throw new Rejection('body-too-large', `The request body is larger than ${maxBytes} bytes.`);
    if (!this.#requestComplete) throw new ClientGone();
    return this.#requestBody();
  }

  dropBody(): void {
    if (this.#protocol.requestBody !== 'full-duplex') this.#requestChunks.length = 0;
  }

  extendTimeout(timeoutMs: number): void {
    if (!this.#ended && !this.#decided) this.#stream.send(encodeTimeoutOverride(timeoutMs));
  }

  reply(reply: LocalReply): void {
    if (this.#ended || this.#decided) return;
    this.#decided = true;
    this.#stream.send(encodeImmediateResponse(reply.status, reply.headers, reply.body, reply.details));
  }

  route(route: Route): void {
    if (this.#ended) throw new ClientGone();
    this.#decided = true;
    this.#responseChanges = route.responseHeaders;
    const destination = route.destinations.join(',');
    const setHeaders: Record<string, string> = { ...route.setHeaders, [destinationKey]: destination };
    const metadata: Record<string, StructValue> = {
      'envoy.lb': { [destinationKey]: destination },
      sluice:
        this.#owed === 'request-body' ? { model: route.model } : { exchange: this.id, model: route.model },
    };
    const duplex = this.#protocol.requestBody === 'full-duplex';
    let body = this.#requestBytes > 0 && (duplex || route.edits.length > 0) ? this.#requestBody() : undefined;
    if (body !== undefined && route.edits.length > 0) {
      body = spliceBody(body, route.edits);
      setHeaders['content-length'] = String(body.length);
    }
    this.#requestChunks.length = 0;
    if (!duplex) {
      this.#stream.send(
        encodeRequestMutation(this.#owed ?? 'request-headers', {
          setHeaders,
          removeHeaders: route.removeHeaders,
          body,
          metadata,
        }),
      );
      this.#owed = undefined;
      return;
    }
    this.#stream.send(
      encodeRequestMutation('request-headers', {
        setHeaders,
        removeHeaders: route.removeHeaders,
        body: undefined,
        metadata,
      }),
    );
    if (!this.head.hasBody) return;
    this.#sendOn('request-body', body ?? emptyBody, this.#requestComplete && !this.#requestTrailers);
    if (this.#requestTrailers) this.#stream.send(emptyAnswer['request-trailers']);
  }

  async responseHead(): Promise<ResponseHead | undefined> {
    while (this.#responseHeaders === undefined && !this.#ended) await this.#change();
    const frame = this.#responseHeaders;
    if (frame === undefined) return undefined;
    const servedBy = frame.attributes?.['upstream.address'];
    const attempts = frame.attributes?.['upstream.request_attempt_count'];
    return {
      status: this.#responseStatus(),
      headers: frame.headers,
      servedBy: typeof servedBy === 'string' ? servedBy : undefined,
      attempts: typeof attempts === 'number' ? attempts : undefined,
    };
  }

  async finish(observer: BodyObserver | undefined, filter?: BodyFilter): Promise<ExchangeEnd> {
    const shown = this.#protocol.responseBody !== 'none';
    this.#observer = observer;
    this.#observing = observer !== undefined;
    if (this.#observing) this.#filter = filter;
    if (this.#responseHeaders !== undefined && !this.#ended) {
      const override = observer !== undefined && !shown && !this.#responseComplete;
      const changes = this.#headerChanges(this.#responseHeaders);
      if (changes !== undefined) this.#stream.send(encodeResponseHeaders(changes, override));
      else this.#stream.send(override ? streamResponseBody : emptyAnswer['response-headers']);
    }
    this.#openResponse();
    while (!this.#ended) await this.#change();
    return { bodyComplete: this.#observing ? this.#responseComplete : undefined };
  }

  #responseStatus(): number {
    return Number(this.#responseHeaders?.headers.get(':status') ?? 0);
  }

  #receiveRequestBody(chunk: Buffer, endOfStream: boolean): void {
    const duplex = this.#protocol.requestBody === 'full-duplex';
    if (this.#decided) {
      // Routed on the head alone (a path that needs no model): the body only passes through.
      if (duplex) this.#sendOn('request-body', chunk, endOfStream);
      else this.#stream.send(emptyAnswer['request-body']);
      return;
    }
    this.#requestBytes += chunk.length;
    this.#requestChunks.push(chunk);
    // BUFFERED is one message, whole, although end_of_stream is false when trailers follow.
    this.#requestComplete = endOfStream || !duplex;
    if (!duplex) this.#owed = 'request-body';
  }

  #receiveRequestTrailers(): void {
    if (this.#protocol.requestBody === 'full-duplex' && !this.#decided) {
      this.#requestTrailers = true;
      this.#requestComplete = true;
    } else {
      this.#stream.send(emptyAnswer['request-trailers']);
    }
  }

  /** A length that was declared is not that of a body that is filtered. */
  #headerChanges({ headers }: HeadersFrame): HeaderChanges | undefined {
    const changes = this.#responseChanges;
    if (this.#filter === undefined || headers.get('content-length') === undefined) return changes;
    const { remove = [], set = {}, append = {} } = changes ?? {};
    return { remove: [...remove, 'content-length'], set, append };
  }

  /** The response headers are answered: from now on the rest is answered as it comes. */
  #openResponse(): void {
    this.#responseHeadersAnswered = true;
    for (const frame of this.#early) this.#receiveResponseRest(frame);
    this.#early.length = 0;
  }

  #receiveResponseRest(frame: BodyFrame | TrailersFrame): void {
    if ('body' in frame) this.#receiveResponseBody(frame.body, frame.endOfStream);
    else this.#receiveResponseTrailers();
  }

  #receiveResponseBody(chunk: Buffer, endOfStream: boolean): void {
    if (endOfStream) this.#responseComplete = true;
    if (chunk.length > 0) this.#observer?.push(chunk);
    const passed = this.#filter === undefined ? chunk : filtered(this.#filter, chunk, endOfStream);
    if (this.#protocol.responseBody === 'full-duplex') {
      if (passed === chunk || passed.length > 0 || endOfStream)
        this.#sendOn('response-body', passed, endOfStream);
    } else {
      this.#stream.send(passed === chunk ? emptyAnswer['response-body'] : encodeReplacedBody(passed));
    }
  }

  #receiveResponseTrailers(): void {
    this.#responseComplete = true;
    // Outside full duplex an answer to trailers has no room for a body: what was held back is lost.
    if (this.#filter !== undefined && this.#protocol.responseBody === 'full-duplex') {
      const rest = this.#filter.end();
      if (rest.length > 0) this.#sendOn('response-body', rest, false);
    }
    this.#stream.send(emptyAnswer['response-trailers']);
  }

  #sendOn(direction: 'request-body' | 'response-body', body: Buffer, endOfStream: boolean): void {
    let start = 0;
    do {
      const end = Math.min(start + chunkBytes, body.length);
      this.#stream.send(
        encodeStreamedBody(direction, body.subarray(start, end), endOfStream && end === body.length),
      );
      start = end;
    } while (start < body.length);
  }

  #requestBody(): Buffer {
    if (this.#requestChunks.length > 1) {
      const whole = Buffer.concat(this.#requestChunks, this.#requestBytes);
      this.#requestChunks.length = 0;
      this.#requestChunks.push(whole);
    }
    return this.#requestChunks[0] ?? emptyBody;
  }

  /** Resolves at the next message or the end. There is one reader at a time: the main path. */
  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #changed(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

const emptyBody = Buffer.alloc(0);

/** What passes on in place of a chunk: the chunk itself where nothing changes. */
function filtered(filter: BodyFilter, chunk: Buffer, endOfStream: boolean): Buffer {
  const passed = chunk.length > 0 ? filter.push(chunk) : chunk;
  const rest = endOfStream ? filter.end() : emptyBody;
  if (rest.length === 0) return passed;
  return passed.length === 0 ? rest : Buffer.concat([passed, rest]);
}

function noMetadata(): undefined {
  return undefined;
}
