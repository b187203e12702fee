import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import {
  createRedisConnection,
  type RedisChange,
  type RedisConnection,
  type RedisConnectionOptions,
} from '../../src/redis/connection.ts';
import { makeCertificate } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';
import { startTlsFront } from '../support/tls-front.ts';

const certificate = makeCertificate('DNS:localhost,IP:127.0.0.1');

let server: RedisServer;
let clock: FakeClock;
const connections: RedisConnection[] = [];

beforeEach(async () => {
  server = await startRedis();
  clock = new FakeClock();
});

afterEach(async () => {
  server.resume();
  await Promise.all(connections.splice(0).map((connection) => connection.stop()));
  await server.stop();
});

/** A connection that has made its first attempt, and what it said. */
async function connected(options: Partial<RedisConnectionOptions> = {}) {
  const connection = createRedisConnection({ clock, random: () => 0 }, { url: server.url, ...options });
  connections.push(connection);
  const changes: RedisChange[] = [];
  connection.onChange((change) => changes.push(change));
  await connection.start();
  return { connection, changes };
}

/** Waits until a condition holds, while pauses pass as fast as anybody looks. */
function whilePausesPass(holds: () => boolean): Promise<void> {
  return eventually(() => {
    // Little beside the time that a real server is given to answer.
    clock.advance(50);
    return holds();
  });
}

const ping = (connection: RedisConnection): Promise<string | undefined> =>
  connection.run((redis) => redis.ping());
const clientId = (connection: RedisConnection): Promise<number | undefined> =>
  connection.run((redis) => redis.client('ID'));

describe('createRedisConnection()', () => {
  it('start() connects, run() gives the answer', async () => {
    const { connection, changes } = await connected();
    expect([connection.up, connection.why, connection.address]).toEqual([
      true,
      undefined,
      `redis://127.0.0.1:${server.port}`,
    ]);
    expect(await connection.run((redis) => redis.set('a', '1'))).toBe('OK');
    let done = false;
    await connection.run(async (redis) => {
      await redis.ping();
      done = true;
    });
    expect([done, connection.up, changes]).toEqual([true, true, [{ kind: 'up' }]]);
  });

  it('start() resolves where nobody listens, and connects once somebody does', async () => {
    await server.stop();
    const { connection, changes } = await connected();
    const why = `connect ECONNREFUSED 127.0.0.1:${server.port}`;
    expect([connection.up, connection.why, await ping(connection)]).toEqual([false, why, undefined]);
    await clock.advanceAsync(10_000, 100);
    expect(changes).toEqual([{ kind: 'down', why }]);
    await server.start();
    await whilePausesPass(() => connection.up);
    expect(await ping(connection)).toBe('PONG');
    expect(changes).toEqual([{ kind: 'down', why }, { kind: 'up' }]);
  });

  it('run() resolves with undefined when the server goes away, and with answers when it is back', async () => {
    const { connection, changes } = await connected();
    server.pause();
    const unanswered = ping(connection);
    await server.stop();
    expect(await unanswered).toBeUndefined();
    expect(await ping(connection)).toBeUndefined();
    expect(connection.up).toBe(false);
    await server.start();
    await whilePausesPass(() => connection.up);
    expect(await ping(connection)).toBe('PONG');
    expect(changes.map(({ kind }) => kind)).toEqual(['up', 'down', 'up']);
  });

  it('run() gives up after the timeout; what comes late still arrives, on the same connection', async () => {
    const { connection, changes } = await connected({ commandTimeoutMs: 700 });
    const before = await clientId(connection);
    server.pause();
    let late: string | undefined;
    const slow = connection.run(async (redis) => (late = await redis.ping()));
    clock.advance(600);
    const slower = ping(connection);
    clock.advance(99);
    expect(connection.up).toBe(true);
    clock.advance(1);
    expect(await slow).toBeUndefined();
    expect([connection.up, connection.why, late]).toEqual([false, 'no answer within 700 ms', undefined]);
    // Two checks that are not answered either, after pauses of 50 and 100 ms.
    await clock.advanceAsync(1700, 50);
    expect(await slower).toBeUndefined();
    server.resume();
    await eventually(() => late !== undefined);
    expect(connection.up).toBe(false);
    await whilePausesPass(() => connection.up);
    expect(await clientId(connection)).toBe(before);
    expect(changes).toEqual([
      { kind: 'up' },
      { kind: 'down', why: 'no answer within 700 ms' },
      { kind: 'up' },
    ]);
  });

  it('connects anew when several checks in a row were not answered', async () => {
    const { connection } = await connected();
    const before = await clientId(connection);
    server.pause();
    const slow = ping(connection);
    // The timeout, then pauses and checks; and none of the attempts to connect that follow can succeed.
    await clock.advanceAsync(20_000, 50);
    expect([await slow, connection.up]).toEqual([undefined, false]);
    server.resume();
    await whilePausesPass(() => connection.up);
    expect(await clientId(connection)).not.toBe(before);
  });

  it('run() believes an answer that is there, when it was this process that was slow', async () => {
    const { connection } = await connected();
    const answer = ping(connection);
    // Another client is answered, so the first command was carried out; this process has read nothing meanwhile.
    execFileSync('redis-cli', ['-p', String(server.port), 'ping']);
    clock.advance(1000);
    expect(await answer).toBe('PONG');
    expect(connection.up).toBe(true);
  });

  it('is down for a while after a refused command, and longer after each in a row', async () => {
    const { connection } = await connected();
    const clients = async (): Promise<number> =>
      String(await connection.run((redis) => redis.client('LIST')))
        .trim()
        .split('\n').length;
    for (const pauseMs of [50, 100, 200]) {
      expect(await connection.run((redis) => redis.call('NONSENSE'))).toBeUndefined();
      expect(connection.why).toContain("unknown command 'NONSENSE'");
      clock.advance(pauseMs - 1);
      // An attempt that had begun by now would have ended before this one.
      await connected();
      expect(connection.up).toBe(false);
      clock.advance(1);
      await eventually(() => connection.up);
    }
    // A command that is carried out ends the row.
    expect(await ping(connection)).toBe('PONG');
    await connection.run((redis) => redis.call('NONSENSE'));
    clock.advance(50);
    await eventually(() => connection.up);
    // This one and the three others: nothing is left of those that were given up.
    await eventually(async () => (await clients()) === 4);
  });

  it('says the password, and shows it to nobody', async () => {
    await server.stop();
    server = await startRedis({ password: 'open sesame' });
    const right = await connected();
    expect([right.connection.address, await ping(right.connection)]).toEqual([
      `redis://127.0.0.1:${server.port}`,
      'PONG',
    ]);
    const wrong = await connected({ url: `redis://:WRONGPASS@127.0.0.1:${server.port}` });
    expect([wrong.connection.up, wrong.connection.address]).toEqual([
      false,
      `redis://127.0.0.1:${server.port}`,
    ]);
    expect(wrong.connection.why).toBe('**** invalid username-password pair or user is disabled.');
    const none = await connected({ url: `redis://127.0.0.1:${server.port}` });
    expect(none.connection.why).toContain('NOAUTH');
  });

  it('speaks TLS, and trusts the authorities it is told', async () => {
    const front = await startTlsFront(server.port, certificate);
    const url = `rediss://127.0.0.1:${front.port}`;
    const trusting = await connected({ url, ca: certificate.cert });
    expect(await ping(trusting.connection)).toBe('PONG');
    const { connection } = await connected({ url });
    expect([connection.up, connection.why]).toEqual([
      false,
      expect.stringContaining('self-signed certificate'),
    ]);
    await front.stop();
  });

  it('stop() lets what was asked be answered, and leaves nothing behind', async () => {
    const { connection, changes } = await connected();
    const answer = ping(connection);
    await connection.stop();
    expect([await answer, connection.up, await ping(connection)]).toEqual(['PONG', false, undefined]);
    expect([clock.pending, changes]).toEqual([0, [{ kind: 'up' }]]);
  });

  it('stop() ends attempts to connect', async () => {
    await server.stop();
    const { connection } = await connected();
    await connection.stop();
    expect(clock.pending).toBe(0);
  });
});
