/** vllm-router from PyPI, a Rust rewrite of the same name: a whole proxy. Installed below the project's cache folder. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { freePort } from '../support/free-port.ts';
import type { Bench } from './bench.ts';
import type { Child } from './children.ts';
import { servesCompletions } from './serves-completions.ts';

const version = '0.1.17';
export const rustRouterName = `vllm-router ${version}`;

export type RustRouter =
  | { readonly kind: 'installed'; readonly bin: string }
  /** `reason` is one line. */
  | { readonly kind: 'missing'; readonly reason: string };

const cache = path.resolve(import.meta.dirname, '../../.cache/bench');
const longestStepMs = 60_000;

/** Installs it where that was not done before, in a venv that nothing else is in. Never throws. */
export async function installRustRouter(bench: Bench): Promise<RustRouter> {
  const venv = path.join(cache, `vllm-router-${version}`);
  const bin = path.join(venv, 'bin/vllm-router');
  const finished = path.join(venv, '.installed');
  if (existsSync(finished)) return { kind: 'installed', bin };
  bench.progress(`installing ${rustRouterName} into ${path.relative(process.cwd(), venv)}`);
  try {
    mkdirSync(cache, { recursive: true });
    rmSync(venv, { recursive: true, force: true });
    await run(bench, 'python3', ['-m', 'venv', venv]);
    await run(bench, path.join(venv, 'bin/pip'), [
      'install',
      ...['--disable-pip-version-check', '--retries', '1', '--timeout', '10', '--only-binary', ':all:'],
      `vllm-router==${version}`,
    ]);
    writeFileSync(finished, '');
    return { kind: 'installed', bin };
  } catch (error) {
    return { kind: 'missing', reason: lastLine(error) };
  }
}

/** Starts it in front of the engines; resolves when it serves at the port. */
export async function startRustRouter(
  bench: Bench,
  bin: string,
  options: { readonly policy: string; readonly port: number; readonly engines: readonly string[] },
): Promise<Child> {
  const { policy, port, engines } = options;
  const router = bench.children.start(
    bin,
    [
      ...['--host', '127.0.0.1', '--port', String(port), '--prometheus-port', String(await freePort())],
      ...['--policy', policy, '--worker-urls', ...engines],
    ],
    { name: `rust-router-${policy}` },
  );
  try {
    await servesCompletions(`http://127.0.0.1:${port}`, router);
  } catch (error) {
    await router.stop();
    throw error;
  }
  return router;
}

/** What is worth showing of an error in a table. */
export function lastLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.trim().split('\n').at(-1)!.replaceAll('|', '/');
}

async function run(bench: Bench, command: string, args: readonly string[]): Promise<void> {
  const name = `install-${path.basename(command)}`;
  const child = bench.children.start(command, args, { name });
  if (child.process.pid === undefined) throw new Error(`there is no ${command} that can be run`);
  const deadline = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => deadline.reject(new Error(`${command} took longer than ${longestStepMs / 1000} s`)),
    longestStepMs,
  );
  try {
    // Every end is a failure here, a good one too.
    await Promise.race([child.failed, deadline.promise]);
  } catch (error) {
    if (child.process.exitCode !== 0) throw error;
  } finally {
    clearTimeout(timer);
    await child.stop();
  }
}
