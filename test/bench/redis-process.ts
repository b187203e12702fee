/** A Redis server of the measurement, with nothing on disk. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../support/free-port.ts';
import { redisBinary } from '../support/redis.ts';
import type { Bench } from './bench.ts';
import type { Child } from './children.ts';

export interface RedisProcess {
  readonly url: string;
  readonly child: Child;
}

/** Starts it; resolves when it accepts connections. */
export async function startRedisProcess(bench: Bench, core: number | undefined): Promise<RedisProcess> {
  const port = await freePort();
  const child = bench.children.start(
    redisBinary(),
    [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', bench.folder],
      ...['--save', '', '--appendonly', 'no'],
    ],
    { name: 'redis', core },
  );
  await Promise.race([accepts(port), child.failed]);
  return { url: `redis://127.0.0.1:${port}`, child };
}

async function accepts(port: number): Promise<void> {
  const deadline = AbortSignal.timeout(5000);
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return;
    } catch {
      deadline.throwIfAborted();
      await delay(50);
    } finally {
      socket.destroy();
    }
  }
}
