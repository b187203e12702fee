/**
 * A gRPC client for one method, on a bare socket: HTTP/2 frames are prepared once and copied with another stream id. It
 * costs a fraction of the server it loads, which a client on node:http2 does not. Only for a server that is trusted to
 * speak correctly: headers are never decoded.
 */
import { connect, type Socket } from 'node:net';

/** A message cut into DATA frames, whose stream ids are still missing. */
export interface FramedMessage {
  readonly frames: Buffer;
  /** Bytes that count against flow control. */
  readonly payloadBytes: number;
}

export interface StreamEvents {
  message(bytes: Buffer, stream: GrpcStream): void;
  /** Called once, with whether the server ended the stream itself. */
  close(clean: boolean): void;
}

export interface GrpcStream {
  /** Sends a copy of the message; `patch` may change it before. */
  send(message: FramedMessage, patch?: (frames: Buffer) => void): void;
  /** Half-closes. */
  end(): void;
}

export interface GrpcConnection {
  /** Opens a stream that begins with a message. */
  open(first: FramedMessage, events: StreamEvents): GrpcStream;
  close(): void;
}

interface OpenStream {
  readonly stream: GrpcStream;
  readonly events: StreamEvents;
  received: Buffer;
}

const frameHeaderBytes = 9;
const maxFrameBytes = 16_384;
const frameType = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
} as const;
const flag = { ack: 1, endStream: 1, endHeaders: 4 } as const;
const initialWindowSetting = 4;
const noBytes = Buffer.alloc(0);

/** Frames one gRPC message. */
export function frameMessage(message: Buffer): FramedMessage {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  const payload = Buffer.concat([prefix, message]);
  const frames: Buffer[] = [];
  for (let start = 0; start < payload.length; start += maxFrameBytes) {
    frames.push(frame(frameType.data, 0, 0, payload.subarray(start, start + maxFrameBytes)));
  }
  return { frames: Buffer.concat(frames), payloadBytes: payload.length };
}

/** Connects, and waits until the server's windows have room for `windowBytes`. */
export async function connectGrpc(
  target: string,
  path: string,
  windowBytes: number,
): Promise<GrpcConnection> {
  const [host, port] = target.split(':');
  const socket = connect(Number(port), host);
  socket.setNoDelay(true);
  const streams = new Map<number, OpenStream>();
  const requestHead = frame(frameType.headers, flag.endHeaders, 0, headerBlock(path));
  let nextId = 1;
  let window = 65_535;
  let streamWindow = 65_535;
  let pending = noBytes;
  const opened = Promise.withResolvers<undefined>();
  const waiting: { readonly bytes: number; readonly send: () => void }[] = [];

  function close(id: number, clean: boolean): void {
    const open = streams.get(id);
    streams.delete(id);
    open?.events.close(clean);
  }

  function sendWithin(bytes: number, send: () => void): void {
    if (waiting.length > 0 || window < bytes) waiting.push({ bytes, send });
    else {
      window -= bytes;
      send();
    }
  }

  function receive(type: number, flags: number, id: number, payload: Buffer): void {
    switch (type) {
      case frameType.data: {
        const open = streams.get(id);
        if (open !== undefined) takeMessages(open, payload);
        if ((flags & flag.endStream) !== 0) close(id, true);
        break;
      }
      case frameType.headers:
        if ((flags & flag.endStream) !== 0) close(id, true);
        break;
      case frameType.reset:
        close(id, false);
        break;
      case frameType.settings:
        if ((flags & flag.ack) !== 0) break;
        for (let at = 0; at < payload.length; at += 6) {
          if (payload.readUInt16BE(at) === initialWindowSetting) streamWindow = payload.readUInt32BE(at + 2);
        }
        socket.write(frame(frameType.settings, flag.ack, 0, noBytes));
        break;
      case frameType.ping:
        if ((flags & flag.ack) === 0) socket.write(frame(frameType.ping, flag.ack, 0, payload));
        break;
      case frameType.windowUpdate:
        if (id !== 0) break;
        window += payload.readUInt32BE(0);
        while (waiting.length > 0 && window >= waiting[0]!.bytes) {
          const { bytes, send } = waiting.shift()!;
          window -= bytes;
          send();
        }
        break;
      case frameType.goaway:
        socket.destroy();
        break;
      default:
    }
    if (window >= windowBytes && streamWindow >= windowBytes) opened.resolve(undefined);
  }

  socket.on('data', (chunk: Buffer) => {
    // What a batch of answers causes is written as one batch.
    socket.cork();
    const bytes = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    let at = 0;
    while (bytes.length - at >= frameHeaderBytes) {
      const end = at + frameHeaderBytes + bytes.readUIntBE(at, 3);
      if (bytes.length < end) break;
      const id = bytes.readUInt32BE(at + 5);
      receive(bytes[at + 3]!, bytes[at + 4]!, id, bytes.subarray(at + frameHeaderBytes, end));
      at = end;
    }
    pending = Buffer.from(bytes.subarray(at));
    socket.uncork();
  });
  socket.on('error', (error) => opened.reject(error));
  socket.on('close', () => {
    opened.reject(new Error(`Cannot load ${target}: it closed the connection`));
    for (const id of streams.keys()) close(id, false);
  });
  greet(socket);
  await opened.promise;

  return {
    open(first, events) {
      const id = nextId;
      nextId += 2;
      const stream: GrpcStream = {
        send(message, patch) {
          sendWithin(message.payloadBytes, () => {
            const frames = withStreamId(message.frames, id);
            patch?.(frames);
            socket.write(frames);
          });
        },
        end: () => socket.write(frame(frameType.data, flag.endStream, id, noBytes)),
      };
      streams.set(id, { stream, events, received: noBytes });
      socket.write(withStreamId(requestHead, id));
      stream.send(first);
      return stream;
    },
    close: () => socket.destroy(),
  };
}

/** The largest window there is: nothing that the server sends ever waits. */
const receiveWindowBytes = 2 ** 31 - 1;

function greet(socket: Socket): void {
  const settings = Buffer.alloc(6);
  settings.writeUInt16BE(initialWindowSetting);
  settings.writeUInt32BE(receiveWindowBytes, 2);
  const increment = Buffer.alloc(4);
  increment.writeUInt32BE(receiveWindowBytes - 65_535);
  socket.write(
    Buffer.concat([
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      frame(frameType.settings, 0, 0, settings),
      frame(frameType.windowUpdate, 0, 0, increment),
    ]),
  );
}

function takeMessages(open: OpenStream, payload: Buffer): void {
  let bytes = open.received.length === 0 ? payload : Buffer.concat([open.received, payload]);
  while (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt32BE(1)) {
    const end = 5 + bytes.readUInt32BE(1);
    open.events.message(bytes.subarray(5, end), open.stream);
    bytes = bytes.subarray(end);
  }
  open.received = bytes.length === 0 ? noBytes : Buffer.from(bytes);
}

function frame(type: number, flags: number, id: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(frameHeaderBytes + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(id, 5);
  payload.copy(bytes, frameHeaderBytes);
  return bytes;
}

/** A copy of frames, each with the stream's id. */
function withStreamId(frames: Buffer, id: number): Buffer {
  const copy = Buffer.from(frames);
  for (let at = 0; at < copy.length; at += frameHeaderBytes + copy.readUIntBE(at, 3))
    copy.writeUInt32BE(id, at + 5);
  return copy;
}

/** The request's headers in HPACK, without Huffman and without touching the dynamic table. */
function headerBlock(path: string): Buffer {
  const literal = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
  return Buffer.concat([
    Buffer.from([0x83, 0x86]), // :method POST and :scheme http, from the static table
    Buffer.from([0x04]), // :path
    literal(path),
    Buffer.from([0x01]), // :authority
    literal('bench'),
    Buffer.from([0x0f, 0x10]), // content-type
    literal('application/grpc'),
    Buffer.from([0x00]),
    literal('te'),
    literal('trailers'),
  ]);
}
