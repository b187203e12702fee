/** Sluice with an Envoy of its own in front: what `sluice router` starts. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startServe, type App, type AppOptions } from './app.ts';
import type { Config } from './config/schema.ts';
import { longestPatienceMs } from './config/sections/envoy.ts';
import { longestWaitMs } from './config/sections/queueing.ts';
import { parseSocketAddress } from './envoy/address.ts';
import { envoyBootstrap, type BootstrapOptions } from './envoy/bootstrap.ts';
import { engineTls } from './envoy/engine-tls.ts';
import { findEnvoy, type EnvoyBinary } from './envoy/find-envoy.ts';
import { createEnvoySupervisor } from './envoy/supervisor.ts';
import { atLeast, formatEnvoyVersion } from './envoy/version.ts';
import { systemClock as clock } from './lib/clock.ts';
import { createLogger } from './observability/log.ts';

export interface RouterOptions extends Omit<AppOptions, 'grpcListen' | 'trustAccessLog'> {
  /** Where clients connect, `host:port`. */
  readonly listen: string;
  /** Default: the first that is found; see findEnvoy. */
  readonly envoyBin?: string | undefined;
}

/** Starts Sluice and an Envoy of its own in front of it. */
export async function startRouter(options: RouterOptions): Promise<App> {
  const { config } = options.loaded;
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
      const deadline = AbortSignal.timeout(app.config().limits.drainTimeoutMs);
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

/** Envoy's options as the configuration says them. */
export function managedBootstrap(config: Config, listen: string, extProc: string): BootstrapOptions {
  const { envoy } = config;
  return {
    listen: parseSocketAddress(listen),
    extProc: parseSocketAddress(extProc),
    maxBodyBytes: config.limits.maxBodyBytes,
    accessLog: 'off',
    messageTimeoutMs: envoy.messageTimeoutMs,
    // A later configuration may have requests wait longer, and Envoy is not started anew for it.
    maxMessageTimeoutMs: Math.min(
      longestPatienceMs,
      Math.max(envoy.maxMessageTimeoutMs, longestWaitMs + envoy.messageTimeoutMs),
    ),
    retries: envoy.retries,
    perTryIdleTimeoutMs: envoy.perTryIdleTimeoutMs,
    idleTimeoutMs: envoy.idleTimeoutMs,
    requestTimeoutMs: envoy.requestTimeoutMs,
    connectTimeoutMs: envoy.connectTimeoutMs,
    clientAddress: config.auth.anonymous.by === 'address',
    engineTls: engineTls(envoy.upstreamTls),
  };
}

function sendsUsage({ version }: EnvoyBinary): boolean {
  return atLeast(version, 1, 38);
}
