import { afterEach, describe, expect, it } from '@jest/globals';
import { Agent } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseSocketAddress } from '../../src/envoy/address.ts';
import { envoyBootstrap } from '../../src/envoy/bootstrap.ts';
import { createEndpointDiscovery } from '../../src/envoy/eds.ts';
import { createEnvoySupervisor } from '../../src/envoy/supervisor.ts';
import { createAccessLog } from '../../src/extproc/access-log.ts';
import type { ExtProcExchange } from '../../src/extproc/exchange.ts';
import { startExtProcServer } from '../../src/extproc/server.ts';
import { systemClock as clock } from '../../src/lib/clock.ts';
import { FakeEndpoints } from '../envoy/support/fake-endpoints.ts';
import { FakeLog } from '../envoy/support/fake-log.ts';
import { chatBody } from '../support/chat.ts';
import { envoyBinary } from '../support/envoy.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { send } from '../support/http-client.ts';
import { LoopbackEngine } from '../support/loopback-engine.ts';

/** What protects an exchange from Node's guard against floods of RST_STREAM. */
interface Fixes {
  /** Node is told that resets are normal here. */
  readonly limits: boolean;
  /** Envoy closes its streams without resetting them. */
  readonly guard: boolean;
}

interface Rig {
  readonly port: number;
  /** A counter of Envoy's about its connections to us. */
  stat(name: string): Promise<number>;
}

const cleanUp: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanUp.splice(0).reverse()) await clean();
});

/** Our server behind a real Envoy with one worker, hence one connection, in front of an engine that answers at once. */
async function startRig({ limits, guard }: Fixes): Promise<Rig> {
  const engine = await LoopbackEngine.start();
  cleanUp.push(() => engine.stop());
  engine.replies.set('/v1/chat/completions', { status: 200, body: '{"usage":{"prompt_tokens":1}}' });
  const endpoints = new FakeEndpoints();
  endpoints.publish({ port: engine.port });
  const log = new FakeLog();
  const folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
  cleanUp.push(() => rm(folder, { recursive: true, force: true }));
  const extProc = `unix:${path.join(folder, 'grpc.sock')}`;
  const accessLog = createAccessLog({ clock }, { timeoutMs: 1000, trusted: false });
  const server = await startExtProcServer(
    {
      handle: (exchange) => routeTo(engine.target().id, exchange),
      accessLog,
      services: [
        createEndpointDiscovery({ snapshot: endpoints.snapshot, subscribe: endpoints.subscribe, log }),
      ],
      ...(limits ? {} : { tune: () => undefined }),
    },
    { listen: extProc, maxMessageBytes: 1024 * 1024 },
  );
  server.setServing(true);
  cleanUp.push(() => server.stop());

  const listen = parseSocketAddress(`127.0.0.1:${await freePort()}`);
  const admin = parseSocketAddress(`127.0.0.1:${await freePort()}`);
  const envoy = createEnvoySupervisor(
    { log, clock, random: () => 0 },
    {
      bin: await envoyBinary(),
      listen,
      admin,
      concurrency: 1,
      bootstrap: () => ({
        ...envoyBootstrap({
          listen,
          admin,
          extProc: parseSocketAddress(extProc),
          engineTls: { kind: 'insecure' },
        }),
        ...(guard ? {} : { layered_runtime: { layers: [{ name: 'stock', static_layer: {} }] } }),
      }),
    },
  );
  await envoy.start();
  cleanUp.push(() => envoy.stop(2000));
  const port = listen.kind === 'tcp' ? listen.port : 0;
  const adminPort = admin.kind === 'tcp' ? admin.port : 0;
  return {
    port,
    async stat(name) {
      const page = await fetch(`http://127.0.0.1:${adminPort}/stats?filter=cluster.ext_proc.${name}$`);
      return Number(/: (\d+)/.exec(await page.text())?.[1]);
    },
  };
}

/** The least that Sluice says in an exchange. */
async function routeTo(destination: string, exchange: ExtProcExchange): Promise<void> {
  try {
    await exchange.body(1024 * 1024);
    exchange.route({ destinations: [destination], model: 'm', edits: [], removeHeaders: [], setHeaders: {} });
  } catch {
    return;
  }
  await exchange.responseHead();
  await exchange.finish(undefined);
}

/** Sends requests over 16 connections, `next` to be asked before each; returns how often each status came. */
async function flood(port: number, next: (sent: number) => boolean): Promise<Map<number, number>> {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const statuses = new Map<number, number>();
  const body = chatBody({ prompt: 'Hello' });
  let sent = 0;
  const workers = Array.from({ length: 16 }, async () => {
    while (next(sent++)) {
      const { status } = await send(port, { body, agent });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  });
  await Promise.all(workers);
  agent.destroy();
  return statuses;
}

const enough = 3500;

describe('more than 3000 exchanges on one connection', () => {
  it.each<[string, Fixes]>([
    ["with Node's limit raised, although Envoy resets each stream", { limits: true, guard: false }],
    ["with Node's own limit, because Envoy resets none", { limits: false, guard: true }],
  ])(
    'all succeed %s',
    async (_name, fixes) => {
      const rig = await startRig(fixes);
      expect(await flood(rig.port, (sent) => sent < enough)).toEqual(new Map([[200, enough]]));
      expect(await rig.stat('upstream_cx_destroy_remote')).toBe(0);
      // One connection for ext_proc, endpoint discovery and the log; the health checker has its own.
      expect(await rig.stat('upstream_cx_total')).toBeLessThanOrEqual(2);
      // The last stream is reset or closed just after its response.
      const resets = await rig.stat('upstream_rq_tx_reset');
      if (fixes.guard) expect(resets).toBe(0);
      else await eventually(async () => (await rig.stat('upstream_rq_tx_reset')) >= enough);
    },
    60_000,
  );

  it('some fail with neither', async () => {
    const rig = await startRig({ limits: false, guard: false });
    let destroyed = 0;
    const statuses = await flood(rig.port, (sent) => {
      if (sent % 100 === 0) void rig.stat('upstream_cx_destroy_remote').then((count) => (destroyed = count));
      return sent < enough && destroyed === 0;
    });
    expect(await rig.stat('upstream_cx_destroy_remote')).toBeGreaterThan(0);
    expect(statuses.get(200)).toBeGreaterThan(900);
  }, 60_000);
});
