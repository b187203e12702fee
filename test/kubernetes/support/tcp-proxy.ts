/** The network between Sluice and the API server, which can be cut. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface TcpProxy {
  /** `https://127.0.0.1:<port>`. */
  readonly url: string;
  /** Connections that run now. */
  readonly open: number;
  /** Resets every connection. New ones are possible. */
  cut(): void;
  /** Resets every connection, and each new one, until `mend`. */
  sever(): void;
  mend(): void;
  /** Every connection that runs now stays open and carries nothing any more, as when a firewall forgets it. */
  freeze(): void;
  stop(): Promise<void>;
}

/** Starts a proxy in front of a port of 127.0.0.1. */
export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let severed = false;
  const server = createServer((client) => {
    client.on('error', () => undefined);
    if (severed) {
      client.resetAndDestroy();
      return;
    }
    const target = connect(targetPort, '127.0.0.1');
    target.on('error', () => undefined);
    const pair = [client, target] as const;
    pairs.add(pair);
    for (const socket of pair) {
      socket.once('close', () => {
        pairs.delete(pair);
        for (const other of pair) other.destroy();
      });
    }
    client.pipe(target).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  function cut(): void {
    for (const [client, target] of [...pairs]) {
      client.resetAndDestroy();
      target.destroy();
    }
  }

  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get open() {
      return pairs.size;
    },
    cut,
    sever() {
      severed = true;
      cut();
    },
    mend() {
      severed = false;
    },
    freeze() {
      for (const pair of pairs) {
        for (const socket of pair) {
          socket.unpipe();
          socket.pause();
        }
      }
    },
    async stop() {
      severed = true;
      cut();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
