/** Ports of 127.0.0.1, for servers that cannot take port 0 and for those that shall find one taken. */
import { createServer, type AddressInfo, type Server } from 'node:net';

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const { port, release } = await takenPort();
  await release();
  return port;
}

/** A port that somebody has until it is released. */
export async function takenPort(): Promise<{ readonly port: number; release: () => Promise<void> }> {
  const server = await listen(0);
  return { port: (server.address() as AddressInfo).port, release: () => closed(server) };
}

/** Rejects where somebody has the port. */
export async function expectFree(port: number): Promise<void> {
  await closed(await listen(port));
}

function listen(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject).listen(port, '127.0.0.1', () => resolve(server));
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
