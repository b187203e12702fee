/** An engine behind `https://`: TLS in front of one that speaks plain HTTP. */
import { connect, type AddressInfo, type Socket } from 'node:net';
import { createServer } from 'node:tls';
import type { Certificate } from './certificates.ts';

export interface TlsFront {
  readonly port: number;
  /** Names that clients asked for, one for each connection. */
  readonly serverNames: readonly (string | undefined)[];
  stop(): Promise<void>;
}

/** Starts a front on a free port of `host` for the engine on `enginePort` of 127.0.0.1. */
export async function startTlsFront(
  enginePort: number,
  { key, cert }: Certificate,
  host = '127.0.0.1',
): Promise<TlsFront> {
  const sockets = new Set<Socket>();
  const serverNames: (string | undefined)[] = [];
  const server = createServer({ key, cert }, (socket) => {
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
  });
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
