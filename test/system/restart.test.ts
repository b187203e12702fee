import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseConfig } from '../../src/config/load.ts';
import { startSimulatedEngine, type SimulatedEngine } from '../../src/engine-sim/server.ts';
import { parseSocketAddress } from '../../src/envoy/address.ts';
import { envoyBootstrap } from '../../src/envoy/bootstrap.ts';
import { createEnvoySupervisor, type EnvoySupervisor } from '../../src/envoy/supervisor.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createLogger } from '../../src/observability/log.ts';
import { managedBootstrap } from '../../src/router.ts';
import { chat, chatBody } from '../support/chat.ts';
import { startSluice, type Child } from '../support/child.ts';
import { envoyBinary } from '../support/envoy.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { grpcHealthAt } from '../support/grpc-health.ts';
import { readReply, responseOf, startRequest, type Reply } from '../support/http-client.ts';
import { endpoints, sample } from '../support/pages.ts';

/** An Envoy that outlives Sluice, and `sluice serve` as a process behind a Unix socket. */
let folder: string;
let socket: string;
let port: number;
let envoy: EnvoySupervisor;
let engines: readonly SimulatedEngine[];
const children: Child[] = [];

beforeAll(async () => {
  engines = [
    await startSimulatedEngine({ model: 'm', speed: 20 }),
    await startSimulatedEngine({ model: 'm', speed: 20 }),
  ];
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
  socket = path.join(folder, 'grpc.sock');
  port = await freePort();
  const listen = `127.0.0.1:${port}`;
  envoy = createEnvoySupervisor(
    { log: createLogger({ level: 'silent', format: 'json' }), clock: systemClock, random: () => 0 },
    {
      bin: await envoyBinary(),
      listen: parseSocketAddress(listen),
      concurrency: 1,
      bootstrap: (admin) =>
        envoyBootstrap({
          ...managedBootstrap(parseConfig('', 'test.yaml').config, listen, `unix:${socket}`),
          admin,
        }),
    },
  );
  // The first time Envoy waits for the endpoints before it serves.
  const sluice = serve();
  await adminOf(sluice);
  await envoy.start();
  await eventually(served);
  await sluice.end();
}, 60_000);
afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.end()));
});
afterAll(async () => {
  await envoy.stop(2000);
  await Promise.all(engines.map((engine) => engine.stop()));
  await rm(folder, { recursive: true, force: true });
});

function serve(grpcListen = `unix:${socket}`): Child {
  const child = startSluice([
    'serve',
    ...['--grpc-listen', grpcListen, '--admin-port', '0', '--log-format', 'json'],
    ...['--static-backends', engines.map(({ url }) => url).join(',')],
  ]);
  children.push(child);
  return child;
}

/** The pages of a process, once it serves. */
async function adminOf(child: Child): Promise<{ adminUrl: string; admin(page: string): Promise<unknown> }> {
  const { admin: adminUrl } = JSON.parse(await child.line(/"Serving Envoy at/)) as { admin: string };
  return { adminUrl, admin: async (page) => (await fetch(adminUrl + page)).json() };
}

const served = async (): Promise<boolean> => (await chat({ port })).status === 200;

const health = (name: string): Promise<string> => grpcHealthAt(`unix:${socket}`, name);

const processor = 'envoy.service.ext_proc.v3.ExternalProcessor';

describe('sluice serve', () => {
  it('is killed under load and started again: 503 in between, service after', async () => {
    const first = serve();
    await eventually(served);
    const replies: Reply[] = [];
    let loaded = true;
    const workers = Array.from({ length: 4 }, async () => {
      while (loaded) replies.push(await chat({ port }));
    });
    const count = (status: number): number => replies.filter((reply) => reply.status === status).length;
    const stream = await responseOf(startRequest(port, { body: chatBody({ tokens: 20_000, stream: true }) }));
    const streamEnd = stream.toArray().then(
      () => 'whole',
      () => 'broken',
    );
    await eventually(() => count(200) >= 20);

    first.kill('SIGKILL');
    await first.exited;
    await eventually(() => count(503) >= 5);
    expect(await streamEnd).toBe('broken');
    expect(existsSync(socket)).toBe(true);

    const second = serve();
    const before = count(200);
    await eventually(() => count(200) >= before + 20);
    loaded = false;
    await Promise.all(workers);
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200, 503]));
    for (const reply of replies.filter(({ status }) => status === 503)) {
      expect(reply.headers).toMatchObject({ 'content-type': 'application/json', 'retry-after': '1' });
      expect(reply.json).toMatchObject({ error: { message: expect.any(String), code: expect.any(String) } });
    }
    const pages = await adminOf(second);
    await eventually(async () => (await endpoints(pages)).every(({ inFlight }) => inFlight === 0));
    await eventually(async () => (await sample(pages, 'sluice_exchanges_active')) === 0);
  }, 40_000);

  it('ends on SIGTERM when the running stream has ended, and says before that it takes no more', async () => {
    const child = serve();
    await eventually(served);
    for (const name of ['', 'liveness', 'readiness', processor]) expect(await health(name)).toBe('SERVING');
    const response = await responseOf(startRequest(port, { body: chatBody({ tokens: 50, stream: true }) }));
    // The stream does not end, and with it Sluice, before all has been asked.
    for (const engine of engines) engine.setFault({ mode: 'hang' });
    let ended = false;
    const whole = readReply(response).then(({ body }) => {
      ended = true;
      return body;
    });

    child.kill('SIGTERM');
    await child.line(/Draining: \d+ exchanges? running/);
    for (const name of ['', 'readiness', processor]) expect(await health(name)).toBe('NOT_SERVING');
    expect(await health('liveness')).toBe('SERVING');
    expect(ended).toBe(false);
    for (const engine of engines) engine.setFault({ mode: 'none' });
    expect(await whole).toMatch(/data: \[DONE\]\n\n$/);
    expect(await child.exited).toEqual({ code: 0, signal: null });
    expect(existsSync(socket)).toBe(false);
    expect(child.stderr).toBe('');
  }, 30_000);

  it('does not take the address of one that runs', async () => {
    serve();
    await eventually(served);
    const second = serve();
    expect(await second.exited).toEqual({ code: 1, signal: null });
    expect(second.stderr).toBe(
      `sluice: Cannot listen for Envoy on "unix:${socket}": another process listens there\n`,
    );
    expect(await served()).toBe(true);
  }, 30_000);

  it('does not take the place of a file', async () => {
    const file = path.join(folder, 'notes.txt');
    await writeFile(file, 'keep me');
    const child = serve(`unix:${file}`);
    expect(await child.exited).toEqual({ code: 1, signal: null });
    expect(child.stderr).toBe(
      `sluice: Cannot listen for Envoy on "unix:${file}": there is a file of that name\n`,
    );
    expect(existsSync(file)).toBe(true);
  }, 30_000);
});
