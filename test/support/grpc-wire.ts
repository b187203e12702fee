/** A gRPC client by hand on node:http2: its bytes go out in the pieces that the test wants. */
import {
  connect,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect as connectSocket } from 'node:net';

export const processPath = '/envoy.service.ext_proc.v3.ExternalProcessor/Process';

/** A message with its prefix: flag and length. */
export function framed(message: string | Uint8Array, flag = 0): Buffer {
  const bytes = Buffer.from(message);
  const prefix = Buffer.alloc(5, flag);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

export class GrpcWire {
  readonly session: ClientHttp2Session;
  /** The session's end, with the error where there was one. */
  readonly closed: Promise<Error | undefined>;

  /** @param target a port of 127.0.0.1, or the path of a socket. */
  constructor(target: number | string) {
    this.session = connect('http://127.0.0.1', {
      maxOutstandingPings: 1000,
      createConnection: () =>
        typeof target === 'number' ? connectSocket(target, '127.0.0.1') : connectSocket(target),
    });
    this.closed = new Promise<Error | undefined>((resolve) => {
      let failure: Error | undefined;
      this.session.on('error', (error: Error) => (failure = error));
      this.session.on('close', () => resolve(failure));
    });
  }

  open(path = processPath, headers: Record<string, string> = {}): GrpcWireStream {
    return new GrpcWireStream(
      this,
      this.session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...headers,
      }),
    );
  }

  /** Returns when the other side has read all that was sent before. */
  async ping(): Promise<void> {
    if (this.session.connecting) await new Promise((resolve) => this.session.once('connect', resolve));
    await new Promise<void>((resolve, reject) => {
      this.session.ping((error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  }

  async close(): Promise<void> {
    this.session.destroy();
    await this.closed;
  }
}

export class GrpcWireStream {
  readonly stream: ClientHttp2Stream;
  /** Messages that came, without their prefix. */
  readonly messages: Buffer[] = [];
  /** `grpc-status` from trailers, or from headers where that is all there is; undefined where the stream was cut. */
  readonly status: Promise<string | undefined>;
  readonly closed: Promise<void>;
  readonly #wire: GrpcWire;
  #held = Buffer.alloc(0);
  #wake: () => void = () => undefined;

  constructor(wire: GrpcWire, stream: ClientHttp2Stream) {
    this.#wire = wire;
    this.stream = stream;
    stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    stream.on('error', () => undefined);
    this.closed = new Promise((resolve) => stream.on('close', () => resolve()));
    this.status = new Promise((resolve) => {
      const read = (headers: IncomingHttpHeaders): void => {
        const status = headers['grpc-status'];
        if (status !== undefined) resolve(String(status));
      };
      stream.on('response', read);
      stream.on('trailers', read);
      stream.on('close', () => resolve(undefined));
    });
  }

  /** Sends bytes as one piece: returns when the other side has read it. */
  async write(bytes: Buffer): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.stream.write(bytes, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
    await this.#wire.ping();
  }

  /** Half-closes. */
  end(): void {
    this.stream.end();
  }

  /** Resolves with the n-th message, counted from 0. */
  async message(index: number): Promise<Buffer> {
    for (;;) {
      const message = this.messages[index];
      if (message !== undefined) return message;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #receive(chunk: Buffer): void {
    this.#held = Buffer.concat([this.#held, chunk]);
    while (this.#held.length >= 5) {
      const end = 5 + this.#held.readUInt32BE(1);
      if (this.#held.length < end) break;
      this.messages.push(this.#held.subarray(5, end));
      this.#held = this.#held.subarray(end);
    }
    this.#wake();
  }
}
