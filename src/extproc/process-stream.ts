/**
 * The transport of ext_proc streams: gRPC's framing straight on node:http2.
 *
 * An exchange is one short bidirectional stream of three or four small messages, so the cost of the transport is most of
 * the cost of an exchange. grpc-js' object streams, interceptors and timers are half of that; this file is what is left
 * without them (docs/performance.md has both figures). Everything else on the port stays with grpc-js.
 */
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';

/** What an ext_proc stream does with what arrives. */
export interface StreamHandler {
  /** One message, whole. May throw: the stream then ends with INTERNAL. */
  message(bytes: Buffer): void;
  /** The stream is over, however it ended; called once. */
  close(): void;
}

/** Our side of one stream. */
export interface ProcessStream {
  /** Sends one message. Harmless after the end. */
  send(message: Buffer): void;
  /** Ends the stream with OK. */
  end(): void;
}

/**
 * Takes the streams of one gRPC method from a server that grpc-js runs.
 * @throws Error when the server has no stream listener of grpc-js to hand the others to.
 */
export function takeStreams(
  server: Http2Server,
  path: string,
  maxMessageBytes: number,
  open: (stream: ProcessStream) => StreamHandler,
): void {
  const others = server.listeners('stream') as ((...args: unknown[]) => void)[];
  if (others.length === 0) throw new Error('Cannot take over ext_proc streams: grpc-js listens to none');
  server.removeAllListeners('stream');
  server.on('stream', (stream, headers, ...rest) => {
    if (headers[':path'] === path && acceptable(headers)) serve(stream, maxMessageBytes, open);
    else for (const listener of others) listener.call(server, stream, headers, ...rest);
  });
}

/** Compressed messages and other content types are grpc-js' to refuse, in the protocol's words. */
function acceptable(headers: IncomingHttpHeaders): boolean {
  const encoding = headers['grpc-encoding'];
  return (
    headers['content-type']?.startsWith('application/grpc') === true &&
    (encoding === undefined || encoding === 'identity')
  );
}

function serve(
  stream: ServerHttp2Stream,
  maxMessageBytes: number,
  open: (stream: ProcessStream) => StreamHandler,
): void {
  let status: Status = Status.ok;
  let closed = false;
  const handler = open({
    send(message) {
      if (stream.closed || stream.destroyed || stream.writableEnded) return;
      if (!stream.headersSent) stream.respond(responseHeaders, withTrailers);
      stream.write(frame(message));
    },
    end,
  });
  const reader = createMessageReader(maxMessageBytes, (message) => handler.message(message));

  function end(): void {
    if (stream.closed || stream.destroyed || stream.writableEnded) return;
    if (!stream.headersSent) stream.respond(responseHeaders, withTrailers);
    stream.end();
  }

  function close(): void {
    if (closed) return;
    closed = true;
    handler.close();
  }

  stream.on('data', (chunk: Buffer) => {
    if (status !== Status.ok) return;
    try {
      status = reader(chunk);
    } catch {
      status = Status.internal;
    }
    if (status === Status.ok) return;
    // Nothing more is read: the exchange is over, whatever the client does with its side.
    close();
    end();
  });
  // Envoy's half-close is the end of the exchange. It is answered at once: Envoy waits only a second before it resets.
  stream.on('end', () => {
    close();
    end();
  });
  stream.on('close', close);
  // A reset of either kind also closes; without a listener it would be an uncaught exception.
  stream.on('error', close);
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }));
}

/** The gRPC status codes in use. */
const Status = { ok: '0', resourceExhausted: '8', unimplemented: '12', internal: '13' } as const;
type Status = (typeof Status)[keyof typeof Status];

const responseHeaders = { ':status': 200, 'content-type': 'application/grpc+proto' };
const withTrailers = { waitForTrailers: true, sendDate: false };
const prefixBytes = 5;

function frame(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(prefixBytes + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  message.copy(framed, prefixBytes);
  return framed;
}

/** Cuts what arrives into messages: one flag byte, four bytes of length, then the message. */
function createMessageReader(
  maxMessageBytes: number,
  onMessage: (message: Buffer) => void,
): (chunk: Buffer) => Status {
  let parts: Buffer[] = [];
  let heldBytes = 0;
  /** Length of the message at hand with its prefix; 0 until the prefix is there. */
  let wantedBytes = 0;

  return (chunk) => {
    parts.push(chunk);
    heldBytes += chunk.length;
    for (;;) {
      if (wantedBytes === 0) {
        if (heldBytes < prefixBytes) return Status.ok;
        const head = join();
        if (head[0] !== 0) return Status.unimplemented;
        const messageBytes = head.readUInt32BE(1);
        if (messageBytes > maxMessageBytes) return Status.resourceExhausted;
        wantedBytes = prefixBytes + messageBytes;
      }
      if (heldBytes < wantedBytes) return Status.ok;
      const held = join();
      const end = wantedBytes;
      parts = held.length > end ? [held.subarray(end)] : [];
      heldBytes -= end;
      wantedBytes = 0;
      onMessage(held.subarray(prefixBytes, end));
    }
  };

  function join(): Buffer {
    if (parts.length > 1) parts = [Buffer.concat(parts, heldBytes)];
    return parts[0]!;
  }
}
