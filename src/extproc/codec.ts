/**
 * Bytes to Frame and replies to bytes, for the two messages of ext_proc.
 *
 * Written by hand on protobufjs' reader and writer because these two messages are the hot path: header values go from the
 * wire to strings without a Buffer in between, fields nobody reads are skipped, and empty answers are constants. proto/
 * is the contract; a test holds this file against it.
 */
import protobuf from 'protobufjs/minimal.js';
import { Headers } from '../lib/headers.ts';
import { readMapEntry, readStruct, writeStruct, type StructValue } from '../lib/protobuf-struct.ts';
import type { Attributes, BodyMode, Frame, ProtocolConfig } from './frame.ts';

const { Reader, Writer } = protobuf;

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
    case 'response-headers':
      return { kind, headers: new Headers(pairs), endOfStream, attributes, protocol };
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
  const writer = Writer.create().uint32(10).fork().ldelim().uint32(66).fork(); // request_headers = 1, dynamic_metadata = 8
  writeStruct(writer, { sluice: { exchange: ' '.repeat(exchangeIdLength) } });
  return Buffer.from(writer.ldelim().finish());
})();

/** Answers response headers with a mode override: from now on the response body is shown chunk by chunk. */
export const streamResponseBody: Buffer = Buffer.from(
  Writer.create()
    .uint32(18) // response_headers = 2
    .bytes(emptyBody)
    .uint32(74) // mode_override = 9
    .fork()
    .uint32(16) // response_header_mode = SEND
    .uint32(1)
    .uint32(24) // request_body_mode = BUFFERED: an override's body modes are always explicit
    .uint32(2)
    .uint32(32) // response_body_mode = STREAMED
    .uint32(1)
    .uint32(40) // request_trailer_mode = SKIP
    .uint32(2)
    .uint32(48) // response_trailer_mode = SEND
    .uint32(1)
    .ldelim()
    .finish(),
);

/** What an answer in the request direction may change. */
export interface RequestMutation {
  readonly setHeaders: Readonly<Record<string, string>>;
  readonly removeHeaders: readonly string[];
  /** The whole new body, or undefined to leave it. */
  readonly body: Buffer | undefined;
  /** Dynamic metadata: namespace to values. */
  readonly metadata: Readonly<Record<string, StructValue>>;
}

/** Answers the request headers or the buffered request body with a mutation. */
export function encodeRequestMutation(
  answers: 'request-headers' | 'request-body',
  mutation: RequestMutation,
): Buffer {
  const writer = Writer.create();
  writer.uint32(answers === 'request-headers' ? 10 : 26).fork(); // HeadersResponse = 1, BodyResponse = 3
  writer.uint32(10).fork(); // CommonResponse
  writer.uint32(18).fork(); // header_mutation = 2
  writeHeaderMutation(writer, mutation.setHeaders, mutation.removeHeaders);
  writer.ldelim();
  if (mutation.body !== undefined) writer.uint32(26).fork().uint32(10).bytes(mutation.body).ldelim(); // body_mutation = 3 {body = 1}
  writer.ldelim().ldelim();
  writer.uint32(66).fork(); // dynamic_metadata = 8
  writeStruct(writer, mutation.metadata);
  return Buffer.from(writer.ldelim().finish());
}

/** One chunk of a full-duplex body, to be sent on in place of what was received. */
export function encodeStreamedBody(
  answers: 'request-body' | 'response-body',
  chunk: Uint8Array,
  endOfStream: boolean,
): Buffer {
  const writer = Writer.create();
  writer.uint32(answers === 'request-body' ? 26 : 34).fork(); // BodyResponse = 3 or 4
  writer.uint32(10).fork().uint32(26).fork().uint32(26).fork(); // CommonResponse, body_mutation = 3, streamed_response = 3
  if (chunk.length > 0) writer.uint32(10).bytes(chunk);
  if (endOfStream) writer.uint32(16).bool(true);
  return Buffer.from(writer.ldelim().ldelim().ldelim().ldelim().finish());
}

/** A reply in the engine's place: ends external processing. */
export function encodeImmediateResponse(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
  details: string,
): Buffer {
  const writer = Writer.create().uint32(58).fork(); // immediate_response = 7
  writer.uint32(10).fork().uint32(8).uint32(status).ldelim();
  writer.uint32(18).fork();
  writeHeaderMutation(writer, headers, []);
  writer.ldelim();
  writer.uint32(26).string(body);
  writer.uint32(42).string(details);
  return Buffer.from(writer.ldelim().finish());
}

/** Asks for more time before the owed answer; a message of its own. */
export function encodeTimeoutOverride(timeoutMs: number): Buffer {
  const writer = Writer.create().uint32(82).fork(); // override_message_timeout = 10 {seconds = 1, nanos = 2}
  writer.uint32(8).int64(Math.floor(timeoutMs / 1000));
  writer.uint32(16).int32(Math.floor((timeoutMs % 1000) * 1e6));
  return Buffer.from(writer.ldelim().finish());
}

function writeHeaderMutation(
  writer: protobuf.Writer,
  setHeaders: Readonly<Record<string, string>>,
  removeHeaders: readonly string[],
): void {
  for (const name in setHeaders) {
    // HeaderValueOption {header = 1 {key = 1, raw_value = 3}, append_action = 3}. Only raw_value: Envoy ignores `value`,
    // and refuses both. Today's Envoy overwrites by default; the action says the same to one that will read it.
    writer.uint32(10).fork().uint32(10).fork();
    writer.uint32(10).string(name).uint32(26).bytes(Buffer.from(setHeaders[name]!, 'latin1'));
    writer.ldelim().uint32(24).uint32(2).ldelim();
  }
  for (const name of removeHeaders) writer.uint32(18).string(name);
}
