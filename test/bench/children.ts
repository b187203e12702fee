/** Child processes: pinned where that is possible, measured from /proc, and never left behind. */
import { spawn, spawnSync, type ChildProcess, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { openSync, closeSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

export interface StartOptions {
  /** For messages, and for the file that takes its standard error. */
  readonly name: string;
  /** The core it may use; ignored where `taskset` is missing. */
  readonly core?: number | undefined;
  /** `pipe` to read its output; by default it goes to /dev/null. */
  readonly stdout?: 'pipe';
  /** Opens an IPC channel. */
  readonly ipc?: boolean;
}

export interface Child {
  readonly pid: number;
  readonly process: ChildProcess;
  /** CPU time of all its threads so far, in microseconds; the kernel counts in steps of 10 ms. */
  cpuMicroseconds(): number;
  /** The same of the processes that it started and that run now. */
  childrenCpuMicroseconds(): number;
  residentMegabytes(): number;
  /** Rejects when the process ends by itself. */
  readonly failed: Promise<never>;
  /** SIGTERM, and SIGKILL ten seconds later. */
  stop(): Promise<void>;
}

export interface Children {
  start(command: string, args: readonly string[], options: StartOptions): Child;
  /** CPU time of this process and of all children so far, ended ones included, in microseconds. */
  cpuMicroseconds(): number;
  /** Stops whatever is left, and waits until it is gone. */
  stopAll(): Promise<void>;
  /** Kills whatever is left, for exit handlers. */
  killAll(): void;
}

const pinningCommand = 'taskset';

/** A group of children whose standard error goes to files in `folder`. */
export function createChildren(folder: string): Children {
  const running = new Map<ChildProcess, Child>();
  const canPin = spawnSync(pinningCommand, ['--version'], { stdio: 'ignore' }).status === 0;

  return {
    start(command, args, { name, core, stdout, ipc = false }) {
      const logFile = path.join(folder, `${name}.log`);
      const stderr = openSync(logFile, 'a');
      const stdio: StdioOptions = ['ignore', stdout ?? 'ignore', stderr, ...(ipc ? (['ipc'] as const) : [])];
      const pinned = core !== undefined && canPin;
      // A process group of its own: Ctrl-C reaches it through us.
      const child = spawn(
        pinned ? pinningCommand : command,
        pinned ? ['-c', String(core), command, ...args] : [...args],
        { stdio, detached: true },
      );
      closeSync(stderr);
      let stopping = false;
      const exited = new Promise<void>((resolve) => {
        child.once('error', () => resolve());
        child.once('exit', () => resolve());
      });
      const failed = exited.then((): never => {
        running.delete(child);
        if (stopping) return undefined as never;
        const said = readFileSync(logFile, 'utf8').trim().split('\n').slice(-5).join('\n');
        throw new Error(`Cannot go on: ${name} ended by itself. It said:\n${said}`);
      });
      failed.catch(() => undefined);
      const pid = child.pid ?? -1;
      const handle: Child = {
        pid,
        process: child,
        failed,
        cpuMicroseconds: () => cpuMicroseconds(pid),
        childrenCpuMicroseconds: () => childrenCpuMicroseconds(pid),
        residentMegabytes: () => residentMegabytes(pid),
        async stop() {
          stopping = true;
          if (!running.has(child)) return;
          child.kill('SIGTERM');
          const deadline = setTimeout(() => child.kill('SIGKILL'), 10_000);
          await exited;
          clearTimeout(deadline);
        },
      };
      running.set(child, handle);
      return handle;
    },
    cpuMicroseconds() {
      let total = ownCpuMicroseconds();
      for (const child of running.values()) total += child.cpuMicroseconds();
      return total;
    },
    async stopAll() {
      await Promise.all([...running.values()].map((child) => child.stop()));
    },
    killAll() {
      for (const child of running.keys()) child.kill('SIGKILL');
    },
  };
}

/** Starts a module of this folder with a JSON argument, and waits for its first message. */
export async function startModule(
  children: Children,
  module: string,
  argument: object,
  options: StartOptions,
): Promise<{ readonly child: Child; readonly message: unknown }> {
  const child = children.start(process.execPath, [module, JSON.stringify(argument)], {
    ...options,
    ipc: true,
  });
  const message = await nextMessage(child);
  return { child, message };
}

/** The next message of a child. */
export async function nextMessage(child: Child): Promise<unknown> {
  const [message] = (await Promise.race([once(child.process, 'message'), child.failed])) as [unknown];
  return message;
}

/** CPU time of everything on the machine, in microseconds; what a hypervisor took is in it. */
export function machineCpuMicroseconds(): number {
  const [user, nice, system, , , , , steal] = readFileSync('/proc/stat', 'latin1')
    .slice('cpu'.length)
    .trim()
    .split(/\s+/, 8)
    .map(Number);
  return microseconds(user! + nice! + system! + steal!);
}

const ticksPerSecond = 100;

function microseconds(ticks: number): number {
  return (ticks * 1e6) / ticksPerSecond;
}

function cpuMicroseconds(pid: number): number {
  const [user, system] = cpuTicks(String(pid));
  return microseconds(user! + system!);
}

/** Of this process and of its children that ended. */
function ownCpuMicroseconds(): number {
  return microseconds(cpuTicks('self').reduce((sum, ticks) => sum + ticks, 0));
}

function childrenCpuMicroseconds(parent: number): number {
  return microseconds(
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(tryStatFields)
      .filter((fields) => Number(fields[parentField]) === parent)
      .reduce((sum, fields) => sum + Number(fields[userTimeField]) + Number(fields[userTimeField + 1]), 0),
  );
}

/** User and system time of a process, then of its children that ended. */
function cpuTicks(pid: string): number[] {
  return statFields(pid)
    .slice(userTimeField, userTimeField + 4)
    .map(Number);
}

/** Where they are among the fields after the name. */
const parentField = 1;
const userTimeField = 11;

/** What the kernel says of a process after its name in brackets, which may hold anything. */
function statFields(pid: string): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ', userTimeField + 4);
}

/** Empty when the process has ended meanwhile. */
function tryStatFields(pid: string): string[] {
  try {
    return statFields(pid);
  } catch {
    return [];
  }
}

function residentMegabytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return Number(match?.[1] ?? Number.NaN) / 1024;
}
