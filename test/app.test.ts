import { afterEach, describe, expect, it } from '@jest/globals';
import { startServe, type App, type AppOptions } from '../src/app.ts';
import { parseConfig } from '../src/config/load.ts';
import { createLogger } from '../src/observability/log.ts';
import { testConfig } from './support/configuration.ts';
import { expectFree, freePort, takenPort } from './support/free-port.ts';
import { LoopbackEngine } from './support/loopback-engine.ts';

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanUp.splice(0).reverse()) await clean();
});

const log = createLogger({ level: 'silent', format: 'json' });
const engine = 'http://127.0.0.1:1';

function options(known: Partial<AppOptions> = {}): AppOptions {
  return { loaded: testConfig([engine]), grpcListen: '127.0.0.1:0', log, ...known };
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
async function taken(): Promise<number> {
  const { port, release } = await takenPort();
  cleanUp.push(release);
  return port;
}

const onPort = (port: number): string =>
  `{ admin: { port: ${port} }, discovery: { static: { backends: [{ url: '${engine}' }] } } }`;

describe('startServe()', () => {
  it('becomes ready when an engine does, and leaves nothing behind', async () => {
    const engine = await startEngine();
    const app = await startServe(options({ loaded: testConfig([`http://127.0.0.1:${engine.port}`]) }));
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
    await expect(startServe(options({ loaded: testConfig([]) }))).rejects.toThrow(
      'Cannot serve without engines: name them with --static-backends, or under discovery.static.backends',
    );
  });

  it('refuses a new configuration without engines whole: what is in effect stays', async () => {
    const reload = () => testConfig([], 'log: { level: error }');
    const app = await start({ reload });
    const before = app.config();
    await app.reload();
    expect(app.config()).toBe(before);
    expect(await (await fetch(`${app.adminUrl}/health`)).json()).toMatchObject({
      config: { lastReloadSuccessful: false },
    });
  });

  it('says that the port of the admin pages is taken', async () => {
    const [adminPort, grpcPort] = [await taken(), await freePort()];
    await expect(
      startServe(
        options({
          loaded: parseConfig(onPort(adminPort), 'f'),
          grpcListen: `127.0.0.1:${grpcPort}`,
        }),
      ),
    ).rejects.toThrow(`Cannot serve the admin pages on "127.0.0.1:${adminPort}": the port is in use`);
    await expectFree(grpcPort);
  });

  it('says that the port for Envoy is taken, and closes the admin pages again', async () => {
    const [adminPort, grpcPort] = [await freePort(), await taken()];
    await expect(
      startServe(
        options({
          loaded: parseConfig(onPort(adminPort), 'f'),
          grpcListen: `127.0.0.1:${grpcPort}`,
        }),
      ),
    ).rejects.toThrow(`Cannot listen for Envoy on "127.0.0.1:${grpcPort}"`);
    await expectFree(adminPort);
  });

  it('names the file of authorities that it cannot read', async () => {
    const unreadable = testConfig([engine], 'envoy: { upstreamTls: { caFile: /no/such/ca.pem } }');
    await expect(startServe(options({ loaded: unreadable }))).rejects.toThrow('/no/such/ca.pem');
  });
});
