/** The composition root: every concrete part, in the order in which it starts. Nothing else knows them all. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { createAccounting, type StoreStatus } from './accounting.ts';
import {
  announceConfiguration,
  announceInferenceCheck,
  announceKeys,
  announceMembership,
  announceName,
  announceReload,
  announceSource,
  announceStore,
} from './announce.ts';
import { createDebugRoutes } from './admin/debug.ts';
import { createFairnessDebugRoutes } from './admin/debug-fairness.ts';
import { createHealthRoutes, someEndpointReady, type ReadinessCheck } from './admin/health.ts';
import { createAdminServer } from './admin/http.ts';
import { createMetricsRoute } from './admin/metrics-page.ts';
import { createAuthenticator, type AuthDeps, type Authenticator } from './auth/authenticate.ts';
import { dynamicConfig } from './config/dialects/dynamic-config.ts';
import { effectiveConfig } from './config/explain/effective-config.ts';
import { withoutSecrets } from './config/explain/secrets.ts';
import { configForm } from './config/json-schema.ts';
import { createLiveConfig, type ConfigStatus } from './config/live-config.ts';
import type { LoadedConfig } from './config/load.ts';
import type { Config } from './config/schema.ts';
import { watchSource } from './config/watch-source.ts';
import { createDiscover } from './discover.ts';
import type { SourceStatus } from './discovery/kubernetes.ts';
import { createInferenceChecks } from './endpoints/inference-check.ts';
import { sendInference } from './endpoints/send-inference.ts';
import { createEndpointStore } from './endpoints/endpoint-store.ts';
import { createScraper } from './endpoints/scraper.ts';
import { createEndpointDiscovery } from './envoy/eds.ts';
import { createAccessLog } from './extproc/access-log.ts';
import { createGrpcCertificate, type CertificateSource } from './extproc/grpc-certificate.ts';
import { startExtProcServer, type ExtProcServer } from './extproc/server.ts';
import { systemClock as clock } from './lib/clock.ts';
import { countExchange, createExchangeLog } from './observability/exchange-report.ts';
import { createLogger, type Logger } from './observability/log.ts';
import { engineTrust, inferenceCheckOptions, requestSettings, scraperOptions } from './part-options.ts';
import { createIdLabel, createSubjectLabel } from './observability/subject-label.ts';
import { createTraffic } from './observability/traffic.ts';
import { createMetrics } from './observability/metrics.ts';
import { createAliasWatch } from './request/alias-watch.ts';
import { createRequestHandler } from './request/handle-request.ts';
import { createLocalAnswers } from './request/local-answers.ts';
import { createDecisionLog } from './scheduling/decision-log.ts';
import { createProfile } from './scheduling/profile.ts';
import { createScheduler } from './scheduling/scheduler.ts';
import { packageVersion } from './version.ts';

export interface AppOptions {
  readonly loaded: LoadedConfig;
  /** Reads the configuration again. Absent: it stays as it is. */
  readonly reload?: (() => LoadedConfig) | undefined;
  /** The file or folder whose changes cause that. */
  readonly source?: string | undefined;
  /** Another source of changes; the result ends it. */
  readonly watch?: ((onChange: () => void) => () => void) | undefined;
  /** Where Envoy reaches us: `host:port` or `unix:/path`. */
  readonly grpcListen: string;
  /** Whose certificate Envoy is served over TLS with. Absent: in plain text. */
  readonly grpcTls?: CertificateSource | undefined;
  /** Default: created from the configuration. */
  readonly log?: Logger;
  /** Whether `/health` shows the file's content, as vllm-router does with its dynamic configuration. */
  readonly reflectsConfig?: boolean;
  /** The Envoy in front is ours and sends us its access log. */
  readonly trustAccessLog?: boolean;
}

/** A running Sluice. */
export interface App {
  /** Port of the gRPC server; undefined on a Unix socket. */
  readonly grpcPort: number | undefined;
  readonly adminUrl: string;
  /** What is in effect. */
  config(): Config;
  /** Takes the configuration from its source again; never rejects, a refusal is logged and visible in `/health`. */
  reload(): Promise<void>;
  /** Resolves when some engine is ready. */
  ready(signal: AbortSignal): Promise<void>;
  /** Not ready from now on; waits for running exchanges up to the drain timeout. */
  drain(): Promise<void>;
  /** Ends everything, in reverse. */
  stop(): Promise<void>;
}

/** Starts Sluice beside an Envoy that somebody else runs. */
export async function startServe(options: AppOptions): Promise<App> {
  const { loaded } = options;
  const { config } = loaded;
  const random = Math.random;
  const version = await packageVersion();
  const log = options.log ?? createLogger(config.log);
  const trust = await engineTrust(config);
  const grpcCertificate =
    options.grpcTls === undefined
      ? undefined
      : await createGrpcCertificate(
          {
            clock,
            log,
            watch: (file, onChange) => watchSource(file, { clock, onChange }),
            hostName: hostname(),
          },
          options.grpcTls,
        );

  // Pods come and go; a list is edited by somebody who means it.
  const modelMemoryMs = config.discovery.type === 'kubernetes' ? podModelMemoryMs : 0;
  const store = createEndpointStore({ clock }, { modelMemoryMs });
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
    scraperOptions(config, trust),
  );
  const inferenceChecks = createInferenceChecks(
    {
      store,
      clock,
      random,
      send: sendInference,
      onChange: (endpoint, model, problem) => announceInferenceCheck(log, endpoint, model, problem),
      onBug: (error, endpoint) =>
        log.error({ err: error, endpoint: endpoint.id }, 'Cannot check an endpoint by inference'),
    },
    inferenceCheckOptions(config, trust),
  );
  const authDeps = (): AuthDeps => ({
    clock,
    random,
    onOutcome: (outcome) => metrics.authenticated(outcome),
    onKeys(event, issuer) {
      metrics.keysFetched(issuer, event.kind);
      announceKeys(log, event, issuer);
      updateServing();
    },
  });
  const discovery = await createDiscover(
    {
      clock,
      random,
      userAgent: `sluice/${version}`,
      onTargets: (targets) => store.setTargets(targets),
      onNameChange: (status) => announceName(log, status),
      onSourceChange: (status) => announceSource(log, status),
    },
    config,
  );

  metrics.watchKubernetes(() => discovery.sources());
  const traffic = createTraffic({ clock, log, snapshot: () => store.snapshot }, config.stats);
  metrics.append(() => traffic.page());
  const decisionLog = createDecisionLog();
  const scheduler = createScheduler({
    profile: createProfile(config.scheduler.profile, { clock, random }),
    clock,
    decisionLog,
    maxEndpoints: config.scheduler.maxEndpoints,
  });
  metrics.watchPluginMemory(() => scheduler.memory());
  const accounting = createAccounting(
    {
      clock,
      random,
      snapshot: () => store.snapshot,
      metrics,
      onStore: (address, change) => announceStore(log, address, change),
      onBug: (error) => log.error({ err: error }, 'Cannot share the ledger'),
    },
    config,
  );
  let authenticator = createAuthenticator(authDeps(), config.auth);
  let settings = requestSettings(config, authenticator);
  const watchAliases = createAliasWatch((alias, target) =>
    log.warn(
      { alias, target },
      `The alias "${alias}" of "${target}" does nothing: an engine serves a model of that name`,
    ),
  );
  const stopWatching = store.subscribe((snapshot, change) => {
    for (const endpoint of change.lost) scheduler.endpointLost(endpoint);
    accounting.queues.onEndpoints(snapshot, change.lost);
    announceMembership(log, snapshot.endpoints.length, change);
    watchAliases(settings.models, snapshot);
  });

  const stopMetering = store.onMetrics((endpoint) => accounting.queues.onMetrics(endpoint));

  const accessLog = createAccessLog(
    { clock },
    {
      timeoutMs: config.usage.accessLogTimeoutMs,
      trusted: options.trustAccessLog ?? false,
      onEntry: (result) => metrics.accessLogEntry(result),
    },
  );
  /** Clients are told of the configuration only where it is vllm-router's, which always did so. */
  const reflected = (): Readonly<Record<string, unknown>> =>
    options.reflectsConfig === true ? { dynamic_config: dynamicConfig(live.status().root) } : {};
  const logSecret = randomBytes(32);
  let nameOf = createSubjectLabel(config.log, logSecret);
  let nameOfId = createIdLabel(config.log, logSecret);
  const logExchange = createExchangeLog(log, (principal) => nameOf(principal));
  const handle = createRequestHandler(
    {
      clock,
      random,
      accessLog,
      snapshot: () => store.snapshot,
      admit: accounting,
      schedule: scheduler,
      answerLocally: createLocalAnswers({
        snapshot: () => store.snapshot,
        version,
        startedAtSeconds: Math.floor(clock.epochMs() / 1000),
        health: () => ({ healthy: true, body: { status: 'healthy', ...reflected() } }),
        metrics: async () => ({ contentType: metrics.contentType, body: await metrics.render() }),
      }),
      onRouted: (record, endpoint, { sessionKey }) => traffic.routed(record, endpoint, sessionKey),
      onResponse: (record) => traffic.responded(record),
      onExchange: (record) => {
        countExchange(metrics, record, store.snapshot);
        traffic.ended(record);
        if (live.current.config.log.access) logExchange(record);
      },
      onFailure: (record, error) =>
        log.error({ err: error, exchange: record.id }, 'Cannot handle an exchange'),
    },
    () => settings,
  );
  const endpointDiscovery = createEndpointDiscovery({
    snapshot: () => store.snapshot,
    subscribe: (listener) => store.subscribe(listener),
    log,
  });

  const live = createLiveConfig({
    initial: loaded,
    load: options.reload ?? (() => loaded),
    async prepare(next) {
      const nextTrust = await engineTrust(next);
      const nextChecks = inferenceCheckOptions(next, nextTrust);
      const followNext = discovery.prepare(next);
      const nextAuthenticator = isSameAuth(next, live.current.config)
        ? authenticator
        : await startedAuthenticator(authDeps(), next);
      return () => {
        scheduler.update({
          profile: createProfile(next.scheduler.profile, { clock, random }, scheduler.profile),
          maxEndpoints: next.scheduler.maxEndpoints,
        });
        if (nextAuthenticator !== authenticator) authenticator.stop();
        authenticator = nextAuthenticator;
        settings = requestSettings(next, authenticator);
        accounting.update(next);
        nameOf = createSubjectLabel(next.log, logSecret);
        nameOfId = createIdLabel(next.log, logSecret);
        updateServing();
        watchAliases(settings.models, store.snapshot);
        scraper.update(scraperOptions(next, nextTrust));
        // Before discovery: what is new is held back at once.
        inferenceChecks.update(nextChecks);
        traffic.update(next.stats);
        followNext();
        log.level = next.log.level;
      };
    },
    clock,
    onReload(result) {
      metrics.configReloaded(result.kind);
      announceReload(log, result);
    },
  });
  metrics.configReloaded('applied');

  const form = configForm();
  let draining = false;
  const updateServing = (): void => server?.setServing(checks.every((check) => check() === undefined));
  const checks: readonly ReadinessCheck[] = [
    () => (draining ? 'shutting down' : undefined),
    () => (authenticator.ready() ? undefined : missingKeys(authenticator)),
    someEndpointReady(() => store.snapshot.readyByModel),
  ];
  const admin = createAdminServer({
    ...config.admin,
    routes: [
      ...createHealthRoutes({
        checks,
        degraded: () => degradedParts(discovery.sources(), accounting.store()),
        summary: () => ({
          version,
          endpoints: store.snapshot.endpoints.length,
          auth: authenticator.status(),
          limits: accounting.store(),
          kubernetes: kubernetesSummary(discovery.sources()),
          config: describeConfigStatus(live.status()),
          ...reflected(),
        }),
      }),
      createMetricsRoute(metrics),
      ...createDebugRoutes({
        clock,
        snapshot: () => store.snapshot,
        problems: (endpoint) => ({ ...scraper.status(endpoint), ...inferenceChecks.status(endpoint) }),
        decisions: () =>
          decisionLog.list().map(({ requestId, ...decision }) => ({ id: requestId, ...decision })),
        config: () => ({
          ...describeConfigStatus(live.status()),
          effective: withoutSecrets(effectiveConfig(form, live.current)),
        }),
      }),
      ...createFairnessDebugRoutes({
        queues: (maxFlows) => accounting.queues.list(maxFlows),
        ledger: accounting.ledger,
        limits: accounting.limits,
        nameOf: (id) => nameOfId(id),
      }),
    ],
    onError: (error, page) => log.error({ err: error, page }, 'Cannot answer an admin page'),
  });

  let adminUrl: string;
  let server: ExtProcServer | undefined;
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
      {
        listen: options.grpcListen,
        maxMessageBytes: config.limits.maxBodyBytes + messageOverheadBytes,
        certificate: grpcCertificate?.current,
      },
    );
  } catch (error) {
    await admin.stop();
    metrics.stop();
    throw error;
  }
  const stopServing = store.subscribe(updateServing);
  scraper.start();
  inferenceChecks.start();
  discovery.start();
  traffic.start();
  accounting.start();
  // Nobody waits for keys: until they are there, Sluice is not ready and says 503.
  void authenticator.start();
  const reloadLater = (): void => void live.reload();
  const watch =
    options.source === undefined ? undefined : watchSource(options.source, { clock, onChange: reloadLater });
  const stopWatch = options.watch?.(reloadLater);
  grpcCertificate?.start((certificate) => server.setCertificate(certificate));
  log.info(
    { grpc: options.grpcListen, admin: adminUrl },
    `Serving Envoy at ${options.grpcListen}, admin pages at ${adminUrl}`,
  );
  announceConfiguration(log, loaded);

  return {
    grpcPort: server.port,
    adminUrl,
    config: () => live.current.config,
    reload: () => live.reload(),
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
      if (await server.drain(live.current.config.limits.drainTimeoutMs)) return;
      log.warn({ exchanges: server.active }, `Cutting ${exchanges(server.active)} that did not end in time`);
    },
    async stop() {
      watch?.stop();
      stopWatch?.();
      grpcCertificate?.stop();
      live.stop();
      traffic.stop();
      authenticator.stop();
      await discovery.stop();
      inferenceChecks.stop();
      scraper.stop();
      stopServing();
      stopWatching();
      stopMetering();
      endpointDiscovery.close();
      accessLog.stop();
      await accounting.stop();
      // Whoever waited has been told so; the answers are on their way.
      await new Promise((resolve) => setImmediate(resolve));
      await server.stop();
      await admin.stop();
      metrics.stop();
    },
  };
}

/** How long a model is known of which all pods went away. */
const podModelMemoryMs = 600_000;

/** Dependencies that are away while Sluice goes on without them. */
function degradedParts(sources: readonly SourceStatus[], store: StoreStatus | undefined): readonly string[] {
  const problems = sources.map(({ problem }) => problem);
  if (store?.up === false)
    problems.push(`Redis at ${store.address} is away: limits and ledger go on without other replicas`);
  return problems.filter((problem) => problem !== undefined);
}

/** Undefined where nothing is followed. A problem here is no reason not to be ready: the last known endpoints are there. */
function kubernetesSummary(sources: readonly SourceStatus[]): object | undefined {
  if (sources.length === 0) return undefined;
  return sources.map(({ source, endpoints, listed, problem, leftOut }) => ({
    source,
    endpoints,
    listed,
    problem,
    leftOut,
  }));
}

/** Room for the fields around a body in a message, and for the head. */
const messageOverheadBytes = 1024 * 1024;

/** Models by group are no business of the authenticator's. */
function isSameAuth(next: Config, now: Config): boolean {
  const { models } = now.auth;
  return isDeepStrictEqual({ ...next.auth, models }, now.auth);
}

/** An authenticator that can take over: whoever has no keys yet would refuse everybody. */
async function startedAuthenticator(deps: AuthDeps, { auth }: Config): Promise<Authenticator> {
  const authenticator = createAuthenticator(deps, auth);
  await authenticator.start();
  const missing = missingKeys(authenticator);
  if (missing === undefined) return authenticator;
  authenticator.stop();
  throw new Error(`Cannot take over the auth section: ${missing}`);
}

/** The first issuer whose keys were never fetched, and why. */
function missingKeys(authenticator: Authenticator): string | undefined {
  const provider = authenticator.status().providers.find(({ everFetched }) => !everFetched);
  if (provider === undefined) return undefined;
  const why = provider.lastError === undefined ? '' : `: ${provider.lastError}`;
  return `the keys of "${provider.issuer}" were never fetched${why}`;
}

/** For pages: what is in effect, and what is not. */
function describeConfigStatus(status: ConfigStatus): object {
  const { file, form, loadedAtMs, refused, waiting, warnings, notes } = status;
  return {
    file,
    form,
    loadedAt: new Date(loadedAtMs).toISOString(),
    lastReloadSuccessful: refused.length === 0,
    refused,
    waiting,
    warnings,
    notes,
  };
}

function exchanges(count: number): string {
  return `${count} ${count === 1 ? 'exchange' : 'exchanges'}`;
}
