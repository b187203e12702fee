/** A real HTTP server on the loopback that answers like an engine, and misbehaves when told to. */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { endpointId, type EndpointTarget } from '../../src/endpoints/endpoint.ts';

/** What a path gives: an answer, or silence until the caller goes away. */
export type EngineReply = { readonly status: number; readonly body: string | Buffer } | 'hang' | 'reset';

export interface SeenRequest {
  readonly path: string;
  readonly host: string | undefined;
  readonly servername: string | undefined;
  readonly authorization: string | undefined;
}

export class LoopbackEngine {
  readonly replies = new Map<string, EngineReply>();
  readonly seen: SeenRequest[] = [];
  /** Requests that were begun and not answered yet, now and at most. */
  open = 0;
  maxOpen = 0;
  /** Connections ever accepted. */
  connections = 0;
  /** Resets a connection that brings a second request, as an engine does that closed it in the same moment. */
  closesUsedConnections = false;
  readonly #server: Server;
  readonly #host: string;
  readonly #tls: boolean;
  readonly #used = new WeakSet<object>();

  constructor(host: string, tls: { readonly key: string; readonly cert: string } | undefined) {
    const listener: RequestListener = (request, response) => {
      const { url = '', socket } = request;
      this.seen.push(describe(request));
      if (this.closesUsedConnections && this.#used.has(socket)) {
        socket.destroy();
        return;
      }
      this.#used.add(socket);
      this.maxOpen = Math.max(this.maxOpen, ++this.open);
      response.once('close', () => this.open--);
      const reply = this.replies.get(url) ?? { status: 404, body: 'Not Found' };
      if (reply === 'reset') socket.destroy();
      else if (reply !== 'hang') response.writeHead(reply.status).end(reply.body);
    };
    this.#server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
    this.#server.on('connection', () => this.connections++);
    this.#host = host;
    this.#tls = tls !== undefined;
    this.replies.set('/health', { status: 200, body: '' });
    this.serve('m');
    this.page(vllmPage({}));
  }

  static async start(
    host = '127.0.0.1',
    options: { readonly port?: number; readonly tls?: { readonly key: string; readonly cert: string } } = {},
  ): Promise<LoopbackEngine> {
    const engine = new LoopbackEngine(host, options.tls);
    await new Promise<void>((resolve) => engine.#server.listen(options.port ?? 0, host, resolve));
    return engine;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  target(more: Partial<EndpointTarget> = {}): EndpointTarget {
    return {
      id: endpointId(this.#host, this.port),
      address: this.#host,
      port: this.port,
      tls: this.#tls,
      hostname: undefined,
      configuredModels: [],
      ...more,
    };
  }

  /** What `/v1/models` lists: base models, or adapters with their parent. */
  serve(...models: readonly (string | { readonly id: string; readonly parent: string })[]): void {
    const data = models.map((model) =>
      typeof model === 'string'
        ? { id: model, object: 'model', parent: null, max_model_len: 4096 }
        : { ...model, object: 'model' },
    );
    this.replies.set('/v1/models', { status: 200, body: JSON.stringify({ object: 'list', data }) });
  }

  page(body: string | Buffer, status = 200): void {
    this.replies.set('/metrics', { status, body });
  }

  count(path: string): number {
    return this.seen.filter((request) => request.path === path).length;
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

function describe(request: IncomingMessage): SeenRequest {
  const { servername } = request.socket as Partial<TLSSocket> & { servername?: string | false };
  return {
    path: request.url ?? '',
    host: request.headers.host,
    servername: typeof servername === 'string' ? servername : undefined,
    authorization: request.headers.authorization,
  };
}

/** A short page with vLLM's current names. */
export function vllmPage(values: {
  readonly running?: number;
  readonly waiting?: number;
  readonly usage?: number;
  readonly ttft?: { readonly sum: number; readonly count: number };
  readonly processStart?: number;
}): string {
  const labels = '{engine="0",model_name="m"}';
  const { running = 0, waiting = 0, usage = 0, ttft = { sum: 0, count: 0 }, processStart = 1000 } = values;
  return [
    '# HELP vllm:num_requests_running Number of requests in model execution batches.',
    '# TYPE vllm:num_requests_running gauge',
    `vllm:num_requests_running${labels} ${running}`,
    `vllm:num_requests_waiting${labels} ${waiting}`,
    `vllm:kv_cache_usage_perc${labels} ${usage}`,
    `vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="m"} ${ttft.count}`,
    `vllm:time_to_first_token_seconds_count${labels} ${ttft.count}`,
    `vllm:time_to_first_token_seconds_sum${labels} ${ttft.sum}`,
    `process_start_time_seconds ${processStart}`,
    '',
  ].join('\n');
}
