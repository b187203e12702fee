/**
 * Bytes to Frame and replies to bytes, for the two messages of ext_proc.
 *
 * Written by hand, on protobufjs' reader and a writer of our own, because these two messages are the hot path: header values go from the
 * wire to strings without a Buffer in between, fields nobody reads are skipped, and empty answers are constants. proto/
 * is the contract; a test holds this file against it.
 */
import protobuf from 'protobufjs/minimal.js';
import { Headers } from '../lib/headers.ts';
import { readMap, readMapEntry, readStruct, writeStruct, type StructValue } from '../lib/protobuf-struct.ts';
import { ProtobufWriter } from '../lib/protobuf-writer.ts';
import type { HeaderChanges } from '../request/exchange.ts';
import type { Attributes, BodyMode, Frame, MetadataReader, ProtocolConfig } from './frame.ts';

const { Reader } = protobuf;

const bodyModes: readonly BodyMode[] = [
  'none',
  'streamed',
  'buffered',
  'buffered-partial',
  'full-duplex',
  'grpc',
];

/** Decodes one ProcessingRequest. Body bytes are views into `message`: they live as long as it does. */
export function decodeFrame(message: Buffer): Frame {
  const reader = Reader.create(message);
  let kind: Frame['kind'] = 'unknown';
  let pairs: string[] = [];
  let body: Buffer = emptyBody;
  let endOfStream = false;
  let attributes: Attributes | undefined;
  let protocol: ProtocolConfig | undefined;
  let metadataStart = 0;
  let metadataEnd = 0;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    switch (tag) {
      case 18: // request_headers = 2
      case 26: {
        // response_headers = 3
        kind = tag === 18 ? 'request-headers' : 'response-headers';
        const end = reader.uint32() + reader.pos;
        while (reader.pos < end) {
          const field = reader.uint32();
          if (field === 10) pairs = readHeaderMap(reader, message);
          else if (field === 24) endOfStream = reader.bool();
          else reader.skipType(field & 7);
        }
        break;
      }
      case 34: // request_body = 4
      case 42: {
        // response_body = 5
        kind = tag === 34 ? 'request-body' : 'response-body';
        const end = reader.uint32() + reader.pos;
        while (reader.pos < end) {
          const field = reader.uint32();
          if (field === 10) {
            const length = reader.uint32();
            body = message.subarray(reader.pos, reader.pos + length);
            reader.skip(length);
          } else if (field === 16) endOfStream = reader.bool();
          else reader.skipType(field & 7);
        }
        break;
      }
      case 50: // request_trailers = 6
        kind = 'request-trailers';
        reader.skipType(2);
        break;
      case 58: // response_trailers = 7
        kind = 'response-trailers';
        reader.skipType(2);
        break;
      case 66: {
        // metadata_context = 8: in every message, and nearly always empty
        const length = reader.uint32();
        metadataStart = reader.pos;
        reader.skip(length);
        metadataEnd = reader.pos;
        break;
      }
      case 74: // attributes = 9
        readMapEntry(reader, reader.uint32() + reader.pos, (_filter, end) => {
          attributes = readStruct(reader, end);
        });
        break;
      case 90: // protocol_config = 11
        protocol = readProtocolConfig(reader);
        break;
      default:
        reader.skipType(tag & 7);
    }
  }
  switch (kind) {
    case 'request-headers':
    case 'response-headers': {
      const metadata =
        kind === 'request-headers' && metadataEnd > metadataStart
          ? metadataReader(message.subarray(metadataStart, metadataEnd))
          : undefined;
      return { kind, headers: new Headers(pairs), endOfStream, attributes, protocol, metadata };
    }
    case 'request-body':
    case 'response-body':
      return { kind, body, endOfStream };
    default:
      return { kind };
  }
}

const emptyBody = Buffer.alloc(0);

function readHeaderMap(reader: protobuf.Reader, message: Buffer): string[] {
  const pairs: string[] = [];
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag !== 10) {
      reader.skipType(tag & 7);
      continue;
    }
    const headerEnd = reader.uint32() + reader.pos;
    let key = '';
    let value = '';
    while (reader.pos < headerEnd) {
      const field = reader.uint32();
      // key = 1, value = 2, raw_value = 3; Envoy fills raw_value, whose bytes are kept one to one.
      if (field === 10 || field === 18 || field === 26) {
        const length = reader.uint32();
        const text = message.toString('latin1', reader.pos, reader.pos + length);
        reader.skip(length);
        if (field === 10) key = text;
        else if (text !== '') value = text;
      } else reader.skipType(field & 7);
    }
    pairs.push(key, value);
  }
  return pairs;
}

function readProtocolConfig(reader: protobuf.Reader): ProtocolConfig {
  let requestBody: BodyMode = 'none';
  let responseBody: BodyMode = 'none';
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 8) requestBody = bodyModes[reader.uint32()] ?? 'none';
    else if (tag === 16) responseBody = bodyModes[reader.uint32()] ?? 'none';
    else reader.skipType(tag & 7);
  }
  return { requestBody, responseBody };
}

/** Reads a core.Metadata when asked, from a copy: the message may share its memory with much that is larger. */
function metadataReader(view: Buffer): MetadataReader {
  const bytes = Buffer.from(view);
  return (wanted) => {
    const reader = Reader.create(bytes);
    let values: Record<string, StructValue> | undefined;
    readMap(reader, reader.len, 1, (namespace, end) => {
      if (namespace === wanted) values = readStruct(reader, end);
    });
    return values;
  };
}

/** The answers that change nothing, by what they answer. */
export const emptyAnswer = {
  'request-headers': Buffer.from([0x0a, 0x00]),
  'response-headers': Buffer.from([0x12, 0x00]),
  'request-body': Buffer.from([0x1a, 0x00]),
  'response-body': Buffer.from([0x22, 0x00]),
  'request-trailers': Buffer.from([0x2a, 0x00]),
  'response-trailers': Buffer.from([0x32, 0x00]),
} as const;

/** How long an exchange id is: a UUID. */
const exchangeIdLength = 36;

/**
 * Answers the request headers with nothing but the exchange id, as metadata, so that Envoy's log entry is ours also when
 * the client leaves before the body is there. One constant with a hole in it.
 */
export function encodeHeadAnswer(exchangeId: string): Buffer {
  const message = Buffer.allocUnsafe(headAnswer.length);
  headAnswer.copy(message);
  message.write(exchangeId, headAnswer.length - exchangeIdLength, 'latin1');
  return message;
}

const headAnswer = ((): Buffer => {
  const writer = new ProtobufWriter().begin(10).end().begin(66); // request_headers = 1, dynamic_metadata = 8
  return writeStruct(writer, { sluice: { exchange: ' '.repeat(exchangeIdLength) } })
    .end()
    .finish();
})();

/** Answers response headers with a mode override: from now on the response body is shown chunk by chunk. */
export const streamResponseBody: Buffer = writeStreamedMode(new ProtobufWriter().begin(18).end()).finish(); // response_headers = 2

function writeStreamedMode(writer: ProtobufWriter): ProtobufWriter {
  return writer
    .begin(74) // mode_override = 9
    .uint(16, 1) // response_header_mode = SEND
    .uint(24, 2) // request_body_mode = BUFFERED: an override's body modes are always explicit
    .uint(32, 1) // response_body_mode = STREAMED
    .uint(40, 2) // request_trailer_mode = SKIP
    .uint(48, 1) // response_trailer_mode = SEND
    .end();
}

/** What an answer in the request direction may change. */
export interface RequestMutation {
  readonly setHeaders: Readonly<Record<string, string>>;
  readonly removeHeaders: readonly string[];
  /** The whole new body, or undefined to leave it. */
  readonly body: Buffer | undefined;
  /** Dynamic metadata: namespace to values. */
  readonly metadata: Readonly<Record<string, StructValue>>;
}

/** Scratch memory: every message below is finished in the call that starts it, so one writer serves them all. */
const writer = new ProtobufWriter();

/** Answers the request headers or the buffered request body with a mutation. */
export function encodeRequestMutation(
  answers: 'request-headers' | 'request-body',
  mutation: RequestMutation,
): Buffer {
  writer.start().begin(answers === 'request-headers' ? 10 : 26); // HeadersResponse = 1, BodyResponse = 3
  writer.begin(10).begin(18); // CommonResponse, header_mutation = 2
  writeHeaderMutation(mutation.setHeaders, mutation.removeHeaders);
  writer.end();
  if (mutation.body !== undefined) writer.begin(26).bytes(10, mutation.body).end(); // body_mutation = 3 {body = 1}
  writer.end().end();
  return writeStruct(writer.begin(66), mutation.metadata).end().finish(); // dynamic_metadata = 8
}

/** Answers response headers with changes to them, and with the mode override of `streamResponseBody` where asked. */
export function encodeResponseHeaders(changes: HeaderChanges, streamBody: boolean): Buffer {
  writer.start().begin(18).begin(10).begin(18); // HeadersResponse = 2, CommonResponse, header_mutation = 2
  writeHeaderMutation(changes.set, changes.remove);
  for (const name in changes.append) {
    // append = 2 {value = 1}: deprecated, and all that Envoy reads of an action; the default append_action says the same.
    writeHeader(name, changes.append[name]!).begin(18).uint(8, 1).end().end();
  }
  writer.end().end().end();
  if (streamBody) writeStreamedMode(writer);
  return writer.finish();
}

/** One chunk of a full-duplex body, to be sent on in place of what was received. */
export function encodeStreamedBody(
  answers: 'request-body' | 'response-body',
  chunk: Uint8Array,
  endOfStream: boolean,
): Buffer {
  writer.start().begin(answers === 'request-body' ? 26 : 34); // BodyResponse = 3 or 4
  writer.begin(10).begin(26).begin(26); // CommonResponse, body_mutation = 3, streamed_response = 3
  if (chunk.length > 0) writer.bytes(10, chunk);
  if (endOfStream) writer.uint(16, 1);
  return writer.end().end().end().end().finish();
}

/** Answers a chunk of a streamed response body with what passes on in its place. Not for full-duplex bodies. */
export function encodeReplacedBody(body: Uint8Array): Buffer {
  if (body.length === 0) return clearedBody;
  return startReplacedBody().bytes(10, body).end().end().end().finish();
}

function startReplacedBody(): ProtobufWriter {
  return writer.start().begin(34).begin(10).begin(26); // BodyResponse = 4, CommonResponse, body_mutation = 3
}

const clearedBody: Buffer = startReplacedBody().uint(16, 1).end().end().end().finish(); // clear_body = 2

/** A reply in the engine's place: ends external processing. */
export function encodeImmediateResponse(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
  details: string,
): Buffer {
  writer.start().begin(58).begin(10).uint(8, status).end(); // immediate_response = 7 {status = 1}
  writer.begin(18);
  writeHeaderMutation(headers, []);
  return writer.end().string(26, body).string(42, details).end().finish();
}

/** Asks for more time before the owed answer; a message of its own. */
export function encodeTimeoutOverride(timeoutMs: number): Buffer {
  writer.start().begin(82); // override_message_timeout = 10 {seconds = 1, nanos = 2}
  writer.uint(8, Math.floor(timeoutMs / 1000)).uint(16, Math.floor((timeoutMs % 1000) * 1e6));
  return writer.end().finish();
}

function writeHeaderMutation(
  setHeaders: Readonly<Record<string, string>>,
  removeHeaders: readonly string[],
): void {
  // append_action = 3. Today's Envoy overwrites by default; the action says the same to one that will read it.
  for (const name in setHeaders) writeHeader(name, setHeaders[name]!).uint(24, 2).end();
  for (const name of removeHeaders) writer.string(18, name);
}

/**
 * Begins a HeaderValueOption {header = 1 {key = 1, raw_value = 3}}; whoever calls says what to do with it, and ends it.
 * Only raw_value: Envoy ignores `value`, and refuses both.
 */
function writeHeader(name: string, value: string): ProtobufWriter {
  return writer.begin(10).begin(10).string(10, name).bytes(26, Buffer.from(value, 'latin1')).end();
}
