/** A real HTTP server on the loopback that gives out a JWKS, and misbehaves when told to. */
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { SigningKey } from './tokens.ts';

/** What the server gives: an answer, silence, or a head whose body never ends. */
export type JwksReply =
  | {
      readonly status?: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body: string | Buffer;
    }
  | 'hang'
  | 'hang-in-body'
  | 'reset';

export class JwksServer {
  reply: JwksReply = { body: '{"keys":[]}' };
  /** Headers of each request. */
  readonly seen: IncomingHttpHeaders[] = [];
  /** Connections that are open. */
  connections = 0;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      this.seen.push(request.headers);
      const { reply } = this;
      if (reply === 'hang') return;
      if (reply === 'reset') {
        request.socket.destroy();
      } else if (reply === 'hang-in-body') {
        response.writeHead(200).write('{"keys":');
      } else {
        response.writeHead(reply.status ?? 200, reply.headers).end(reply.body);
      }
    });
    this.#server.on('connection', (socket) => {
      this.connections++;
      socket.once('close', () => this.connections--);
    });
  }

  static async start(port = 0): Promise<JwksServer> {
    const server = new JwksServer();
    await new Promise<void>((resolve) => server.#server.listen(port, '127.0.0.1', resolve));
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/jwks.json`;
  }

  /** Gives out the public halves of these keys from now on. */
  serve(keys: readonly Pick<SigningKey, 'jwk'>[], headers: Readonly<Record<string, string>> = {}): void {
    this.reply = { headers, body: JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }) };
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
