/** Sluice behind the Envoy that `sluice router` would start, each measured apart. */
import path from 'node:path';
import { findEnvoy } from '../../src/envoy/find-envoy.ts';
import { freePort } from '../support/free-port.ts';
import type { Bench } from './bench.ts';
import type { Child } from './children.ts';
import { shippedEdge } from './edge.ts';
import { startEnvoy } from './envoy-process.ts';
import { servesCompletions } from './serves-completions.ts';
import { startSluice, type SluiceProcess } from './sluice-process.ts';

export interface ShippedGateway {
  /** Where clients connect, of 127.0.0.1. */
  readonly port: number;
  readonly sluice: SluiceProcess;
  readonly envoy: Child;
  stop(): Promise<void>;
}

export interface ShippedGatewayOptions {
  readonly name: string;
  readonly engines: readonly string[];
  /** Of Sluice's configuration: more of `usage`, and what there is besides. */
  readonly moreUsage: string;
  readonly settings: string;
}

/** Starts both; resolves when a completion came back through them. */
export async function startShippedGateway(
  bench: Bench,
  options: ShippedGatewayOptions,
): Promise<ShippedGateway> {
  const { path: bin } = await findEnvoy();
  const listen = `unix:${path.join(bench.folder, `${options.name}.sock`)}`;
  const sluice = await startSluice(bench, { ...options, usage: 'auto', listen });
  const port = await freePort();
  const envoy = startEnvoy(
    bench,
    bin,
    `envoy-${options.name}`,
    shippedEdge(`127.0.0.1:${port}`, sluice.listen),
  );
  await servesCompletions(`http://127.0.0.1:${port}`, envoy);
  return {
    port,
    sluice,
    envoy,
    async stop() {
      await envoy.stop();
      await sluice.child.stop();
    },
  };
}
