/** Sluice's own command line as a child process: what it prints, how it ends, and that it leaves nobody behind. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';

const root = path.resolve(import.meta.dirname, '../..');

/** So that a test that waits in vain ends by itself, and its processes with it. */
const lineTimeoutMs = 20_000;

export interface Child {
  readonly pid: number;
  /** Lines of standard output so far. */
  readonly lines: readonly string[];
  readonly stderr: string;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  /** Resolves with the first line of standard output that matches; rejects when the process ends before, or in 20 s. */
  line(pattern: RegExp): Promise<string>;
  /** Sends a signal to the process alone. */
  kill(signal: NodeJS.Signals): void;
  /** Sends SIGINT to its process group, as a terminal does at Ctrl-C. */
  interrupt(): void;
  /** For `afterEach`: SIGKILL where it still runs; resolves when it is gone. */
  end(): Promise<void>;
}

/** Runs `sluice …` from source, with the Node that runs the tests. */
export function startSluice(args: readonly string[], env: Readonly<Record<string, string>> = {}): Child {
  return startChild(process.execPath, ['src/main.ts', ...args], env);
}

/** Runs `vllm-router …` from source, in the same way. */
export function startVllmRouter(args: readonly string[], env: Readonly<Record<string, string>> = {}): Child {
  return startChild(process.execPath, ['src/vllm-router.ts', ...args], env);
}

/** Runs any program in the repository's root. */
export function startChild(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Child {
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A process group of its own, as a shell gives to each command.
    detached: true,
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`Cannot run "${program}"`);
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let stderr = '';
  let ended = false;
  const wake = (): void => {
    for (const check of [...waiting]) check();
  };
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    wake();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('close', (code, signal) => {
      ended = true;
      wake();
      resolve({ code, signal });
    });
  });
  return {
    pid,
    lines,
    get stderr() {
      return stderr;
    },
    exited,
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const giveUp = setTimeout(() => settle('did not write'), lineTimeoutMs);
        const check = (): void => {
          if (ended || lines.some((line) => pattern.test(line))) settle('ended without');
        };
        function settle(otherwise: string): void {
          clearTimeout(giveUp);
          waiting.delete(check);
          const found = lines.find((line) => pattern.test(line));
          if (found !== undefined) resolve(found);
          else
            reject(new Error(`The process ${otherwise} ${String(pattern)}:\n${lines.join('\n')}\n${stderr}`));
        }
        waiting.add(check);
        check();
      }),
    kill: (signal) => void child.kill(signal),
    interrupt: () => void process.kill(-pid, 'SIGINT'),
    async end() {
      if (!ended) process.kill(-pid, 'SIGKILL');
      await exited;
    },
  };
}

/** Whether a process runs; a dead child that nobody waited for does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Everybody whom a process started, and whom they started, now. */
export function descendants(pid: number): number[] {
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), parent: parentOf(name) }));
  const found = [pid];
  for (const ancestor of found)
    found.push(...parents.filter(({ parent }) => parent === ancestor).map((process_) => process_.pid));
  return found.slice(1);
}

function parentOf(pid: string): number | undefined {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    // It ended meanwhile.
    return undefined;
  }
}
