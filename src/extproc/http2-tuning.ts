/**
 * Makes grpc-js' HTTP/2 server fit for Envoy. grpc-js has no options for these, so its private fields are used, and a
 * version without them is refused at start rather than found out under load.
 *
 * - Envoy ends nearly every ext_proc stream with RST_STREAM. Node allows a session 1000 of them and 33 a second more,
 *   then drops the connection with every request on it (a guard against CVE-2023-44487). Our peer is our own proxy.
 * - Windows of 64 KiB make a 220 KB prompt wait for three round trips.
 */
import type { Server } from '@grpc/grpc-js';
import type { Http2Server, ServerHttp2Session } from 'node:http2';

const streamResetsPerSecond = 1_000_000;
const streamWindowBytes = 4 * 1024 * 1024;
const sessionWindowBytes = 32 * 1024 * 1024;

interface ServerInternals {
  commonServerOptions?: {
    streamResetBurst?: number;
    streamResetRate?: number;
    settings?: { initialWindowSize?: number };
  };
  http2Servers?: ReadonlyMap<Http2Server, unknown>;
}

/** Call before `bindAsync`. */
export function tuneBeforeBind(server: Server): void {
  const options = internals(server).commonServerOptions!;
  options.streamResetBurst = streamResetsPerSecond;
  options.streamResetRate = streamResetsPerSecond;
  options.settings = { ...options.settings, initialWindowSize: streamWindowBytes };
}

/** The HTTP/2 servers behind a bound gRPC server, one for each address. */
export function http2Servers(server: Server): readonly Http2Server[] {
  return [...internals(server).http2Servers!.keys()];
}

/** Call in the callback of `bindAsync`, before the event loop can accept a connection. */
export function tuneAfterBind(server: Http2Server): void {
  server.on('session', (session: ServerHttp2Session) => session.setLocalWindowSize(sessionWindowBytes));
}

function internals(server: Server): ServerInternals {
  const fields = server as unknown as ServerInternals;
  if (fields.commonServerOptions === undefined || fields.http2Servers === undefined) {
    throw new Error(
      'Cannot tune the gRPC server for Envoy: this version of @grpc/grpc-js has other internals than 1.14',
    );
  }
  return fields;
}
