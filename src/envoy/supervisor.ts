/** Keeps one Envoy running beside Sluice: starts it, restarts it when it dies, drains and stops it. */
import { rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createBackoff } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import type { SocketAddress } from './address.ts';
import { createEnvoyAdmin, type EnvoyAdmin } from './admin-client.ts';
import { startEnvoyProcess, type EnvoyProcess } from './envoy-process.ts';
import type { EnvoyLog } from './log.ts';

export interface EnvoySupervisorDeps {
  readonly log: EnvoyLog;
  readonly clock: Clock;
  readonly random: () => number;
  /** Gets each line of Envoy's access log. Default: logged at info. */
  readonly onAccessLogLine?: (line: string) => void;
}

export interface EnvoySupervisorOptions {
  readonly bin: string;
  /** Builds the configuration around the admin address that it is given. */
  readonly bootstrap: (admin: SocketAddress) => object;
  /** The listener's address: checked before Envoy starts, because two Envoys can share a port without noticing. */
  readonly listen: SocketAddress;
  /** Default: a Unix socket that only this user can open. */
  readonly admin?: SocketAddress | undefined;
  /** Envoy's worker threads. Default: one per hardware thread. */
  readonly concurrency?: number | undefined;
  /** The least severe log entries Envoy writes. Default `warning`. */
  readonly logLevel?: string;
}

export interface EnvoySupervisor {
  /** The process running now. */
  readonly pid: number | undefined;
  /** Whether Envoy serves requests now. */
  readonly ready: boolean;
  /** How often Envoy died and was started again. */
  readonly restarts: number;
  /**
   * Starts Envoy; resolves when it serves. From then on it is restarted whenever it dies.
   * @throws Error with Envoy's own reason when it dies three times before it was ready.
   */
  start(): Promise<void>;
  /** Lets go of clients: no new connections, and waits until no request is running or the signal aborts. */
  drain(signal: AbortSignal): Promise<void>;
  /** SIGTERM, SIGKILL after the deadline. Resolves when nothing is left: no process, no file. */
  stop(deadlineMs: number): Promise<void>;
}

const pollMs = 25;
const startAttempts = 3;
const startTimeoutMs = 30_000;
/** An Envoy that served this long starts afresh when it dies. */
const stableMs = 10_000;

/** Creates a supervisor for one Envoy; nothing runs before `start`. It cannot be started again after `stop`. */
export function createEnvoySupervisor(
  deps: EnvoySupervisorDeps,
  options: EnvoySupervisorOptions,
): EnvoySupervisor {
  const { log, clock, random } = deps;
  const onAccessLogLine =
    deps.onAccessLogLine ?? ((line: string) => log.info({ component: 'envoy.access' }, line));
  const backoff = createBackoff({ firstMs: 250, maxMs: 10_000, random });
  const stopping = new AbortController();
  let folder: string | undefined;
  let admin: EnvoyAdmin | undefined;
  let process_: EnvoyProcess | undefined;
  let supervision: Promise<void> = Promise.resolve();
  let ready = false;
  let restarts = 0;

  // Even an uncaught exception leaves nothing behind.
  const onExit = (): void => {
    process_?.kill();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  };

  async function configure(): Promise<string> {
    process.once('exit', onExit);
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-envoy-'));
    const adminAddress = options.admin ?? { kind: 'unix', path: path.join(folder, 'admin.sock') };
    admin = createEnvoyAdmin(adminAddress);
    const configFile = path.join(folder, 'envoy.json');
    await writeFile(configFile, JSON.stringify(options.bootstrap(adminAddress), null, 2), { mode: 0o600 });
    return configFile;
  }

  /** One run until it serves; undefined when it does, otherwise why not. */
  async function launch(configFile: string): Promise<string | undefined> {
    const taken = await whyTaken(options.listen);
    if (taken !== undefined) return taken;
    // No await between this and the assignment below: stop() either comes before the spawn or finds its process.
    if (aborted(stopping.signal)) return 'it was stopped';
    const running = startEnvoyProcess(
      { log, clock, onAccessLogLine },
      {
        bin: options.bin,
        configFile,
        concurrency: options.concurrency,
        logLevel: options.logLevel ?? 'warning',
      },
    );
    process_ = running;
    let reason: string | undefined;
    void running.ended.then((text) => {
      reason = text;
      ready = false;
    });
    const deadlineMs = clock.nowMs() + startTimeoutMs;
    while (reason === undefined && !aborted(stopping.signal)) {
      if (await admin!.isReady().catch(() => false)) {
        ready = true;
        return undefined;
      }
      if (clock.nowMs() > deadlineMs) {
        await running.stop(0);
        return `Envoy was not ready after ${startTimeoutMs / 1000} s`;
      }
      await pause(clock, pollMs, stopping.signal);
    }
    return reason ?? 'it was stopped';
  }

  async function supervise(configFile: string): Promise<void> {
    while (!aborted(stopping.signal)) {
      const stable = clock.after(stableMs, () => backoff.reset());
      const reason = await process_!.ended;
      stable.cancel();
      for (let why: string | undefined = reason; why !== undefined && !aborted(stopping.signal);) {
        const pauseMs = backoff.nextMs();
        restarts += 1;
        log.error({ reason: why, restarts }, `Envoy died; starting it again in ${Math.round(pauseMs)} ms`);
        await pause(clock, pauseMs, stopping.signal);
        if (!aborted(stopping.signal)) why = await launch(configFile);
      }
      if (!aborted(stopping.signal)) log.info({ pid: process_?.pid }, 'Envoy is ready again');
    }
  }

  async function stop(deadlineMs: number): Promise<void> {
    stopping.abort();
    await process_?.stop(deadlineMs);
    await supervision;
    ready = false;
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    process.removeListener('exit', onExit);
  }

  return {
    get pid() {
      return ready ? process_?.pid : undefined;
    },
    get ready() {
      return ready;
    },
    get restarts() {
      return restarts;
    },
    async start() {
      try {
        const configFile = await configure();
        let why = await launch(configFile);
        for (let attempt = 1; why !== undefined && attempt < startAttempts; attempt++) {
          await pause(clock, backoff.nextMs(), stopping.signal);
          why = await launch(configFile);
        }
        if (why !== undefined) throw new Error(`Cannot start Envoy: ${why}`);
        log.info({ pid: process_?.pid }, 'Envoy is ready');
        supervision = supervise(configFile);
      } catch (error) {
        await stop(0);
        throw error;
      }
    },
    async drain(signal) {
      if (!ready || admin === undefined) return;
      try {
        await admin.drain();
        while (!aborted(signal) && (await admin.activeRequests()) > 0) await pause(clock, pollMs, signal);
      } catch (error) {
        log.warn({ error: String(error) }, 'Cannot drain Envoy: its admin address does not answer');
      }
    },
    stop,
  };
}

/** Read through a function: the compiler takes a flag that others set for constant. */
function aborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.after(delayMs, done);
    signal.addEventListener('abort', done);
  });
}

/** Why nobody else may listen there, or undefined when it is free. */
function whyTaken(address: SocketAddress): Promise<string | undefined> {
  if (address.kind === 'unix') return Promise.resolve(undefined);
  const { host, port } = address;
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      const reason = listenErrors[error.code ?? ''] ?? error.message;
      resolve(`Cannot listen on ${host.includes(':') ? `[${host}]` : host}:${port}: ${reason}`);
    });
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(undefined)));
  });
}

const listenErrors: Readonly<Record<string, string>> = {
  EADDRINUSE: 'address already in use',
  EADDRNOTAVAIL: 'this machine does not have the address',
  EACCES: 'not permitted',
};
