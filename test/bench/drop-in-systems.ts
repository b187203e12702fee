/** What takes requests for the same engines: nobody, Sluice in the place of vllm-router, and another router. */
import path from 'node:path';
import { findEnvoy } from '../../src/envoy/find-envoy.ts';
import { freePort } from '../support/free-port.ts';
import type { Bench } from './bench.ts';
import type { Child } from './children.ts';
import { sessionHeader } from './conversation-requests.ts';
import { engineAddresses, enginesBootstrap } from './edge.ts';
import { startEnvoy } from './envoy-process.ts';
import { installRustRouter, lastLine, rustRouterName, startRustRouter } from './rust-router.ts';
import { servesCompletions } from './serves-completions.ts';
import { shippedNodeFlags } from './sluice-process.ts';

/** Something that answers completions. */
export interface System {
  readonly kind: 'engines' | 'sluice' | 'rust-router';
  readonly name: string;
  /** The routing logic of vllm-router or the policy of its rewrite; empty for engines alone. */
  readonly logic: string;
  readonly url: string;
  /** Everything on the path before the engines is this process and those that it started. */
  readonly router: Child | undefined;
}

export interface Systems {
  readonly running: readonly System[];
  /** Why the other router is not among them. */
  readonly missing: string | undefined;
  stop(): Promise<void>;
}

export const engineCount = 8;
const logics = ['roundrobin', 'session', 'prefixaware'] as const;
const policies = ['round_robin', 'cache_aware'] as const;

/** Starts them all; the engines are an Envoy that answers at once. */
export async function startSystems(bench: Bench): Promise<Systems> {
  const rustRouter = await installRustRouter(bench);
  bench.progress('starting engines and routers');
  const { path: envoyBin } = await findEnvoy();
  const addresses = engineAddresses(engineCount, await freePort());
  const enginesProcess = startEnvoy(bench, envoyBin, 'drop-in-engines', enginesBootstrap(addresses));
  const engines = addresses.map((address) => `http://${address}`);
  const alone: System = {
    kind: 'engines',
    name: 'an engine alone',
    logic: '',
    url: engines[0]!,
    router: undefined,
  };
  await servesCompletions(alone.url, enginesProcess);

  const running = [alone, ...(await Promise.all(logics.map((logic) => startDropIn(bench, logic, engines))))];
  let missing = rustRouter.kind === 'missing' ? rustRouter.reason : undefined;
  if (rustRouter.kind === 'installed') {
    try {
      for (const policy of policies) {
        const port = await freePort();
        const router = await startRustRouter(bench, rustRouter.bin, { policy, port, engines });
        const url = `http://127.0.0.1:${port}`;
        running.push({ kind: 'rust-router', name: rustRouterName, logic: policy, url, router });
      }
    } catch (error) {
      missing = lastLine(error);
    }
  }
  return {
    running,
    missing,
    async stop() {
      await Promise.all(running.map(async ({ router }) => router?.stop()));
      await enginesProcess.stop();
    },
  };
}

const vllmRouter = path.resolve(import.meta.dirname, '../../src/vllm-router.ts');

/** The command line of vllm-router, all defaults: Sluice, and the Envoy that it starts. */
async function startDropIn(bench: Bench, logic: string, engines: readonly string[]): Promise<System> {
  const port = await freePort();
  const router = bench.children.start(
    process.execPath,
    [
      ...(bench.nodeFlags ?? shippedNodeFlags),
      vllmRouter,
      ...['--host', '127.0.0.1', '--port', String(port)],
      ...['--service-discovery', 'static', '--static-backends', engines.join(',')],
      ...['--static-models', engines.map(() => 'm').join(',')],
      ...['--routing-logic', logic, ...(logic === 'session' ? ['--session-key', sessionHeader] : [])],
    ],
    { name: `drop-in-${logic}` },
  );
  const url = `http://127.0.0.1:${port}`;
  await servesCompletions(url, router);
  return { kind: 'sluice', name: 'Envoy and Sluice', logic, url, router };
}
