/** An HTTP server in an engine's place: answers health checks, and everything else as the test says. */
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';

export interface FakeEngine {
  readonly port: number;
  /** Requests other than health checks, in order of arrival. */
  readonly requests: readonly IncomingMessage[];
  stop(): Promise<void>;
}

export type Answer = (response: ServerResponse, request: IncomingMessage) => void;

export async function startFakeEngine(answer: Answer, tls?: ServerOptions): Promise<FakeEngine> {
  const requests: IncomingMessage[] = [];
  const listener: RequestListener = (request, response) => {
    request.resume();
    if (request.url === '/health') {
      response.end();
      return;
    }
    requests.push(request);
    request.once('end', () => answer(response, request));
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('Cannot listen on 127.0.0.1');
  return {
    port: address.port,
    requests,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Answers with a JSON document of known length. */
export function json(document: object): Answer {
  const body = JSON.stringify(document);
  return (response) => {
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    });
    response.end(body);
  };
}

/** Answers with server-sent events, each in a chunk of its own. */
export function events(...data: readonly (object | string)[]): Answer {
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    for (const item of data)
      response.write(`data: ${typeof item === 'string' ? item : JSON.stringify(item)}\n\n`);
    response.end();
  };
}
