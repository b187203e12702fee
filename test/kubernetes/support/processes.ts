/** Servers that a test runs as processes of its own, and ends by their pid. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

export interface Server {
  readonly pid: number;
  /** The end of what it wrote to standard error, for messages. */
  readonly output: string;
  /** Resolves when it is gone. */
  readonly exited: Promise<void>;
  signal(name: NodeJS.Signals): void;
  /** SIGKILL; resolves when it is gone. A stopped process dies of it too. */
  kill(): Promise<void>;
}

const keptOutput = 16 * 1024;

/** Starts a program that does not outlive the process that runs the tests, however that ends. */
export function startServer(program: string, args: readonly string[]): Server {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const { pid } = child;
  if (pid === undefined) throw new Error(`Cannot run "${program}"`);
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-keptOutput);
  });
  const guardian = startGuardian(pid);
  const exited = gone(child).then(() => void guardian.kill('SIGKILL'));
  return {
    pid,
    get output() {
      return output;
    },
    exited,
    signal: (name) => void child.kill(name),
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** Kills the process once our end of its standard input is closed, which our own death does as well. */
function startGuardian(pid: number): ChildProcess {
  const script = 'trap "" INT TERM; read -r _; kill -9 "$1"';
  return spawn('sh', ['-c', script, 'sh', String(pid)], { stdio: ['pipe', 'ignore', 'ignore'] });
}

async function gone(child: ChildProcess): Promise<void> {
  await once(child, 'exit');
}
