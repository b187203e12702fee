/**
 * An engine behind `https://`: TLS in front of one that speaks plain HTTP.
 *
 * `tls/` holds an authority and a certificate that it signed for `localhost`, 127.0.0.1 and ::1, made with
 *   openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=Test authority" -days 36500 …
 *   openssl x509 -req -in engine.csr -CA ca.cert.pem -CAkey ca.key.pem -days 36500 -extfile <(echo "subjectAltName=…")
 */
import { readFile } from 'node:fs/promises';
import { connect, type AddressInfo, type Socket } from 'node:net';
import path from 'node:path';
import { createServer } from 'node:tls';

export interface TlsFront {
  readonly port: number;
  /** Names that clients asked for, one for each connection. */
  readonly serverNames: readonly (string | undefined)[];
  stop(): Promise<void>;
}

/** Path of a file below `tls/`. */
export function tlsFile(name: string): string {
  return path.join(import.meta.dirname, 'tls', name);
}

/** Starts a front on a free port of `host` for the engine on `enginePort` of 127.0.0.1. */
export async function startTlsFront(enginePort: number, host = '127.0.0.1'): Promise<TlsFront> {
  const sockets = new Set<Socket>();
  const serverNames: (string | undefined)[] = [];
  const server = createServer(
    { key: await readFile(tlsFile('engine.key.pem')), cert: await readFile(tlsFile('engine.cert.pem')) },
    (socket) => {
      serverNames.push(typeof socket.servername === 'string' ? socket.servername : undefined);
      const engine = connect(enginePort, '127.0.0.1');
      for (const side of [socket, engine]) {
        sockets.add(side);
        side.once('close', () => sockets.delete(side));
        side.once('error', () => undefined);
      }
      socket.once('close', () => engine.destroy());
      engine.once('close', () => socket.destroy());
      socket.pipe(engine).pipe(socket);
    },
  );
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    serverNames,
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
