/** The gRPC server that Envoy talks to: ext_proc, its access log, health, and whatever else is mounted on the same port. */
import {
  logVerbosity,
  setLogVerbosity,
  Server,
  ServerCredentials,
  status,
  type ServerReadableStream,
  type sendUnaryData,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { chmod, lstat, rm } from 'node:fs/promises';
import type { Http2Server } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import type { EnvoyAccessLog } from './access-log.ts';
import { decodeFrame } from './codec.ts';
import { ExtProcExchange } from './exchange.ts';
import { http2Servers, tuneAfterBind, tuneBeforeBind } from './http2-tuning.ts';
import { takeStreams, type ProcessStream, type StreamHandler } from './process-stream.ts';
import type { ServerCertificate } from './server-certificate.ts';

/** The gRPC health service names: all of us, alive, ready for exchanges, and Envoy's name for it. */
const healthServices = ['', 'liveness', 'readiness', 'envoy.service.ext_proc.v3.ExternalProcessor'] as const;

/** A service of another part, served on the same port. */
export interface MountedService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

export interface ExtProcServerDeps {
  /** The main path. Runs an exchange from head to end; must not throw. */
  readonly handle: (exchange: ExtProcExchange) => Promise<void>;
  readonly accessLog: EnvoyAccessLog;
  readonly services?: readonly MountedService[];
  /** Called with +1 and -1 as streams begin and end. */
  readonly onStreams?: (change: 1 | -1) => void;
  /** Prepares the server before it binds. Default: tuneBeforeBind. */
  readonly tune?: (server: Server) => void;
}

export interface ExtProcServerOptions {
  /** `host:port`, port 0 for any, or `unix:/path`. */
  readonly listen: string;
  /** Largest message accepted: the body limit, with room for the rest. */
  readonly maxMessageBytes: number;
  /** Everything on the port is spoken over TLS, with this certificate. Absent: in plain text. */
  readonly certificate?: ServerCertificate | undefined;
}

export interface ExtProcServer {
  /** Where it listens; undefined for a Unix socket. */
  readonly port: number | undefined;
  /** Exchanges that have not ended. */
  readonly active: number;
  /** Health for exchanges; liveness stays SERVING until the end. */
  setServing(serving: boolean): void;
  /** What new connections get, in place of the certificate at start; those that there are go on. In plain text nothing. */
  setCertificate(certificate: ServerCertificate): void;
  /** Waits until every exchange ended; false when some were left after `deadlineMs`. New ones are still served. */
  drain(deadlineMs: number): Promise<boolean>;
  /** Cuts what is left and closes the port. */
  stop(): Promise<void>;
}

/** @throws Error when the address cannot be bound. */
export async function startExtProcServer(
  deps: ExtProcServerDeps,
  options: ExtProcServerOptions,
): Promise<ExtProcServer> {
  // What it would print to standard error on a failed bind is in the error that we throw.
  setLogVerbosity(logVerbosity.NONE);
  const server = new Server({
    'grpc.max_receive_message_length': options.maxMessageBytes,
    'grpc.max_send_message_length': -1,
    'grpc.enable_channelz': 0,
  });
  const running = new Set<Promise<void>>();

  /** One ext_proc stream, from its first message to its end. */
  function openExchange(stream: ProcessStream): StreamHandler {
    let exchange: ExtProcExchange | undefined;
    return {
      message(bytes) {
        const frame = decodeFrame(bytes);
        if (exchange !== undefined) {
          exchange.receive(frame);
        } else if (frame.kind === 'request-headers') {
          exchange = new ExtProcExchange(frame, stream);
          deps.onStreams?.(1);
          const done = deps.handle(exchange).finally(() => running.delete(done));
          running.add(done);
        } else {
          // A stream that does not begin with the request's head (a filter that skips it) has nothing to decide.
          stream.end();
        }
      },
      close() {
        if (exchange === undefined) return;
        exchange.close();
        deps.onStreams?.(-1);
      },
    };
  }

  server.addService(accessLogService, {
    streamAccessLogs(call: ServerReadableStream<Buffer, Buffer>, callback: sendUnaryData<Buffer>) {
      call.on('data', (message: Buffer) => {
        try {
          deps.accessLog.receive(message);
        } catch {
          // Not an Envoy, or not one we understand: whoever it is does not end this process.
          call.removeAllListeners('data').resume();
          callback({ code: status.INTERNAL, details: 'Cannot read an access log message' });
        }
      });
      call.on('end', () => callback(null, Buffer.alloc(0)));
      call.on('error', () => undefined);
    },
  });

  const health = new HealthImplementation(
    Object.fromEntries(healthServices.map((name) => [name, 'NOT_SERVING' as const])),
  );
  health.setStatus('liveness', 'SERVING');
  health.addToServer(server);
  for (const service of deps.services ?? []) server.addService(service.definition, service.implementation);

  (deps.tune ?? tuneBeforeBind)(server);
  const socketPath = options.listen.startsWith('unix:') ? options.listen.slice('unix:'.length) : undefined;
  if (socketPath !== undefined) await removeStaleSocket(socketPath);
  const connections = new Set<Socket>();
  const port = await bind(server, options, (http2Server) => {
    http2Server.on('connection', (socket: Socket) => {
      connections.add(socket);
      socket.once('close', () => connections.delete(socket));
    });
    takeStreams(http2Server, processPath, options.maxMessageBytes, openExchange);
  });
  if (socketPath !== undefined) await chmod(socketPath, 0o660);

  return {
    port: socketPath === undefined ? port : undefined,
    get active() {
      return running.size;
    },
    setServing(serving) {
      for (const name of healthServices)
        if (name !== 'liveness') health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
    },
    setCertificate({ cert, key }) {
      for (const http2Server of http2Servers(server))
        if (http2Server instanceof TlsServer) http2Server.setSecureContext({ cert, key });
    },
    async drain(deadlineMs) {
      await settledWithin(running, deadlineMs);
      return running.size === 0;
    },
    async stop() {
      server.forceShutdown();
      // Without channelz grpc-js knows no sessions to cut, and only says goodbye: what Envoy keeps would keep this process.
      for (const connection of connections) connection.destroy();
      await Promise.allSettled(running);
      if (socketPath !== undefined) await rm(socketPath, { force: true });
    },
  };
}

const processPath = '/envoy.service.ext_proc.v3.ExternalProcessor/Process';

/** By hand, because its messages are decoded by hand. */
const accessLogService: ServiceDefinition = {
  streamAccessLogs: {
    path: '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs',
    requestStream: true,
    responseStream: false,
    requestDeserialize: passBytes,
    requestSerialize: passBytes,
    responseSerialize: passBytes,
    responseDeserialize: passBytes,
  },
};

function passBytes(bytes: Buffer): Buffer {
  return bytes;
}

/** A socket file that a killed process left would make the address look taken. One that is answered is taken. */
async function removeStaleSocket(path: string): Promise<void> {
  const file = await lstat(path).catch(() => undefined);
  if (file === undefined) return;
  const problem = !file.isSocket()
    ? 'there is a file of that name'
    : (await isAnswered(path))
      ? 'another process listens there'
      : undefined;
  if (problem !== undefined) throw new Error(`Cannot listen for Envoy on "unix:${path}": ${problem}`);
  await rm(path, { force: true });
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

function bind(
  server: Server,
  { listen, certificate }: ExtProcServerOptions,
  onServer: (http2Server: Http2Server) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(listen, serverCredentials(certificate), (error, port) => {
      if (error !== null) {
        reject(new Error(`Cannot listen for Envoy on "${listen}": ${error.message}`, { cause: error }));
        return;
      }
      for (const http2Server of http2Servers(server)) {
        tuneAfterBind(http2Server);
        onServer(http2Server);
      }
      resolve(port);
    });
  });
}

function serverCredentials(certificate: ServerCertificate | undefined): ServerCredentials {
  if (certificate === undefined) return ServerCredentials.createInsecure();
  const { cert, key } = certificate;
  return ServerCredentials.createSsl(null, [
    { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) },
  ]);
}

async function settledWithin(running: ReadonlySet<Promise<void>>, deadlineMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, deadlineMs);
  });
  const settled = (async () => {
    while (running.size > 0) await Promise.allSettled(running);
  })();
  await Promise.race([settled, deadline]);
  clearTimeout(timer);
}
