import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, credentials, status as grpcStatus } from '@grpc/grpc-js';
import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { createAccessLog } from '../../src/extproc/access-log.ts';
import type { ExtProcExchange } from '../../src/extproc/exchange.ts';
import { createSelfSigned } from '../../src/extproc/self-signed.ts';
import type { ServerCertificate } from '../../src/extproc/server-certificate.ts';
import { startExtProcServer, type ExtProcServer } from '../../src/extproc/server.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { expectFree } from '../support/free-port.ts';
import { processPath } from '../support/grpc-wire.ts';
import { decode, encode } from '../support/proto.ts';
import { until } from '../support/until.ts';

let first: ServerCertificate;
let second: ServerCertificate;
beforeAll(async () => {
  const make = (): Promise<ServerCertificate> => createSelfSigned('sluice', Date.now());
  [first, second] = await Promise.all([make(), make()]);
});

/** What to undo after a test, last first. */
const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanUp.splice(0).reverse()) await clean();
});

const maxMessageBytes = 4 * 1024 * 1024;

/** Answers with the length of the body. */
async function measure(exchange: ExtProcExchange): Promise<void> {
  try {
    const body = await exchange.body(maxMessageBytes);
    exchange.reply({ status: 200, headers: {}, body: String(body.length), details: 'd' });
  } catch {
    // The stream ended first.
  }
}

async function start(
  certificate: ServerCertificate | undefined,
): Promise<{ server: ExtProcServer; port: number }> {
  const server = await startExtProcServer(
    {
      handle: measure,
      accessLog: createAccessLog({ clock: new FakeClock() }, { timeoutMs: 1000, trusted: false }),
    },
    { listen: '127.0.0.1:0', maxMessageBytes, certificate },
  );
  cleanUp.push(() => server.stop());
  return { server, port: server.port! };
}

/** A gRPC client on a connection of its own, which believes one certificate; undefined speaks plain text. */
function clientTo(port: number, trusted: ServerCertificate | undefined): Client {
  const client = new Client(
    `127.0.0.1:${port}`,
    trusted === undefined ? credentials.createInsecure() : credentials.createSsl(Buffer.from(trusted.cert)),
    { 'grpc.use_local_subchannel_pool': 1 },
  );
  cleanUp.push(() => client.close());
  return client;
}

const bytes = (message: Buffer): Buffer => message;

function request(fields: object): Buffer {
  return encode('envoy.service.ext_proc.v3.ProcessingRequest', fields);
}

const head = request({
  requestHeaders: { headers: { headers: [{ key: ':path', rawValue: Buffer.from('/x') }] } },
});

function body(length: number): Buffer {
  return request({ requestBody: { body: Buffer.alloc(length, 'x'), endOfStream: true } });
}

/** An exchange that has sent its head; it goes on when it is told to. */
function openExchange(client: Client) {
  const call = client.makeBidiStreamRequest(processPath, bytes, bytes);
  const answers: Record<string, unknown>[] = [];
  call.on('data', (message: Buffer) =>
    answers.push(decode('envoy.service.ext_proc.v3.ProcessingResponse', message)),
  );
  call.on('error', () => undefined);
  const ended = new Promise<number>((resolve) => call.on('status', ({ code }) => resolve(code)));
  call.write(head);
  return {
    ended,
    /** Sends a body and returns what came back. */
    async finish(length: number): Promise<unknown> {
      call.write(body(length));
      await until(() => answers.length === 2);
      call.end();
      expect(await ended).toBe(grpcStatus.OK);
      return answers[1];
    },
  };
}

function answered(length: number): unknown {
  return { immediateResponse: expect.objectContaining({ body: Buffer.from(String(length)) }) };
}

/** A TLS connection, as far as its handshake. */
async function handshake(port: number, options: object = {}): Promise<TLSSocket> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
    ...options,
  });
  cleanUp.push(() => socket.destroy());
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  return socket;
}

/** An HTTP/2 session whose streams the test ends as it likes. */
async function openSession(port: number, { cert }: ServerCertificate): Promise<ClientHttp2Session> {
  const session = connectHttp2(`https://127.0.0.1:${port}`, { ca: cert });
  cleanUp.push(() => session.destroy());
  await new Promise((resolve, reject) => session.once('connect', resolve).once('error', reject));
  await ping(session);
  return session;
}

/** Resolves when the other side has read all that was sent before; rejects where it has cut the connection. */
function ping(session: ClientHttp2Session): Promise<void> {
  return new Promise((resolve, reject) => {
    session.ping((error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}

async function shownCertificate(port: number): Promise<string | undefined> {
  return (await handshake(port)).getPeerX509Certificate()?.fingerprint256;
}

describe('startExtProcServer() over TLS', () => {
  it.each([0, 100, 3_000_000])('runs an exchange with a body of %d bytes', async (length) => {
    const { server, port } = await start(first);
    expect(await openExchange(clientTo(port, first)).finish(length)).toEqual(answered(length));
    await until(() => server.active === 0);
  });

  it('tells its health', async () => {
    const { server, port } = await start(first);
    server.setServing(true);
    const reply = await new Promise((resolve, reject) =>
      clientTo(port, first).makeUnaryRequest(
        '/grpc.health.v1.Health/Check',
        bytes,
        bytes,
        Buffer.alloc(0),
        (error, value) => (error === null ? resolve(value) : reject(error)),
      ),
    );
    expect(reply).toEqual(Buffer.from([0x08, 1]));
  });

  it('speaks TLS 1.2 and newer, and HTTP/2 alone', async () => {
    const { port } = await start(first);
    const versions = await Promise.all(
      (['TLSv1.2', 'TLSv1.3'] as const).map(async (maxVersion) =>
        (await handshake(port, { maxVersion })).getProtocol(),
      ),
    );
    expect(versions).toEqual(['TLSv1.2', 'TLSv1.3']);
    await expect(
      handshake(port, { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    ).rejects.toMatchObject({ code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' });
    await expect(handshake(port, { ALPNProtocols: ['http/1.1'] })).rejects.toMatchObject({
      code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
    });
  });

  it('has windows for long prompts', async () => {
    const { port } = await start(first);
    const session = await openSession(port, first);
    await ping(session);
    expect(session.remoteSettings.initialWindowSize).toBe(4 * 1024 * 1024);
    expect(session.state.remoteWindowSize).toBe(32 * 1024 * 1024);
  });

  it('lives through thousands of resets, as Envoy sends them', async () => {
    const { server, port } = await start(first);
    const session = await openSession(port, first);
    for (let done = 0; done < 3000; done += 50) {
      for (let i = 0; i < 50; i++) {
        session
          .request({ ':method': 'POST', ':path': processPath, 'content-type': 'application/grpc' })
          .on('error', () => undefined)
          .close(constants.NGHTTP2_CANCEL);
      }
      await ping(session);
    }
    expect(session.destroyed).toBe(false);
    await until(() => server.active === 0);
  });

  it('serves nobody in plain text, and goes on', async () => {
    const { server, port } = await start(first);
    expect(await openExchange(clientTo(port, undefined)).ended).toBe(grpcStatus.UNAVAILABLE);
    const garbage = connectSocket(port, '127.0.0.1');
    garbage.on('error', () => undefined);
    garbage.end('no hello of any kind');
    await new Promise((resolve) => garbage.once('close', resolve));
    expect(await openExchange(clientTo(port, second)).ended).toBe(grpcStatus.UNAVAILABLE);
    expect(await openExchange(clientTo(port, first)).finish(1)).toEqual(answered(1));
    await until(() => server.active === 0);
  });

  it('stop() cuts what runs, and those who have not even said hello', async () => {
    const { server, port } = await start(first);
    const exchange = openExchange(clientTo(port, first));
    await until(() => server.active === 1);
    const silent = connectSocket(port, '127.0.0.1');
    const cut = new Promise((resolve) => silent.once('close', resolve));
    silent.on('error', () => undefined);
    await new Promise((resolve) => silent.once('connect', resolve));
    // Accepted in order: this one comes after the silent one.
    await handshake(port);
    await server.stop();
    expect(server.active).toBe(0);
    expect(await exchange.ended).not.toBe(grpcStatus.OK);
    await cut;
    await expectFree(port);
  });
});

describe('setCertificate()', () => {
  it('shows the new one to those who connect from now on, and cuts nobody', async () => {
    const { server, port } = await start(first);
    const client = clientTo(port, first);
    const running = openExchange(client);
    await until(() => server.active === 1);
    expect(await shownCertificate(port)).toBe(first.fingerprint);

    server.setCertificate(second);
    expect(await shownCertificate(port)).toBe(second.fingerprint);
    expect(await running.finish(3_000_000)).toEqual(answered(3_000_000));
    // On the connection that there was.
    expect(await openExchange(client).finish(7)).toEqual(answered(7));
    expect(await openExchange(clientTo(port, second)).finish(8)).toEqual(answered(8));
    expect(await openExchange(clientTo(port, first)).ended).toBe(grpcStatus.UNAVAILABLE);
  });

  it('is believed by nobody for the sake of an earlier session', async () => {
    const { server, port } = await start(first);
    const before = connect({ port, host: '127.0.0.1', ca: first.cert, ALPNProtocols: ['h2'] });
    cleanUp.push(() => before.destroy());
    const session = await new Promise<Buffer>((resolve, reject) =>
      before.once('session', resolve).once('error', reject),
    );
    expect((await handshake(port, { session })).isSessionReused()).toBe(true);
    server.setCertificate(second);
    const after = await handshake(port, { session });
    expect(after.isSessionReused()).toBe(false);
    expect(after.getPeerX509Certificate()?.fingerprint256).toBe(second.fingerprint);
  });

  it('leaves plain text plain', async () => {
    const { server, port } = await start(undefined);
    server.setCertificate(first);
    expect(await openExchange(clientTo(port, undefined)).finish(5)).toEqual(answered(5));
  });
});
