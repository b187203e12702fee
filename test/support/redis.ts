/** A real Redis for tests: Debian's, on a port of 127.0.0.1, with nothing on disk. */
import { accessSync, constants } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startChild, type Child } from './child.ts';
import { freePort } from './free-port.ts';

export interface RedisServer {
  readonly port: number;
  /** With the password, where there is one. */
  readonly url: string;
  /** Ends it at once, and everything it knew with it. For `afterEach` too; harmless when it does not run. */
  stop(): Promise<void>;
  /** Starts it again on the same port, knowing nothing. Resolves when it accepts connections. */
  start(): Promise<void>;
  /** From now on it takes connections and commands and answers none, until `resume`. */
  pause(): void;
  /** Answers what it was sent meanwhile, and what comes. */
  resume(): void;
}

export interface RedisServerOptions {
  /** Clients must say it; default: none. */
  readonly password?: string;
}

/** Path of `redis-server`. */
export function redisBinary(): string {
  for (const folder of (process.env['PATH'] ?? '').split(path.delimiter)) {
    const candidate = path.join(folder, 'redis-server');
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not in this folder.
    }
  }
  throw new Error('Cannot run this test without Redis; run `apt-get install redis-server`');
}

/** Starts a server; resolves when it accepts connections. */
export async function startRedis({ password }: RedisServerOptions = {}): Promise<RedisServer> {
  const binary = redisBinary();
  const port = await freePort();
  const args = [
    ...['--port', String(port), '--bind', '127.0.0.1', '--dir', tmpdir()],
    ...['--save', '', '--appendonly', 'no'],
    ...(password === undefined ? [] : ['--requirepass', password]),
  ];
  let child: Child | undefined;
  const server: RedisServer = {
    port,
    url: `redis://${password === undefined ? '' : `:${encodeURIComponent(password)}@`}127.0.0.1:${port}`,
    async stop() {
      await child?.end();
      child = undefined;
    },
    async start() {
      child = startChild(binary, args);
      await child.line(/Ready to accept connections/);
    },
    pause: () => child?.kill('SIGSTOP'),
    resume: () => child?.kill('SIGCONT'),
  };
  await server.start();
  return server;
}
