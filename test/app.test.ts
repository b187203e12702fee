import { afterEach, describe, expect, it } from '@jest/globals';
import { createServer, type AddressInfo } from 'node:net';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  configuredBackends,
  managedBootstrap,
  startRouter,
  startServe,
  type App,
  type AppOptions,
} from '../src/app.ts';
import { parseConfig } from '../src/config/load.ts';
import { parseBackends } from '../src/discovery/static.ts';
import { createLogger } from '../src/observability/log.ts';
import { startSluice } from './support/child.ts';
import { LoopbackEngine } from './support/loopback-engine.ts';

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanUp.splice(0).reverse()) await clean();
});

function config(yaml = '') {
  return parseConfig(`admin: { port: 0 }\n${yaml}`, 'test.yaml');
}

const log = createLogger({ level: 'silent', format: 'json' });
const backends = parseBackends('http://127.0.0.1:1', 'm');

function options(known: Partial<AppOptions> = {}): AppOptions {
  return { config: config(), backends, grpcListen: '127.0.0.1:0', log, ...known };
}

async function start(known: Partial<AppOptions> = {}): Promise<App> {
  const app = await startServe(options(known));
  cleanUp.push(() => app.stop());
  return app;
}

async function startEngine(): Promise<LoopbackEngine> {
  const engine = await LoopbackEngine.start();
  cleanUp.push(() => engine.stop());
  return engine;
}

/** A port that somebody has. */
async function takenPort(): Promise<number> {
  const server = createServer();
  await listen(server, 0);
  cleanUp.push(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
}

function listen(server: ReturnType<typeof createServer>, port: number): Promise<void> {
  return new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
}

/** Rejects where somebody has the port. */
async function expectFree(port: number): Promise<void> {
  const server = createServer();
  await listen(server, port);
  await new Promise((resolve) => server.close(resolve));
}

async function freePort(): Promise<number> {
  const server = createServer();
  await listen(server, 0);
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('configuredBackends()', () => {
  it('reads the engines of the configuration with their models', () => {
    expect(
      configuredBackends(
        config(`
discovery:
  static:
    backends:
      - { url: 'http://10.0.0.1:8000', models: [m, n] }
      - { url: 'https://engine.example' }
      - { url: 'http://[fd00::1]:8000' }
`),
      ),
    ).toEqual([
      { host: '10.0.0.1', isName: false, port: 8000, tls: false, models: ['m', 'n'] },
      { host: 'engine.example', isName: true, port: 443, tls: true, models: [] },
      { host: 'fd00::1', isName: false, port: 8000, tls: false, models: [] },
    ]);
  });

  it('reads none where there are none', () => {
    expect(configuredBackends(config())).toEqual([]);
  });
});

describe('managedBootstrap()', () => {
  it('says to Envoy what the configuration says', () => {
    const given = config(`
limits: { maxBodyBytes: 1MiB }
envoy:
  requestTimeout: 1m
  idleTimeout: 2m
  connectTimeout: 3s
  retries: 4
  perTryIdleTimeout: 5s
  messageTimeout: 6s
  maxMessageTimeout: 7s
  upstreamTls: { insecureSkipVerify: true }
`);
    expect(managedBootstrap(given, '[::1]:8001', 'unix:/run/grpc.sock')).toMatchObject({
      listen: { kind: 'tcp', host: '::1', port: 8001 },
      extProc: { kind: 'unix', path: '/run/grpc.sock' },
      maxBodyBytes: 1024 * 1024,
      accessLog: 'off',
      requestTimeoutMs: 60_000,
      idleTimeoutMs: 120_000,
      connectTimeoutMs: 3000,
      retries: 4,
      perTryIdleTimeoutMs: 5000,
      messageTimeoutMs: 6000,
      maxMessageTimeoutMs: 7000,
    });
  });

  it('refuses an address that is none', () => {
    expect(() => managedBootstrap(config(), 'nowhere', 'unix:/a')).toThrow('Cannot use address "nowhere"');
  });
});

describe('startServe()', () => {
  it('becomes ready when an engine does, and leaves nothing behind', async () => {
    const engine = await startEngine();
    const app = await startServe(
      options({ backends: parseBackends(`http://127.0.0.1:${engine.port}`, undefined) }),
    );
    await app.ready(new AbortController().signal);
    expect((await fetch(`${app.adminUrl}/readyz`)).status).toBe(200);
    await app.drain();
    const page = await fetch(`${app.adminUrl}/readyz`);
    expect([page.status, await page.text()]).toEqual([503, expect.stringContaining('shutting down')]);
    await app.stop();
    await expectFree(Number(new URL(app.adminUrl).port));
    await expectFree(app.grpcPort!);
  });

  it('ready() returns at once when it is not wanted any more', async () => {
    const app = await start();
    await app.ready(AbortSignal.abort());
    const waiting = new AbortController();
    const returned = app.ready(waiting.signal);
    waiting.abort();
    await returned;
  });

  it('needs engines, and says where to name them', async () => {
    await expect(startServe(options({ backends: [] }))).rejects.toThrow(
      'Cannot start without engines: name them with --static-backends, or under discovery.static.backends',
    );
  });

  it('says that the port of the admin pages is taken', async () => {
    const [adminPort, grpcPort] = [await takenPort(), await freePort()];
    await expect(
      startServe(
        options({
          config: parseConfig(`admin: { port: ${adminPort} }`, 'f'),
          grpcListen: `127.0.0.1:${grpcPort}`,
        }),
      ),
    ).rejects.toThrow(`Cannot serve the admin pages on "127.0.0.1:${adminPort}": the port is in use`);
    await expectFree(grpcPort);
  });

  it('says that the port for Envoy is taken, and closes the admin pages again', async () => {
    const [adminPort, grpcPort] = [await freePort(), await takenPort()];
    await expect(
      startServe(
        options({
          config: parseConfig(`admin: { port: ${adminPort} }`, 'f'),
          grpcListen: `127.0.0.1:${grpcPort}`,
        }),
      ),
    ).rejects.toThrow(`Cannot listen for Envoy on "127.0.0.1:${grpcPort}"`);
    await expectFree(adminPort);
  });

  it('names the file of authorities that it cannot read', async () => {
    const unreadable = config('envoy: { upstreamTls: { caFile: /no/such/ca.pem } }');
    await expect(startServe(options({ config: unreadable }))).rejects.toThrow('/no/such/ca.pem');
  });
});

describe('startRouter()', () => {
  it.each([
    ['an address that is none', '[::1', 'Cannot use address "[::1'],
    ['a port that is taken', '127.0.0.1', 'in use'],
  ])(
    'refuses %s, ends, and leaves nothing behind',
    async (_, host, message) => {
      const folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
      cleanUp.push(() => rm(folder, { recursive: true }));
      const port = String(await takenPort());
      const child = startSluice(
        [
          'router',
          '--host',
          host,
          '--port',
          port,
          '--admin-port',
          '0',
          '--static-backends',
          'http://127.0.0.1:1',
        ],
        { TMPDIR: folder },
      );
      cleanUp.push(() => child.end());
      expect((await child.exited).code).toBe(1);
      expect(child.stderr).toContain(message);
      expect(await readdir(folder)).toEqual([]);
    },
    30_000,
  );

  it('says which Envoy it cannot find, before it starts anything', async () => {
    const adminPort = await takenPort();
    const given = parseConfig(`admin: { port: ${adminPort} }`, 'test.yaml');
    await expect(
      startRouter({ config: given, backends, log, envoyBin: '/no/such/envoy', listen: '127.0.0.1:0' }),
    ).rejects.toThrow('/no/such/envoy');
  });
});
