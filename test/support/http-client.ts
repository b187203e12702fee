/** HTTP as a test wants to say it: any path, method, header list and body, on a connection of its own. */
import {
  request,
  type Agent,
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export interface Sent {
  /** Default POST. */
  readonly method?: string;
  /** Default `/v1/chat/completions`; sent as it is. */
  readonly path?: string;
  /** Default: JSON. Names may repeat. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** A list is sent in chunks; a single body with its length. */
  readonly body?: string | Buffer | readonly (string | Buffer)[];
  /** Sent after a body in chunks. */
  readonly trailers?: Readonly<Record<string, string>>;
  readonly agent?: Agent;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** The body as the object that it should be. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** Sends one request and reads its reply whole; rejects where the connection ends before that. */
export async function send(port: number, sent: Sent): Promise<Reply> {
  return readReply(await responseOf(startRequest(port, sent)));
}

/** Sends one request; the caller reads the response, or leaves. */
export function startRequest(port: number, sent: Sent): ClientRequest {
  const { method = 'POST', path = '/v1/chat/completions', body, trailers } = sent;
  const given = sent.headers ?? (body === undefined ? [] : [['content-type', 'application/json'] as const]);
  const inChunks = typeof body === 'object' && !Buffer.isBuffer(body);
  const headers = [...given.flat(), 'host', `127.0.0.1:${port}`];
  if (inChunks) headers.push('transfer-encoding', 'chunked');
  else if (body !== undefined && !given.some(([name]) => name === 'content-length'))
    headers.push('content-length', String(Buffer.byteLength(body)));
  const outgoing = request({
    host: '127.0.0.1',
    port,
    method,
    path,
    headers,
    agent: sent.agent ?? false,
  });
  // Who is refused before the body was sent whole gets the reply and then a reset; only one of them counts.
  outgoing.on('error', () => undefined);
  if (!inChunks) {
    outgoing.end(body);
    return outgoing;
  }
  void pipeline(Readable.from(body), outgoing, { end: false })
    .then(() => {
      if (trailers !== undefined) outgoing.addTrailers(trailers);
      outgoing.end();
    })
    .catch(() => undefined);
  return outgoing;
}

/** The head of the response; rejects where there is none. */
export function responseOf(outgoing: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.once('response', resolve);
    outgoing.once('error', reject);
  });
}

/** Reads a response to its end. */
export async function readReply(response: IncomingMessage): Promise<Reply> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) if (chunk instanceof Buffer) chunks.push(chunk);
  return reply(response.statusCode ?? 0, response.headers, Buffer.concat(chunks).toString());
}

function reply(status: number, headers: IncomingHttpHeaders, body: string): Reply {
  return {
    status,
    headers,
    body,
    get json() {
      const value: unknown = JSON.parse(body);
      if (typeof value !== 'object' || value === null) throw new Error(`Not an object: ${body}`);
      return value as Record<string, unknown>;
    },
  };
}

/** Sends bytes on a connection of its own and returns all that comes back until the other side closes it. */
export async function sendRaw(port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(bytes);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) if (chunk instanceof Buffer) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
