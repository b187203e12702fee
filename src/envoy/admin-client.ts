/** Envoy's admin pages, over TCP or a Unix socket. */
import { request, type RequestOptions } from 'node:http';
import type { SocketAddress } from './address.ts';

export interface EnvoyAdmin {
  /** Whether Envoy serves: all configuration is there, listeners accept. */
  isReady(): Promise<boolean>;
  /** Requests that clients wait for now. */
  activeRequests(): Promise<number>;
  /** From now on: connections are closed after the running request, new ones are refused. */
  drain(): Promise<void>;
}

/** Creates a client; nothing is opened until it is used. Every call rejects when Envoy does not answer. */
export function createEnvoyAdmin(address: SocketAddress): EnvoyAdmin {
  const target: RequestOptions =
    address.kind === 'unix'
      ? { socketPath: address.path, host: 'localhost' }
      : { host: address.host === '0.0.0.0' ? '127.0.0.1' : address.host, port: address.port };
  const ask = (method: string, path: string): Promise<Answer> => call({ ...target, method, path });
  return {
    isReady: async () => (await ask('GET', '/ready')).status === 200,
    async activeRequests() {
      const { body } = await ask('GET', '/stats?filter=^http.sluice.downstream_rq_active$');
      return Number(/: (\d+)/.exec(body)?.[1] ?? 0);
    },
    async drain() {
      // The failed check makes Envoy say `connection: close` and GOAWAY; the other closes the listening sockets.
      await ask('POST', '/healthcheck/fail');
      await ask('POST', '/drain_listeners');
    },
  };
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

function call(options: RequestOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...options, agent: false, timeout: 2_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error('Cannot ask Envoy: no answer within 2 s')));
    outgoing.on('error', reject);
    outgoing.end();
  });
}
