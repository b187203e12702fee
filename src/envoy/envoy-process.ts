/** One run of Envoy: started, read line by line, ended. */
import { spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Clock } from '../lib/clock.ts';
import { logFormatArguments, parseEnvoyLine, tellingLine, type EnvoyLine } from './envoy-output.ts';
import type { EnvoyLog } from './log.ts';
import { guardAgainstOrphan } from './orphan-guard.ts';

export interface EnvoyProcessOptions {
  readonly bin: string;
  /** In a folder of its own, which goes when this process does. */
  readonly configFile: string;
  /** Worker threads; default: one per hardware thread. */
  readonly concurrency?: number | undefined;
  /** The least severe entries Envoy writes at all. */
  readonly logLevel: string;
}

export interface EnvoyProcessDeps {
  readonly log: EnvoyLog;
  readonly clock: Clock;
  /** Gets each line of Envoy's standard output: the access log. */
  readonly onAccessLogLine: (line: string) => void;
}

export interface EnvoyProcess {
  readonly pid: number | undefined;
  /** Resolves when the process is gone, with what it had to say about it. */
  readonly ended: Promise<string>;
  /** SIGTERM now, SIGKILL after the deadline; resolves when the process is gone. */
  stop(deadlineMs: number): Promise<void>;
  /** SIGKILL, for exit handlers. */
  kill(): void;
}

/** How many lines are kept for the case that it dies. */
const linesKept = 50;

/** Starts Envoy. Whether that worked is told by `ended`. */
export function startEnvoyProcess(
  { log, clock, onAccessLogLine }: EnvoyProcessDeps,
  { bin, configFile, concurrency, logLevel }: EnvoyProcessOptions,
): EnvoyProcess {
  const lines: EnvoyLine[] = [];
  const child = spawn(
    bin,
    [
      ...['--config-path', configFile, '--log-level', logLevel, ...logFormatArguments],
      // Lines of the access log are for people who watch.
      ...['--file-flush-interval-msec', '200'],
      // No shared memory with other Envoys on this machine: there is nothing to hand over.
      '--disable-hot-restart',
      ...(concurrency === undefined ? [] : ['--concurrency', String(concurrency)]),
    ],
    // A process group of its own: Ctrl-C at the terminal must reach Envoy through us, after draining.
    { stdio: ['ignore', 'pipe', 'pipe'], detached: true },
  );
  const release =
    child.pid === undefined ? undefined : guardAgainstOrphan(child.pid, path.dirname(configFile));
  createInterface({ input: child.stdout }).on('line', onAccessLogLine);
  createInterface({ input: child.stderr }).on('line', (text) => {
    const line = parseEnvoyLine(text);
    if (lines.push(line) > linesKept) lines.shift();
    log[line.level]({ component: `envoy.${line.component}` }, line.message);
  });

  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`Cannot start Envoy "${bin}": ${error.message}`));
    child.once('exit', () => release?.());
    // `close`, not `exit`: the last lines are often the telling ones.
    child.once('close', (code, signal) =>
      resolve(tellingLine(lines) ?? `Envoy ended with ${signal ?? `exit code ${String(code)}`}`),
    );
  });
  return {
    pid: child.pid,
    ended,
    async stop(deadlineMs) {
      signalChild(child, 'SIGTERM');
      const deadline = clock.after(deadlineMs, () => signalChild(child, 'SIGKILL'));
      await ended;
      deadline.cancel();
    },
    kill: () => signalChild(child, 'SIGKILL'),
  };
}

function signalChild(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (child.exitCode === null && child.signalCode === null) child.kill(signal);
}
