import { afterEach, describe, expect, it } from '@jest/globals';
import { Client, credentials, status as grpcStatus, type ServiceError } from '@grpc/grpc-js';
import { constants } from 'node:http2';
import { link, lstat, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { EnvoyAccessLog } from '../../src/extproc/access-log.ts';
import { decodeAccessLog } from '../../src/extproc/access-log.ts';
import type { ExtProcExchange } from '../../src/extproc/exchange.ts';
import {
  startExtProcServer,
  type ExtProcServer,
  type ExtProcServerDeps,
  type ExtProcServerOptions,
} from '../../src/extproc/server.ts';
import { framed, GrpcWire, processPath } from '../support/grpc-wire.ts';
import { decode, encode } from '../support/proto.ts';
import { until } from '../support/until.ts';

const accessLogPath = '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs';

/** What to undo after a test, last first. */
const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanUp.splice(0).reverse()) await clean();
});

/** A message from Envoy, as bytes. */
function request(fields: object): Buffer {
  return encode('envoy.service.ext_proc.v3.ProcessingRequest', fields);
}

const head = request({
  requestHeaders: { headers: { headers: [{ key: ':path', rawValue: Buffer.from('/x') }] } },
});

function answer(bytes: Uint8Array): Record<string, unknown> {
  return decode('envoy.service.ext_proc.v3.ProcessingResponse', bytes);
}

/** Answers the head with a reply, as soon as it comes. */
async function refuse(exchange: ExtProcExchange): Promise<void> {
  exchange.reply({ status: 404, headers: {}, body: exchange.head.path, details: 'd' });
}

/** Lets every exchange run to its end. */
async function pass(exchange: ExtProcExchange): Promise<void> {
  exchange.route({ destinations: ['10.0.0.1:1'], model: 'm', edits: [], removeHeaders: [], setHeaders: {} });
  await exchange.responseHead();
  await exchange.finish(undefined);
}

interface Started {
  readonly server: ExtProcServer;
  readonly port: number;
  readonly streams: (1 | -1)[];
  readonly logged: Buffer[];
}

async function start(
  handle: ExtProcServerDeps['handle'] = pass,
  options: Partial<ExtProcServerOptions> = {},
  more: Partial<ExtProcServerDeps> = {},
): Promise<Started> {
  const streams: (1 | -1)[] = [];
  const logged: Buffer[] = [];
  const accessLog: EnvoyAccessLog = {
    reliable: false,
    claim: () => ({ entry: async () => undefined, abandon: () => undefined }),
    receive(message) {
      decodeAccessLog(message, () => undefined);
      logged.push(message);
    },
    stop: () => undefined,
  };
  const server = await startExtProcServer(
    { handle, accessLog, onStreams: (change) => streams.push(change), ...more },
    { listen: '127.0.0.1:0', maxMessageBytes: 10_000, ...options },
  );
  cleanUp.push(() => server.stop());
  return { server, port: server.port ?? 0, streams, logged };
}

function wireTo(target: number | string): GrpcWire {
  const wire = new GrpcWire(target);
  cleanUp.push(() => wire.close());
  return wire;
}

function clientTo(target: number | string, options: object = {}): Client {
  const address = typeof target === 'number' ? `127.0.0.1:${target}` : `unix:${target}`;
  const client = new Client(address, credentials.createInsecure(), options);
  cleanUp.push(() => client.close());
  return client;
}

function bytes(message: Buffer): Buffer {
  return message;
}

/** Opens a Process stream as grpc-js does; its status comes as an event. */
function openProcess(client: Client) {
  const call = client.makeBidiStreamRequest(processPath, bytes, bytes);
  const ended = new Promise<number>((resolve) => call.on('status', ({ code }) => resolve(code)));
  call.on('error', () => undefined);
  const answers: Record<string, unknown>[] = [];
  call.on('data', (message: Buffer) => answers.push(answer(message)));
  return { call, ended, answers };
}

/** One unary call; rejects with its ServiceError. */
function unary(client: Client, method: string, message: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(method, bytes, bytes, message, (error: ServiceError | null, reply?: Buffer) => {
      if (error === null) resolve(reply!);
      else reject(error);
    });
  });
}

/** HealthCheckRequest {service = 1} and HealthCheckResponse {status = 1}, where 1 is SERVING and 2 is NOT_SERVING. */
async function health(client: Client, service: string): Promise<string> {
  const name = Buffer.from(service);
  const message = Buffer.concat([Buffer.from(name.length === 0 ? [] : [10, name.length]), name]);
  const reply = await unary(client, '/grpc.health.v1.Health/Check', message);
  return { '0801': 'SERVING', '0802': 'NOT_SERVING' }[reply.toString('hex')] ?? reply.toString('hex');
}

describe('startExtProcServer() runs an exchange for each stream', () => {
  it('from its head to the half-close of a gRPC client', async () => {
    const { server, port, streams } = await start(async (exchange) => {
      const body = await exchange.body(100);
      exchange.reply({ status: 200, headers: {}, body: body.toString(), details: 'd' });
      await exchange.finish(undefined);
    });
    const { call, ended, answers } = openProcess(clientTo(port));
    call.write(head);
    await until(() => answers.length === 1);
    expect([server.active, streams]).toEqual([1, [1]]);
    call.write(request({ requestBody: { body: Buffer.from('echo'), endOfStream: true } }));
    await until(() => answers.length === 2);
    expect(answers).toEqual([
      expect.objectContaining({ requestHeaders: {} }),
      {
        immediateResponse: expect.objectContaining({ status: { code: 200 }, body: Buffer.from('echo') }),
      },
    ]);
    call.end();
    expect(await ended).toBe(grpcStatus.OK);
    await until(() => server.active === 0);
    expect(streams).toEqual([1, -1]);
  });

  it('many at a time on one connection, each with its own answer', async () => {
    const { server, port } = await start(refuse);
    const wire = wireTo(port);
    const clients = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const client = wire.open();
        const rawValue = Buffer.from(`/path-${i}`);
        await client.write(
          framed(request({ requestHeaders: { headers: { headers: [{ key: ':path', rawValue }] } } })),
        );
        client.end();
        return client;
      }),
    );
    const paths = await Promise.all(
      clients.map(async (client) => {
        expect(await client.status).toBe('0');
        return answer(await client.message(0))['immediateResponse'];
      }),
    );
    expect(paths).toEqual(
      clients.map((_, i) => expect.objectContaining({ body: Buffer.from(`/path-${i}`) })),
    );
    await until(() => server.active === 0);
  });

  it('whatever pieces the messages come in', async () => {
    const { port } = await start(async (exchange) => {
      const body = await exchange.body(10_000);
      exchange.reply({ status: 200, headers: {}, body: String(body.length), details: 'd' });
    });
    const whole = Buffer.concat([
      framed(head),
      framed(request({ requestBody: { body: Buffer.alloc(5000, 'x'), endOfStream: true } })),
    ]);
    const wire = wireTo(port);
    for (const at of [1, 4, 5, 6, head.length + 4, head.length + 5, head.length + 10, 3000, whole.length]) {
      const client = wire.open();
      await client.write(whole.subarray(0, at));
      await client.write(whole.subarray(at));
      expect(answer(await client.message(1))).toMatchObject({
        immediateResponse: { body: Buffer.from('5000') },
      });
      client.end();
      expect(await client.status).toBe('0');
    }
  });

  it('and ends a stream that does not begin with the head of a request', async () => {
    const { server, port, streams } = await start();
    const client = wireTo(port).open();
    await client.write(framed(request({ responseHeaders: {} })));
    expect(await client.status).toBe('0');
    expect([client.messages, server.active, streams]).toEqual([[], 0, []]);
  });

  it.each<[string, Buffer, string]>([
    ['bytes that are no message', framed(Buffer.alloc(20, 0xff)), '13'],
    ['a message that is too large', framed(Buffer.alloc(10_001)), '8'],
    ['a compressed message', framed(head, 1), '12'],
  ])('and closes the exchange at %s', async (_, message, status) => {
    const { server, port, streams } = await start();
    const client = wireTo(port).open();
    await client.write(framed(head));
    expect(server.active).toBe(1);
    await client.write(message);
    expect(await client.status).toBe(status);
    await until(() => server.active === 0);
    expect(streams).toEqual([1, -1]);
  });

  it('and survives garbage in place of the head', async () => {
    const { server, port, streams } = await start();
    const wire = wireTo(port);
    const client = wire.open();
    await client.write(framed(Buffer.alloc(20, 0xff)));
    expect(await client.status).toBe('13');
    expect([server.active, streams]).toEqual([0, []]);
    const next = wire.open();
    await next.write(framed(head));
    expect(server.active).toBe(1);
  });

  it('and closes it when the stream is reset, or its connection is gone', async () => {
    const { server, port } = await start();
    const wire = wireTo(port);
    const [reset, cut] = [wire.open(), wire.open()];
    await reset.write(framed(head));
    await cut.write(framed(head));
    expect(server.active).toBe(2);
    reset.stream.close(constants.NGHTTP2_CANCEL);
    await until(() => server.active === 1);
    wire.session.destroy();
    await until(() => server.active === 0);
  });

  it('thousands of times on one connection, although Envoy resets nearly every stream', async () => {
    const { server, port, streams } = await start(refuse);
    const wire = wireTo(port);
    for (let done = 0; done < 3000; done += 50) {
      const clients = Array.from({ length: 50 }, () => wire.open());
      await Promise.all(clients.map((client) => client.write(framed(head))));
      for (const client of clients) client.stream.close(constants.NGHTTP2_NO_ERROR);
    }
    const last = wire.open();
    await last.write(framed(head));
    last.end();
    expect(await last.status).toBe('0');
    expect(wire.session.destroyed).toBe(false);
    await until(() => server.active === 0);
    expect(streams.filter((change) => change === 1)).toHaveLength(3001);
    expect(streams.filter((change) => change === -1)).toHaveLength(3001);
  }, 30_000);
});

describe('startExtProcServer() leaves the rest to grpc-js', () => {
  it.each(['/envoy.service.ext_proc.v3.ExternalProcessor/Other', '/no.such.Service/Method'])(
    'which knows no %s',
    async (method) => {
      const { port } = await start();
      await expect(unary(clientTo(port), method, Buffer.alloc(0))).rejects.toMatchObject({
        code: grpcStatus.UNIMPLEMENTED,
      });
    },
  );

  it('which refuses compressed ext_proc streams', async () => {
    const { server, port } = await start();
    const { call, ended } = openProcess(clientTo(port, { 'grpc.default_compression_algorithm': 2 }));
    call.write(head);
    expect(await ended).toBe(grpcStatus.UNIMPLEMENTED);
    expect(server.active).toBe(0);
  });

  it('and to the services that are mounted', async () => {
    const { port } = await start(
      pass,
      {},
      {
        services: [
          {
            definition: {
              echo: {
                path: '/test.Echo/Echo',
                requestStream: false,
                responseStream: false,
                requestDeserialize: bytes,
                requestSerialize: bytes,
                responseSerialize: bytes,
                responseDeserialize: bytes,
              },
            },
            implementation: {
              echo: (call: { request: Buffer }, callback: (error: null, reply: Buffer) => void) =>
                callback(null, call.request),
            },
          },
        ],
      },
    );
    expect(await unary(clientTo(port), '/test.Echo/Echo', Buffer.from('hello'))).toEqual(
      Buffer.from('hello'),
    );
  });
});

describe('startExtProcServer() hands on the access log', () => {
  const message = encode('envoy.service.accesslog.v3.StreamAccessLogsMessage', {
    httpLogs: { logEntry: [{ response: { responseCode: { value: 200 } } }] },
  });

  it('message by message, and ends when Envoy does', async () => {
    const { port, logged } = await start();
    const reply = await new Promise<Buffer | undefined>((resolve, reject) => {
      const call = clientTo(port).makeClientStreamRequest(
        accessLogPath,
        bytes,
        bytes,
        (error: ServiceError | null, value?: Buffer) => {
          if (error === null) resolve(value);
          else reject(error);
        },
      );
      call.write(message);
      call.write(Buffer.alloc(0));
      call.end();
    });
    expect(reply).toEqual(Buffer.alloc(0));
    expect(logged).toEqual([message, Buffer.alloc(0)]);
  });

  it('and ends a stream with garbage in it, and nothing else', async () => {
    const { port, logged } = await start();
    const wire = wireTo(port);
    const client = wire.open(accessLogPath);
    await client.write(framed(message));
    await client.write(framed(Buffer.alloc(20, 0xff)));
    expect(await client.status).toBe('13');
    const next = wire.open(accessLogPath);
    await next.write(framed(message));
    expect(logged).toEqual([message, message]);
  });

  it('and outlives an Envoy that resets the stream', async () => {
    const { port, logged } = await start();
    const wire = wireTo(port);
    const client = wire.open(accessLogPath);
    await client.write(framed(message));
    client.stream.close(constants.NGHTTP2_CANCEL);
    await client.closed;
    const next = wire.open(accessLogPath);
    await next.write(framed(message));
    expect(logged).toHaveLength(2);
  });
});

describe('startExtProcServer() tells its health', () => {
  const services = ['', 'liveness', 'readiness', 'envoy.service.ext_proc.v3.ExternalProcessor'];

  it('by service: alive from the start, serving when told', async () => {
    const { server, port } = await start();
    const client = clientTo(port);
    const all = () => Promise.all(services.map((service) => health(client, service)));
    expect(await all()).toEqual(['NOT_SERVING', 'SERVING', 'NOT_SERVING', 'NOT_SERVING']);
    server.setServing(true);
    expect(await all()).toEqual(['SERVING', 'SERVING', 'SERVING', 'SERVING']);
    server.setServing(false);
    expect(await all()).toEqual(['NOT_SERVING', 'SERVING', 'NOT_SERVING', 'NOT_SERVING']);
    await expect(health(client, 'another')).rejects.toMatchObject({ code: grpcStatus.NOT_FOUND });
  });
});

describe('startExtProcServer() ends', () => {
  it('drain() waits for exchanges, and serves those that still come', async () => {
    const { server, port } = await start();
    const wire = wireTo(port);
    const first = wire.open();
    await first.write(framed(head));
    let drained: boolean | undefined;
    const draining = server.drain(60_000).then((value) => (drained = value));
    const second = wire.open();
    await second.write(framed(head));
    first.end();
    await first.status;
    await until(() => server.active === 1);
    await wire.ping();
    expect(drained).toBeUndefined();
    second.end();
    expect(await draining).toBe(true);
  });

  it('drain() gives up at its deadline', async () => {
    const { server, port } = await start();
    const client = wireTo(port).open();
    await client.write(framed(head));
    expect(await server.drain(1)).toBe(false);
    expect(server.active).toBe(1);
  });

  it('drain() has nothing to wait for when idle', async () => {
    const { server } = await start();
    expect(await server.drain(60_000)).toBe(true);
  });

  it('stop() cuts what runs, waits for its accounts, and gives the port up', async () => {
    let settled = false;
    const { server, port } = await start(async (exchange) => {
      await pass(exchange);
      await new Promise((resolve) => setImmediate(resolve));
      settled = true;
    });
    const wire = wireTo(port);
    const client = wire.open();
    await client.write(framed(head));
    await server.stop();
    expect([server.active, settled]).toEqual([0, true]);
    expect(await client.status).toBeUndefined();
    await wire.closed;
    const { server: next } = await start(pass, { listen: `127.0.0.1:${port}` });
    expect(next.port).toBe(port);
  });
});

describe('startExtProcServer() listens', () => {
  async function aSocketPath(): Promise<string> {
    const folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
    cleanUp.push(() => rm(folder, { recursive: true }));
    return path.join(folder, 'grpc.sock');
  }

  it('on a free port where it may choose', async () => {
    const { port } = await start();
    expect(port).toBeGreaterThan(0);
  });

  it('and says which address is taken', async () => {
    const { port } = await start();
    await expect(start(pass, { listen: `127.0.0.1:${port}` })).rejects.toThrow(
      new RegExp(`^Cannot listen for Envoy on "127\\.0\\.0\\.1:${port}": .*EADDRINUSE`),
    );
  });

  it('on a socket that others of the group may use, and removes it at the end', async () => {
    const socket = await aSocketPath();
    const { server } = await start(pass, { listen: `unix:${socket}` });
    expect(server.port).toBeUndefined();
    expect((await stat(socket)).mode & 0o777).toBe(0o660);
    expect(await health(clientTo(socket), 'liveness')).toBe('SERVING');
    const client = wireTo(socket).open();
    client.end();
    expect(await client.status).toBe('0');
    await server.stop();
    await expect(lstat(socket)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('where a killed process left its socket', async () => {
    const socket = await aSocketPath();
    const dead = createServer();
    await new Promise<void>((resolve) => dead.listen(`${socket}.old`, resolve));
    await link(`${socket}.old`, socket);
    await new Promise((resolve) => dead.close(resolve));
    expect((await lstat(socket)).isSocket()).toBe(true);
    await start(pass, { listen: `unix:${socket}` });
    expect(await health(clientTo(socket), 'liveness')).toBe('SERVING');
  });

  it('but not where somebody else listens', async () => {
    const socket = await aSocketPath();
    await start(pass, { listen: `unix:${socket}` });
    await expect(start(pass, { listen: `unix:${socket}` })).rejects.toThrow(
      `Cannot listen for Envoy on "unix:${socket}": another process listens there`,
    );
    expect(await health(clientTo(socket), 'liveness')).toBe('SERVING');
  });

  it('and deletes no file that is not a socket', async () => {
    const socket = await aSocketPath();
    await writeFile(socket, 'precious');
    await expect(start(pass, { listen: `unix:${socket}` })).rejects.toThrow(
      `Cannot listen for Envoy on "unix:${socket}": there is a file of that name`,
    );
    expect(await readFile(socket, 'utf8')).toBe('precious');
  });
});
