/** A real Envoy and Sluice's ext_proc server with nothing behind it: the test is the main path. */
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { FakeEndpoints } from '../envoy/support/fake-endpoints.ts';
import { FakeLog } from '../envoy/support/fake-log.ts';
import { envoyBootstrap, type BootstrapOptions } from '../../src/envoy/bootstrap.ts';
import { createEndpointDiscovery } from '../../src/envoy/eds.ts';
import { createEnvoySupervisor } from '../../src/envoy/supervisor.ts';
import { formatEnvoyVersion, managedEnvoyVersion, parseEnvoyVersion } from '../../src/envoy/version.ts';
import { createAccessLog } from '../../src/extproc/access-log.ts';
import { startExtProcServer } from '../../src/extproc/server.ts';
import { systemClock as clock } from '../../src/lib/clock.ts';
import type { BodyFilter, BodyObserver, Exchange, RequestHead, Route } from '../../src/request/exchange.ts';
import { envoyBinary } from './envoy.ts';
import { freePort } from './free-port.ts';

export interface ExchangeRigOptions {
  /** Which Envoy; default the managed one. */
  readonly envoyVersion?: string;
  readonly bootstrap?: Partial<BootstrapOptions>;
  readonly editBootstrap?: (bootstrap: object) => object;
  /** The engine's answer to all but health checks. Default: an empty 200. */
  readonly engine?: RequestListener;
}

export interface ExchangeRig {
  /** Where clients connect, on 127.0.0.1. */
  readonly port: number;
  /** The heads of all exchanges so far. */
  readonly heads: readonly RequestHead[];
  /** What is said to each exchange besides where the engine is, who is shown the response body, and what passes of it. */
  decision: Pick<Route, 'responseHeaders'> & {
    readonly observer?: BodyObserver;
    readonly filter?: BodyFilter;
  };
  stop(): Promise<void>;
}

/** Starts all three. Every request with a body is read whole before it is sent to the engine. */
export async function startExchangeRig(options: ExchangeRigOptions = {}): Promise<ExchangeRig> {
  const { envoyVersion = formatEnvoyVersion(managedEnvoyVersion) } = options;
  const edit = options.editBootstrap ?? ((bootstrap: object) => bootstrap);
  const answer = options.engine ?? ((_request, response) => void response.end());
  const engine = createServer((request, response) => {
    request.resume();
    if (request.url === '/health') response.end();
    else request.once('end', () => answer(request, response));
  });
  await new Promise<void>((resolve) => engine.listen(0, '127.0.0.1', resolve));
  const { port: enginePort } = engine.address() as AddressInfo;

  const endpoints = new FakeEndpoints();
  endpoints.publish({ port: enginePort });
  const log = new FakeLog();
  const heads: RequestHead[] = [];
  const listen = { kind: 'tcp', host: '127.0.0.1', port: await freePort() } as const;
  const server = await startExtProcServer(
    {
      handle: (exchange) => handle(exchange),
      accessLog: createAccessLog({ clock }, { timeoutMs: 1000, trusted: false }),
      services: [
        createEndpointDiscovery({ snapshot: endpoints.snapshot, subscribe: endpoints.subscribe, log }),
      ],
    },
    { listen: '127.0.0.1:0', maxMessageBytes: 1024 * 1024 },
  );
  server.setServing(true);
  const extProc = { kind: 'tcp', host: '127.0.0.1', port: server.port! } as const;
  const envoy = createEnvoySupervisor(
    { log, clock, random: () => 0 },
    {
      bin: await envoyBinary(envoyVersion),
      listen,
      concurrency: 1,
      bootstrap: (admin) =>
        edit(
          envoyBootstrap({
            listen,
            admin,
            extProc,
            engineTls: { kind: 'insecure' },
            accessLog: 'off',
            version: parseEnvoyVersion(envoyVersion),
            ...options.bootstrap,
          }),
        ),
    },
  );
  const rig: ExchangeRig = {
    port: listen.port,
    heads,
    decision: {},
    async stop() {
      await envoy.stop(2000);
      await server.stop();
      engine.closeAllConnections();
      await new Promise((resolve) => engine.close(resolve));
    },
  };

  async function handle(exchange: Exchange): Promise<void> {
    heads.push(exchange.head);
    const { observer, filter, ...changes } = rig.decision;
    await exchange.body(1024 * 1024);
    exchange.route({
      destinations: [`127.0.0.1:${enginePort}`],
      model: 'm',
      edits: [],
      removeHeaders: [],
      setHeaders: {},
      ...changes,
    });
    await exchange.responseHead();
    await exchange.finish(observer, filter);
  }

  try {
    await envoy.start();
    return rig;
  } catch (error) {
    await rig.stop();
    throw error;
  }
}
