/** The composition root: every concrete part, in the order in which it starts. Nothing else knows them all. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createDebugRoutes } from './admin/debug.ts';
import { createHealthRoutes, someEndpointReady, type ReadinessCheck } from './admin/health.ts';
import { createAdminServer } from './admin/http.ts';
import { createMetricsRoute } from './admin/metrics-page.ts';
import type { Config } from './config/schema.ts';
import {
  createStaticDiscovery,
  parseBackends,
  resolveBySystem,
  type StaticBackend,
} from './discovery/static.ts';
import type { Endpoint } from './endpoints/endpoint.ts';
import { createEndpointStore } from './endpoints/endpoint-store.ts';
import { createScraper } from './endpoints/scraper.ts';
import { parseSocketAddress } from './envoy/address.ts';
import { envoyBootstrap, type BootstrapOptions } from './envoy/bootstrap.ts';
import { engineTls } from './envoy/engine-tls.ts';
import { createEndpointDiscovery } from './envoy/eds.ts';
import { atLeast, formatEnvoyVersion } from './envoy/version.ts';
import { findEnvoy, type EnvoyBinary } from './envoy/find-envoy.ts';
import { createEnvoySupervisor } from './envoy/supervisor.ts';
import { createAccessLog } from './extproc/access-log.ts';
import { startExtProcServer, type ExtProcServer } from './extproc/server.ts';
import { systemClock as clock } from './lib/clock.ts';
import { countExchange, createExchangeLog } from './observability/exchange-report.ts';
import { createLogger, type Logger } from './observability/log.ts';
import { createMetrics } from './observability/metrics.ts';
import { createPathMatcher } from './request/api-paths.ts';
import { createRequestHandler } from './request/handle-request.ts';
import { createLocalAnswers } from './request/local-answers.ts';
import { createDecisionLog } from './scheduling/decision-log.ts';
import { createProfile } from './scheduling/profile.ts';
import { createScheduler } from './scheduling/scheduler.ts';
import { packageVersion } from './version.ts';

export interface AppOptions {
  readonly config: Config;
  /** The engines: from flags, which win over the configuration. */
  readonly backends: readonly StaticBackend[];
  /** Where Envoy reaches us: `host:port` or `unix:/path`. */
  readonly grpcListen: string;
  /** Default: created from the configuration. */
  readonly log?: Logger;
  /** The Envoy in front is ours and sends us its access log. */
  readonly trustAccessLog?: boolean;
}

/** A running Sluice. */
export interface App {
  /** Port of the gRPC server; undefined on a Unix socket. */
  readonly grpcPort: number | undefined;
  readonly adminUrl: string;
  /** Resolves when some engine is ready. */
  ready(signal: AbortSignal): Promise<void>;
  /** Not ready from now on; waits for running exchanges up to the drain timeout. */
  drain(): Promise<void>;
  /** Ends everything, in reverse. */
  stop(): Promise<void>;
}

/** Starts Sluice beside an Envoy that somebody else runs. */
export async function startServe(options: AppOptions): Promise<App> {
  const { config } = options;
  const random = Math.random;
  const version = await packageVersion();
  const log = options.log ?? createLogger(config.log);
  if (options.backends.length === 0) {
    throw new Error(
      'Cannot start without engines: name them with --static-backends, or under discovery.static.backends',
    );
  }

  const store = createEndpointStore({ clock });
  const metrics = createMetrics({ store, clock, version });
  const scraper = createScraper(
    {
      store,
      clock,
      random,
      scraped: (result, seconds) => metrics.scraped(result, seconds),
      onBug: (error, endpoint) =>
        log.error({ err: error, endpoint: endpoint.id }, 'Cannot probe an endpoint'),
    },
    { ...config.scrape, ...(await engineTrust(config)) },
  );
  const discovery = createStaticDiscovery({
    backends: options.backends,
    resolve: resolveBySystem,
    clock,
    random,
    onTargets: (targets) => store.setTargets(targets),
    onNameChange: ({ name, problem, addresses }) =>
      problem === undefined
        ? log.info({ name, addresses }, `${name} resolves to ${addresses.join(', ')}`)
        : log.warn({ name, problem }, `Cannot resolve "${name}": ${problem}`),
    dnsIntervalMs: config.discovery.dnsIntervalMs,
  });

  const decisionLog = createDecisionLog();
  const scheduler = createScheduler({
    profile: createProfile(config.scheduler.profile, { clock, random }),
    clock,
    decisionLog,
    maxEndpoints: config.scheduler.maxEndpoints,
  });
  metrics.watchPluginMemory(() => scheduler.memory());
  const stopWatching = store.subscribe((snapshot, change) => {
    for (const endpoint of change.lost) scheduler.endpointLost(endpoint);
    logMembership(log, snapshot.endpoints.length, change);
  });

  const accessLog = createAccessLog(
    { clock },
    {
      timeoutMs: config.usage.accessLogTimeoutMs,
      trusted: options.trustAccessLog ?? false,
      onEntry: (result) => metrics.accessLogEntry(result),
    },
  );
  const logExchange = createExchangeLog(log);
  const handle = createRequestHandler(
    {
      clock,
      random,
      accessLog,
      snapshot: () => store.snapshot,
      schedule: scheduler,
      matchPath: createPathMatcher(config.routes.allow),
      answerLocally: createLocalAnswers({
        snapshot: () => store.snapshot,
        version,
        startedAtSeconds: Math.floor(clock.epochMs() / 1000),
      }),
      onExchange: (record) => {
        countExchange(metrics, record, store.snapshot);
        if (config.log.access) logExchange(record);
      },
      onFailure: (record, error) =>
        log.error({ err: error, exchange: record.id }, 'Cannot handle an exchange'),
    },
    {
      maxBodyBytes: config.limits.maxBodyBytes,
      maxBodyDepth: config.limits.maxBodyDepth,
      maxAttempts: maxAttempts(config),
      mode: config.usage.source,
      sampleRate: config.usage.sampleRate,
    },
  );
  const endpointDiscovery = createEndpointDiscovery({
    snapshot: () => store.snapshot,
    subscribe: (listener) => store.subscribe(listener),
    log,
  });

  let draining = false;
  const checks: readonly ReadinessCheck[] = [
    () => (draining ? 'shutting down' : undefined),
    someEndpointReady(() => store.snapshot.readyByModel),
  ];
  const admin = createAdminServer({
    ...config.admin,
    routes: [
      ...createHealthRoutes({
        checks,
        summary: () => ({ version, endpoints: store.snapshot.endpoints.length }),
      }),
      createMetricsRoute(metrics),
      ...createDebugRoutes({
        clock,
        snapshot: () => store.snapshot,
        problems: (endpoint) => ({ ...scraper.status(endpoint) }),
        decisions: () =>
          decisionLog.list().map(({ requestId, ...decision }) => ({ id: requestId, ...decision })),
        config: () => config,
      }),
    ],
    onError: (error, page) => log.error({ err: error, page }, 'Cannot answer an admin page'),
  });

  let adminUrl: string;
  let server: ExtProcServer;
  try {
    adminUrl = await admin.start();
    server = await startExtProcServer(
      {
        handle: (exchange) => {
          metrics.exchangeStarted();
          return handle(exchange).catch((error: unknown) =>
            log.error({ err: error, exchange: exchange.id }, 'Cannot settle an exchange'),
          );
        },
        accessLog,
        services: [endpointDiscovery],
        onStreams: (change) => (change === 1 ? metrics.streamOpened() : metrics.streamClosed()),
      },
      { listen: options.grpcListen, maxMessageBytes: config.limits.maxBodyBytes + messageOverheadBytes },
    );
  } catch (error) {
    await admin.stop();
    metrics.stop();
    throw error;
  }
  const updateServing = (): void => server.setServing(checks.every((check) => check() === undefined));
  const stopServing = store.subscribe(updateServing);
  scraper.start();
  discovery.start();
  log.info(
    { grpc: options.grpcListen, admin: adminUrl },
    `Serving Envoy at ${options.grpcListen}, admin pages at ${adminUrl}`,
  );
  log.info('No authentication is configured: every request is accepted');

  return {
    grpcPort: server.port,
    adminUrl,
    async ready(signal) {
      if (store.snapshot.readyByModel.size > 0 || signal.aborted) return;
      await new Promise<void>((resolve) => {
        const unsubscribe = store.subscribe((snapshot) => {
          if (snapshot.readyByModel.size > 0) done();
        });
        function done(): void {
          unsubscribe();
          signal.removeEventListener('abort', done);
          resolve();
        }
        signal.addEventListener('abort', done);
      });
    },
    async drain() {
      draining = true;
      updateServing();
      log.info({ exchanges: server.active }, `Draining: ${exchanges(server.active)} running`);
      if (await server.drain(config.limits.drainTimeoutMs)) return;
      log.warn({ exchanges: server.active }, `Cutting ${exchanges(server.active)} that did not end in time`);
    },
    async stop() {
      discovery.stop();
      scraper.stop();
      stopServing();
      stopWatching();
      endpointDiscovery.close();
      accessLog.stop();
      await server.stop();
      await admin.stop();
      metrics.stop();
    },
  };
}

export interface RouterOptions extends Omit<AppOptions, 'grpcListen' | 'trustAccessLog'> {
  /** Where clients connect, `host:port`. */
  readonly listen: string;
  /** Default: the first that is found; see findEnvoy. */
  readonly envoyBin?: string | undefined;
}

/** Starts Sluice and an Envoy of its own in front of it. */
export async function startRouter(options: RouterOptions): Promise<App> {
  const { config } = options;
  const log = options.log ?? createLogger(config.log);
  const listen = parseSocketAddress(options.listen);
  const envoy = await findEnvoy({ envoyBin: options.envoyBin });
  // A folder that only we can enter: whoever reaches the socket could probe the scheduler.
  const folder = await mkdtemp(path.join(tmpdir(), 'sluice-'));
  const removeFolder = (): Promise<void> => rm(folder, { recursive: true, force: true });
  const grpcListen = `unix:${path.join(folder, 'grpc.sock')}`;
  let app: App;
  try {
    app = await startServe({ ...options, log, grpcListen, trustAccessLog: sendsUsage(envoy) });
  } catch (error) {
    await removeFolder();
    throw error;
  }
  const supervisor = createEnvoySupervisor(
    { log, clock, random: Math.random },
    {
      bin: envoy.path,
      listen,
      bootstrap: (admin) =>
        envoyBootstrap({
          ...managedBootstrap(config, options.listen, grpcListen),
          version: envoy.version,
          admin,
        }),
      admin:
        config.envoy.adminPort === 0
          ? undefined
          : { kind: 'tcp', host: '127.0.0.1', port: config.envoy.adminPort },
      concurrency: config.envoy.concurrency === 0 ? undefined : config.envoy.concurrency,
    },
  );
  try {
    await supervisor.start();
  } catch (error) {
    await app.stop();
    await removeFolder();
    throw error;
  }
  log.info(
    { listen: options.listen },
    `Envoy ${formatEnvoyVersion(envoy.version)} listens on ${options.listen}`,
  );

  return {
    ...app,
    async drain() {
      const deadline = AbortSignal.timeout(config.limits.drainTimeoutMs);
      await Promise.all([supervisor.drain(deadline), app.drain()]);
    },
    async stop() {
      await supervisor.stop(envoyStopMs);
      await app.stop();
      await removeFolder();
    },
  };
}

/** Envoy has nothing left to do when it is told to stop; it gets this long to agree. */
const envoyStopMs = 5000;
/** Room for the fields around a body in a message, and for the head. */
const messageOverheadBytes = 1024 * 1024;

/** Envoy's options as the configuration says them. */
export function managedBootstrap(config: Config, listen: string, extProc: string): BootstrapOptions {
  const { envoy } = config;
  return {
    listen: parseSocketAddress(listen),
    extProc: parseSocketAddress(extProc),
    maxBodyBytes: config.limits.maxBodyBytes,
    accessLog: 'off',
    messageTimeoutMs: envoy.messageTimeoutMs,
    maxMessageTimeoutMs: envoy.maxMessageTimeoutMs,
    retries: envoy.retries,
    perTryIdleTimeoutMs: envoy.perTryIdleTimeoutMs,
    idleTimeoutMs: envoy.idleTimeoutMs,
    requestTimeoutMs: envoy.requestTimeoutMs,
    connectTimeoutMs: envoy.connectTimeoutMs,
    engineTls: engineTls(envoy.upstreamTls),
  };
}

/** The engines that the configuration lists. */
export function configuredBackends(config: Config): readonly StaticBackend[] {
  return config.discovery.static.backends.flatMap(({ url, models }) =>
    parseBackends(url, undefined).map((backend) => ({ ...backend, models })),
  );
}

function exchanges(count: number): string {
  return `${count} ${count === 1 ? 'exchange' : 'exchanges'}`;
}

/** One destination means one attempt: some gateways take no list. */
function maxAttempts({ scheduler: { maxEndpoints }, envoy: { retries } }: Config): number {
  return maxEndpoints === 1 ? 1 : Math.max(maxEndpoints, retries + 1);
}

function sendsUsage({ version }: EnvoyBinary): boolean {
  return atLeast(version, 1, 38);
}

async function engineTrust({ envoy: { upstreamTls } }: Config): Promise<{ ca?: string; insecure?: boolean }> {
  if (upstreamTls.insecureSkipVerify) return { insecure: true };
  return upstreamTls.caFile === undefined ? {} : { ca: await readFile(upstreamTls.caFile, 'utf8') };
}

function logMembership(
  log: Logger,
  count: number,
  {
    added,
    removed,
    lost,
  }: { added: readonly { id: string }[]; removed: readonly { id: string }[]; lost: readonly Endpoint[] },
): void {
  for (const { id } of added) log.info({ endpoint: id }, `Endpoint ${id} added, ${count} in all`);
  for (const { id } of removed) log.info({ endpoint: id }, `Endpoint ${id} removed, ${count} left`);
  for (const { id, health } of lost) {
    if (health.kind === 'unhealthy')
      log.warn({ endpoint: id, reason: health.reason }, `Endpoint ${id} is unhealthy: ${health.reason}`);
  }
}
