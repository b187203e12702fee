/** The whole thing for system tests: simulated engines, Sluice, and a real Envoy, on free loopback ports. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startServe, type App } from '../../src/app.ts';
import { loadConfig, type LoadedConfig } from '../../src/config/load.ts';
import {
  startSimulatedEngine,
  type SimulatedEngine,
  type SimulatedEngineOptions,
} from '../../src/engine-sim/server.ts';
import { parseSocketAddress } from '../../src/envoy/address.ts';
import { envoyBootstrap, type BootstrapOptions } from '../../src/envoy/bootstrap.ts';
import { createEnvoySupervisor, type EnvoySupervisor } from '../../src/envoy/supervisor.ts';
import { parseEnvoyVersion } from '../../src/envoy/version.ts';
import { managedBootstrap, startRouter } from '../../src/router.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createLogger } from '../../src/observability/log.ts';
import { testConfig, testFlags } from './configuration.ts';
import { envoyBinary } from './envoy.ts';
import { freePort } from './free-port.ts';

/** One line of Sluice's log, as JSON. */
export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** The access-log line of an exchange. */
export interface ExchangeLine extends LogLine {
  readonly exchange: string;
  readonly status: number;
  readonly outcome: string;
}

export interface GatewayOptions {
  /** Simulated engines: how many, or the options of each. Default 3 of model `m` at speed 20. */
  readonly engines?: number | readonly Partial<SimulatedEngineOptions>[];
  /** Engines that run already: URLs in place of simulated ones. */
  readonly backends?: readonly string[];
  /** Sluice's configuration, as YAML; the admin port and the log are the test's. */
  readonly config?: string;
  /** A file or folder in place of it, which is watched. */
  readonly configFile?: string;
  /** Which Envoy; default the managed one. */
  readonly envoyVersion?: string;
  /**
   * `router`: Sluice runs Envoy, as `sluice router` does. `attached`: Envoy is somebody else's, with changes to its
   * bootstrap, and Sluice does not know it sends its access log, as with `sluice serve`.
   */
  readonly mode?: 'router' | 'attached';
  /** Whether to wait until an engine is ready. Default true. */
  readonly untilReady?: boolean;
  /** Changes the bootstrap of an attached Envoy. */
  readonly bootstrap?: Partial<BootstrapOptions>;
  readonly editBootstrap?: (bootstrap: object) => object;
}

/** A running gateway. Stop it in `afterAll`/`finally`. */
export interface Gateway {
  /** Where clients connect, e.g. `http://127.0.0.1:41234`. */
  readonly url: string;
  readonly port: number;
  readonly adminUrl: string;
  readonly engines: readonly SimulatedEngine[];
  readonly app: App;
  /** Everything Sluice logged so far. */
  readonly lines: readonly LogLine[];
  /** The attached Envoy. */
  readonly envoy: EnvoySupervisor | undefined;
  /** Resolves with the first exchange line for which `matches` holds, past lines included. */
  exchange(matches: (line: ExchangeLine) => boolean): Promise<ExchangeLine>;
  /** Resolves with the first line for which `matches` holds, past lines included. */
  line(matches: (line: LogLine) => boolean): Promise<LogLine>;
  /** POSTs JSON to a path; `requestId` makes its exchange line findable. */
  post(
    pathname: string,
    body: unknown,
    init?: { readonly requestId?: string; readonly signal?: AbortSignal },
  ): Promise<Response>;
  /** A JSON page of the admin server. */
  admin(page: string): Promise<unknown>;
  /** Sum of in-flight counts over endpoints, as /debug/endpoints says. */
  inFlight(): Promise<number>;
  stop(): Promise<void>;
}

const startTimeoutMs = 20_000;

export async function startGateway(options: GatewayOptions = {}): Promise<Gateway> {
  const engines: SimulatedEngine[] = [];
  const cleanUp: (() => Promise<unknown>)[] = [];
  try {
    const engineOptions =
      typeof options.engines === 'object'
        ? options.engines
        : Array.from({ length: options.backends ? 0 : (options.engines ?? 3) }, () => ({}));
    for (const engine of engineOptions)
      engines.push(await startSimulatedEngine({ model: 'm', speed: 20, ...engine }));
    cleanUp.push(() => Promise.all(engines.map((engine) => engine.stop())));
    return await start(options, engines, cleanUp);
  } catch (error) {
    for (const clean of cleanUp.reverse()) await clean();
    throw error;
  }
}

async function start(
  options: GatewayOptions,
  engines: SimulatedEngine[],
  cleanUp: (() => Promise<unknown>)[],
): Promise<Gateway> {
  const log = collectLines();
  const urls = [...(options.backends ?? []), ...engines.map((engine) => engine.url)];
  const { configFile } = options;
  const load = (refuseEmpty: boolean): LoadedConfig =>
    configFile === undefined
      ? testConfig(urls, options.config)
      : loadConfig(configFile, { flags: testFlags(urls), refuseEmpty });
  const appOptions = {
    loaded: load(false),
    reload: () => load(true),
    source: configFile,
    log: createLogger({ level: 'debug', format: 'json', destination: log.destination }),
  };
  const port = await freePort();
  const listen = `127.0.0.1:${port}`;
  const bin = await envoyBinary(options.envoyVersion);
  let app: App;
  let envoy: EnvoySupervisor | undefined;
  if (options.mode === 'attached') {
    const folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
    cleanUp.push(() => rm(folder, { recursive: true, force: true }));
    const grpcListen = `unix:${path.join(folder, 'grpc.sock')}`;
    app = await startServe({ ...appOptions, grpcListen });
    cleanUp.push(() => app.stop());
    const edit = options.editBootstrap ?? ((bootstrap: object) => bootstrap);
    const version =
      options.envoyVersion === undefined ? {} : { version: parseEnvoyVersion(options.envoyVersion) };
    envoy = createEnvoySupervisor(
      { log: appOptions.log, clock: systemClock, random: Math.random },
      {
        bin,
        listen: parseSocketAddress(listen),
        concurrency: 1,
        bootstrap: (admin) =>
          edit(
            envoyBootstrap({
              ...managedBootstrap(appOptions.loaded.config, listen, grpcListen),
              ...version,
              ...options.bootstrap,
              admin,
            }),
          ),
      },
    );
    const supervisor = envoy;
    cleanUp.push(() => supervisor.stop(1000));
    await envoy.start();
  } else {
    app = await startRouter({ ...appOptions, listen, envoyBin: bin });
    cleanUp.push(() => app.stop());
  }
  if (options.untilReady !== false) await app.ready(AbortSignal.timeout(startTimeoutMs));
  const url = `http://${listen}`;
  const admin = async (page: string): Promise<unknown> => (await fetch(app.adminUrl + page)).json();
  return {
    url,
    port,
    adminUrl: app.adminUrl,
    engines,
    app,
    lines: log.lines,
    envoy,
    exchange: (matches) =>
      log.find(
        (line) => 'exchange' in line && 'outcome' in line && matches(line as ExchangeLine),
      ) as Promise<ExchangeLine>,
    line: (matches) => log.find(matches),
    post: (pathname, body, init = {}) =>
      fetch(url + pathname, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(init.requestId === undefined ? {} : { 'x-request-id': init.requestId }),
        },
        body: typeof body === 'string' ? body : JSON.stringify(body),
        ...(init.signal === undefined ? {} : { signal: init.signal }),
      }),
    admin,
    async inFlight() {
      const { endpoints } = (await admin('/debug/endpoints')) as { endpoints: { inFlight: number }[] };
      return endpoints.reduce((sum, endpoint) => sum + endpoint.inFlight, 0);
    },
    async stop() {
      for (const clean of cleanUp.reverse()) await clean();
    },
  };
}

function collectLines() {
  const lines: LogLine[] = [];
  const waiting = new Set<(line: LogLine) => void>();
  return {
    lines,
    destination: {
      write(text: string) {
        const line = JSON.parse(text) as LogLine;
        lines.push(line);
        for (const listener of waiting) listener(line);
      },
    },
    find(matches: (line: LogLine) => boolean): Promise<LogLine> {
      const past = lines.find(matches);
      if (past !== undefined) return Promise.resolve(past);
      return new Promise((resolve) => {
        const listener = (line: LogLine): void => {
          if (!matches(line)) return;
          waiting.delete(listener);
          resolve(line);
        };
        waiting.add(listener);
      });
    },
  };
}
