/** A real Envoy with the generated bootstrap, between a client in the test and engines in the test. */
import { envoyBootstrap, type BootstrapOptions } from '../../../src/envoy/bootstrap.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { createEnvoySupervisor, type EnvoySupervisor } from '../../../src/envoy/supervisor.ts';
import { parseEnvoyVersion } from '../../../src/envoy/version.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { envoyBinary } from '../../support/envoy.ts';
import { FakeEndpoints } from './fake-endpoints.ts';
import { FakeLog } from './fake-log.ts';
import { startScriptedSluice, type ScriptedSluice } from './scripted-sluice.ts';

export interface EnvoyRig {
  readonly url: string;
  readonly port: number;
  readonly endpoints: FakeEndpoints;
  readonly sluice: ScriptedSluice;
  readonly envoy: EnvoySupervisor;
  /** Lines of Envoy's access log on standard output. */
  readonly accessLogLines: readonly string[];
  /** A page of Envoy's admin interface. */
  admin(page: string): Promise<string>;
  /** Publishes engines on these ports of 127.0.0.1 and routes to them in this order. */
  routeTo(...ports: number[]): Promise<void>;
  /** Waits until Envoy knows exactly these endpoints. */
  untilKnown(...ids: string[]): Promise<void>;
  stop(): Promise<void>;
}

export interface RigOptions extends Partial<Omit<BootstrapOptions, 'version'>> {
  readonly envoyVersion?: string;
}

export async function startEnvoyRig({
  envoyVersion = '1.40.0',
  ...options
}: RigOptions = {}): Promise<EnvoyRig> {
  const endpoints = new FakeEndpoints();
  const log = new FakeLog();
  const accessLogLines: string[] = [];
  const sluice = await startScriptedSluice(endpoints, log);
  const listen = { kind: 'tcp', host: '127.0.0.1', port: await freePort() } as const;
  const admin = { kind: 'tcp', host: '127.0.0.1', port: await freePort() } as const;
  const envoy = createEnvoySupervisor(
    { log, clock: systemClock, random: () => 0, onAccessLogLine: (line) => accessLogLines.push(line) },
    {
      bin: await envoyBinary(envoyVersion),
      listen,
      admin,
      concurrency: 1,
      bootstrap: () =>
        envoyBootstrap({
          listen,
          admin,
          extProc: { kind: 'tcp', host: '127.0.0.1', port: sluice.port },
          engineTls: { kind: 'insecure' },
          version: parseEnvoyVersion(envoyVersion),
          healthIntervalMs: 200,
          ...options,
        }),
    },
  );
  await envoy.start();

  const askAdmin = async (page: string): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${admin.port}${page}`);
    return response.text();
  };
  const untilKnown = async (...ids: string[]): Promise<void> => {
    const wanted = ids.toSorted().join();
    await eventually(
      async () =>
        knownEndpoints(await askAdmin('/clusters'))
          .toSorted()
          .join() === wanted,
    );
  };
  return {
    url: `http://127.0.0.1:${listen.port}`,
    port: listen.port,
    endpoints,
    sluice,
    envoy,
    accessLogLines,
    admin: askAdmin,
    untilKnown,
    async routeTo(...ports) {
      const ids = ports.map((port) => `127.0.0.1:${port}`);
      endpoints.publish(...ports.map((port) => ({ port })));
      sluice.decide({ kind: 'route', to: ids.join(',') });
      await untilKnown(...ids);
    },
    async stop() {
      await envoy.stop(5_000);
      sluice.stop();
    },
  };
}

function knownEndpoints(clusters: string): string[] {
  return [...clusters.matchAll(/^pods::(\S+:\d+)::health_flags/gm)].map((match) => match[1]!);
}
