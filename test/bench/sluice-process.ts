/** `sluice serve` as it is shipped, in a process of its own. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../support/free-port.ts';
import type { Child } from './children.ts';
import type { Bench } from './bench.ts';

export interface SluiceOptions {
  readonly name: string;
  readonly engines: readonly string[];
  readonly usage: 'auto' | 'streamed' | 'none';
  /** What its configuration file says in `usage` besides that, in YAML: `name: value, …`. Default: nothing. */
  readonly moreUsage?: string;
  /** What its configuration file says besides `usage`, in YAML. Default: nothing. */
  readonly settings?: string;
  /** Default: a free port of 127.0.0.1. */
  readonly listen?: string;
  readonly core?: number;
}

export interface SluiceProcess {
  readonly child: Child;
  /** Where it serves gRPC. */
  readonly listen: string;
  readonly adminUrl: string;
  /** Puts another configuration file in place of the one it has, in one step: `settings` besides `usage`, in YAML. */
  configure(settings: string): void;
}

const main = path.resolve(import.meta.dirname, '../../src/main.ts');

/** The flags of Node that the command's first line has. */
export const shippedNodeFlags: readonly string[] = (
  /^#!.*\bnode\b(.*)$/m.exec(readFileSync(main, 'utf8'))?.[1] ?? ''
)
  .split(' ')
  .filter((flag) => flag !== '');

/** Starts it and waits until it finds an engine ready. Its log, a line per exchange included, goes to /dev/null. */
export async function startSluice(bench: Bench, options: SluiceOptions): Promise<SluiceProcess> {
  const listen = options.listen ?? `127.0.0.1:${await freePort()}`;
  const adminPort = await freePort();
  const adminUrl = `http://127.0.0.1:${adminPort}`;
  const config = path.join(bench.folder, `${options.name}.yaml`);
  const usage = `source: ${options.usage}${options.moreUsage === undefined ? '' : `, ${options.moreUsage}`}`;
  function configure(settings: string): void {
    writeFileSync(`${config}.new`, `usage: { ${usage} }\n${settings}`);
    renameSync(`${config}.new`, config);
  }
  configure(options.settings ?? '');
  const child = bench.children.start(
    process.execPath,
    [
      ...(bench.nodeFlags ?? shippedNodeFlags),
      main,
      'serve',
      ...['--config', config, '--grpc-listen', listen, '--admin-port', String(adminPort)],
      ...['--static-backends', options.engines.join(',')],
    ],
    { name: options.name, core: options.core },
  );
  await Promise.race([ready(`${adminUrl}/readyz`), child.failed]);
  return { child, listen, adminUrl, configure };
}

async function ready(url: string): Promise<void> {
  const deadline = AbortSignal.timeout(20_000);
  while (!(await answersOk(url))) {
    deadline.throwIfAborted();
    await delay(50);
  }
}

async function answersOk(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}
