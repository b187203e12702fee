/** The admin server: a tiny table of read-only pages on a port of its own. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

export interface AdminReply {
  readonly status: number;
  /** A string is sent as it is, anything else as JSON. */
  readonly body: unknown;
  /** Default: JSON, or plain text for a string. */
  readonly contentType?: string;
}

export interface AdminRoute {
  readonly path: string;
  /** One line for the index page. */
  readonly description: string;
  answer(query: URLSearchParams): AdminReply | Promise<AdminReply>;
}

export interface AdminServerOptions {
  readonly routes: readonly AdminRoute[];
  /** Default 127.0.0.1: the pages are for operators. */
  readonly host?: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** Called when a page threw; the client is told 500 and nothing else. */
  readonly onError: (error: unknown, path: string) => void;
}

export interface AdminServer {
  /** Resolves to the base URL; rejects with a clear message where the address cannot be had. */
  start(): Promise<string>;
  /** Resolves when nothing is open any more; running answers are cut off. */
  stop(): Promise<void>;
}

const limits = {
  maxHeaderSize: 8 * 1024,
  headersTimeout: 5000,
  requestTimeout: 5000,
  connectionsCheckingInterval: 1000,
};
const maxConnections = 256;

/** Creates the server. Only GET and HEAD exist; bodies are not read. */
export function createAdminServer({
  routes,
  host = '127.0.0.1',
  port,
  onError,
}: AdminServerOptions): AdminServer {
  const table = new Map<string, AdminRoute>(
    [indexPage(routes), ...routes].map((route) => [route.path, route]),
  );
  const server = createServer(limits, (request, response) => void answer(request, response));
  server.maxConnections = maxConnections;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const headOnly = request.method === 'HEAD';
    if (request.method !== 'GET' && !headOnly) {
      // The body is not waited for: whoever sends one loses the connection.
      response.setHeader('allow', 'GET, HEAD').setHeader('connection', 'close');
      send(response, problem(405, `method ${request.method ?? ''} is not allowed`), headOnly);
      return;
    }
    const url = URL.parse(`http://admin${request.url ?? '/'}`);
    const path = url?.pathname ?? '';
    const route = table.get(path);
    if (url === null || route === undefined) {
      send(response, problem(404, 'no such page; "/" lists them all'), headOnly);
      return;
    }
    try {
      send(response, await route.answer(url.searchParams), headOnly);
    } catch (error) {
      onError(error, path);
      send(response, problem(500, 'the page could not be made; the log says why'), headOnly);
    }
  }

  return {
    async start() {
      await listen(server, host, port);
      const address = server.address();
      const boundPort = typeof address === 'object' && address !== null ? address.port : port;
      return `http://${host.includes(':') ? `[${host}]` : host}:${boundPort}`;
    },
    async stop() {
      if (!server.listening) return;
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void => {
      reject(
        new Error(`Cannot serve the admin pages on "${host}:${port}": ${listenProblem(error)}`, {
          cause: error,
        }),
      );
    };
    server.once('error', fail).listen({ host, port }, () => {
      server.off('error', fail);
      resolve();
    });
  });
}

function listenProblem(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return 'the port is in use; stop its owner or choose another port';
    case 'EACCES':
      return 'this user may not use the port; choose one above 1023';
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return 'this machine has no such address';
    default:
      return error.message;
  }
}

function problem(status: number, message: string): AdminReply {
  return { status, body: { error: message } };
}

function send(response: ServerResponse, { status, body, contentType }: AdminReply, headOnly: boolean): void {
  const isText = typeof body === 'string';
  const bytes = Buffer.from(isText ? body : `${JSON.stringify(body, null, 2)}\n`);
  response.writeHead(status, {
    'content-type': contentType ?? (isText ? 'text/plain; charset=utf-8' : 'application/json'),
    'content-length': bytes.length,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(headOnly ? undefined : bytes);
}

function indexPage(routes: readonly AdminRoute[]): AdminRoute {
  const items = routes.map(
    ({ path, description }) => `<li><a href="${path}">${path}</a> ${escapeHtml(description)}</li>`,
  );
  const body = `<!doctype html>\n<meta charset="utf-8">\n<title>Sluice admin</title>\n<ul>\n${items.join('\n')}\n</ul>\n`;
  return {
    path: '/',
    description: 'This list',
    answer: () => ({ status: 200, body, contentType: 'text/html; charset=utf-8' }),
  };
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
