/**
 * Measures Kubernetes discovery with a thousand pods on a real API server and prints what it found: how long pods take to
 * become endpoints and to cease to be, memory, and CPU while nothing happens. Discovery runs in a process of its own.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { createKubernetesDiscovery } from '../../src/discovery/kubernetes.ts';
import { createEndpointStore } from '../../src/endpoints/endpoint-store.ts';
import { createAdmin, type Admin } from './support/admin.ts';
import { startApiServer } from './support/api-server.ts';
import { createReadyPods, numberedPods } from './support/many-pods.ts';
import { removePod, reportPod, terminatePod } from './support/pods.ts';

const namespace = 'figures';
const podCount = 1000;
const samples = 200;
const idleMs = 60_000;

/** What the process that discovers tells, with the time of this machine in milliseconds. */
type Told =
  | { readonly kind: 'started'; readonly rssBytes: number }
  | { readonly kind: 'membership'; readonly atMs: number; readonly ids: readonly string[] }
  | {
      readonly kind: 'usage';
      readonly rssBytes: number;
      readonly cpuMs: number;
      readonly longestBlockMs: number;
    };

const [mode, ...rest] = process.argv.slice(2);
await (mode === 'discover' ? discover(rest) : measure());

function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

/** The process that is measured: a pod with a service account, and no traffic. */
async function discover([serviceAccount, port, kubeconfig]: readonly string[]): Promise<void> {
  const tell = (told: Told): void => void process.send!(told);
  const { systemClock: clock } = await import('../../src/lib/clock.ts');
  const { findCredentials } = await import('../../src/kube/credentials.ts');
  const { followEngines } = await import('../../src/kube/follow-engines.ts');
  const { createKubeClient } = await import('../../src/kube/kube-client.ts');
  tell({ kind: 'started', rssBytes: process.memoryUsage.rss() });
  const credentials = await findCredentials({
    kubeconfig,
    env: { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: port },
    serviceAccount: serviceAccount!,
  });
  const client = createKubeClient({ credentials, userAgent: 'sluice/figures' });
  const store = createEndpointStore({ clock });
  store.subscribe(({ endpoints }) => {
    const atMs = nowMs();
    tell({ kind: 'membership', atMs, ids: endpoints.map(({ id }) => id) });
  });
  const blocks = monitorEventLoopDelay({ resolution: 1 });
  blocks.enable();
  createKubernetesDiscovery({
    sources: [{ kind: 'pods', namespace, labelSelector: 'app=vllm', port: 8000, tls: false }],
    follow: (source, onReport) => followEngines({ client, clock, random: Math.random }, source, onReport),
    onTargets: (targets) => store.setTargets(targets),
  }).start();
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    const longestBlockMs = blocks.max / 1e6;
    // It costs more than everything else that is measured.
    blocks.disable();
    tell({
      kind: 'usage',
      rssBytes: process.memoryUsage.rss(),
      cpuMs: (user + system) / 1000,
      longestBlockMs,
    });
  });
  // The parent's end is ours.
  process.on('disconnect', () => process.exit());
}

async function measure(): Promise<void> {
  const server = await startApiServer();
  const admin = createAdmin(server);
  try {
    await admin.namespace(namespace);
    await createReadyPods(admin, namespace, numberedPods(0, podCount));
    const serviceAccount = path.join(server.folder, 'service-account');
    await mkdir(serviceAccount);
    await writeFile(path.join(serviceAccount, 'token'), server.tokenOf('admin'));
    await writeFile(path.join(serviceAccount, 'ca.crt'), server.ca);
    for (const kubeconfig of [undefined, await server.kubeconfig('admin')]) {
      console.log(kubeconfig === undefined ? 'With a service account' : 'With a kubeconfig');
      await measureDiscovery(admin, [
        serviceAccount,
        String(server.port),
        ...(kubeconfig === undefined ? [] : [kubeconfig]),
      ]);
    }
  } finally {
    await admin.close();
    await server.stop();
  }
}

async function measureDiscovery(admin: Admin, args: readonly string[]): Promise<void> {
  const child = fork(import.meta.filename, ['discover', ...args], { execArgv: ['--max-semi-space-size=1'] });
  const seen: { atMs: number; ids: ReadonlySet<string> }[] = [];
  let usage = Promise.withResolvers<Extract<Told, { kind: 'usage' }>>();
  let wake = Promise.withResolvers<undefined>();
  child.on('message', (told: Told) => {
    if (told.kind === 'started') console.log(`  before discovery: ${megabytes(told.rssBytes)} RSS`);
    else if (told.kind === 'usage') usage.resolve(told);
    else {
      seen.push({ atMs: told.atMs, ids: new Set(told.ids) });
      wake.resolve(undefined);
    }
  });
  const ask = (): Promise<Extract<Told, { kind: 'usage' }>> => {
    usage = Promise.withResolvers();
    child.send('usage');
    return usage.promise;
  };
  /** When the membership first had, or had not, the address. */
  async function changedAt(id: string, isIn: boolean): Promise<number> {
    for (;;) {
      const last = seen.at(-1);
      if (last !== undefined && last.ids.has(id) === isIn) return last.atMs;
      wake = Promise.withResolvers();
      await wake.promise;
    }
  }

  const startedAtMs = nowMs();
  const listedAtMs = await changedAt('10.1.0.0:8000', true);
  const atStart = await ask();
  console.log(
    `  ${podCount} pods listed ${Math.round(listedAtMs - startedAtMs)} ms after the process was started`,
  );
  console.log(`  longest block of the event loop while listing: ${atStart.longestBlockMs.toFixed(1)} ms`);

  for (const [what, run] of [
    ['a pod becomes ready', (name: string, ip: string) => state(admin, name, ip, 'True')],
    ['a pod ceases to be ready', (name: string, ip: string) => state(admin, name, ip, 'False')],
  ] as const) {
    const latencies: { sinceSent: number; sinceAnswer: number }[] = [];
    for (const { name, ip } of numberedPods(0, samples)) {
      const isReady = what === 'a pod becomes ready';
      if (isReady) {
        await state(admin, name, ip, 'False');
        await changedAt(`${ip}:8000`, false);
      }
      const sentAtMs = nowMs();
      await run(name, ip);
      const answeredAtMs = nowMs();
      const atMs = await changedAt(`${ip}:8000`, isReady);
      latencies.push({ sinceSent: atMs - sentAtMs, sinceAnswer: atMs - answeredAtMs });
    }
    console.log(
      `  ${what}: ${spread(latencies.map(({ sinceSent }) => sinceSent))} after its status was sent,`,
    );
    console.log(
      `    ${spread(latencies.map(({ sinceAnswer }) => sinceAnswer))} after the API server had answered`,
    );
  }
  const ends: number[] = [];
  for (const { name, ip } of numberedPods(samples, samples + 50)) {
    const sentAtMs = nowMs();
    await terminatePod(admin, namespace, name);
    ends.push((await changedAt(`${ip}:8000`, false)) - sentAtMs);
  }
  console.log(`  a pod is deleted: ${spread(ends)} until it gets no new requests`);

  const before = await ask();
  await pause(idleMs);
  const after = await ask();
  const share = (after.cpuMs - before.cpuMs) / idleMs;
  console.log(`  idle: ${(share * 100).toFixed(2)} % of a core, ${megabytes(after.rssBytes)} RSS`);
  child.disconnect();
  await once(child, 'exit');

  const again = numberedPods(samples, samples + 50);
  for (const { name } of again) await removePod(admin, namespace, name);
  await createReadyPods(admin, namespace, again);
  for (const { name, ip } of numberedPods(0, samples)) await state(admin, name, ip, 'True');
}

function state(admin: Admin, name: string, ip: string, ready: 'True' | 'False'): Promise<void> {
  return reportPod(admin, namespace, name, { ready, ip, phase: 'Running' });
}

function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): string => sorted[Math.floor((sorted.length - 1) * share)]!.toFixed(1);
  return `median ${at(0.5)} ms, 99th percentile ${at(0.99)} ms`;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
