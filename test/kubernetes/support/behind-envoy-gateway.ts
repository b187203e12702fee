/** The whole thing behind Envoy Gateway: simulated engines, `sluice serve`, and the resources of the standalone example. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { startSimulatedEngine, type SimulatedEngine } from '../../../src/engine-sim/server.ts';
import { chatBody } from '../../support/chat.ts';
import { startSluice, type Child } from '../../support/child.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { send, type Reply } from '../../support/http-client.ts';
import { standaloneResources, startEnvoyGateway } from './envoy-gateway.ts';
import type { KubeManifest } from './manifests.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface BehindEnvoyGatewayOptions {
  /** Sluice's configuration, but for its engines. */
  readonly config?: object;
  /** More options of `sluice serve`. */
  readonly serve?: readonly string[];
  /** Where Envoy reaches Sluice, as a Backend says it. Default: a Unix socket. */
  readonly backend?: { readonly listen: string; readonly spec: object };
  /** Changes the resources of the example. */
  readonly edit?: (resources: readonly KubeManifest[]) => readonly KubeManifest[];
  /** What Envoy lets pass. */
  readonly token?: string;
}

export interface BehindEnvoyGateway {
  /** Where clients connect. */
  readonly port: number;
  /** Three of model `m`. */
  readonly engines: readonly SimulatedEngine[];
  readonly sluice: Child;
  /** Sends a chat completion. */
  readonly ask: (requestId: string, options?: AskOptions) => Promise<Reply>;
  /** The line of Sluice's log about an exchange. */
  readonly exchange: (requestId: string) => Promise<Fields>;
  /** All that there are so far. */
  readonly exchanges: () => readonly Fields[];
  /** How many completions the engines were asked for. */
  readonly requestsAtEngines: () => number;
  stop(): Promise<void>;
}

interface AskOptions {
  readonly body?: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
}

const asTheyAre = (resources: readonly KubeManifest[]): readonly KubeManifest[] => resources;

/** Starts everything; resolves when requests reach Sluice. */
export async function startBehindEnvoyGateway(
  options: BehindEnvoyGatewayOptions = {},
): Promise<BehindEnvoyGateway> {
  const { config = {}, serve = [], edit = asTheyAre, token = '' } = options;
  const cleanUp: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const clean of cleanUp.splice(0).reverse()) await clean();
  };
  try {
    const folder = await mkdtemp(path.join(tmpdir(), 'sluice-behind-'));
    cleanUp.push(() => rm(folder, { recursive: true, force: true }));
    const engines: SimulatedEngine[] = [];
    cleanUp.push(() => Promise.all(engines.map((engine) => engine.stop())));
    while (engines.length < 3) engines.push(await startSimulatedEngine({ model: 'm', speed: 20 }));

    const socket = path.join(folder, 'grpc.sock');
    const inUnixSocket = { listen: `unix:${socket}`, spec: { endpoints: [{ unix: { path: socket } }] } };
    const backend = options.backend ?? inUnixSocket;
    const file = path.join(folder, 'sluice.yaml');
    const backends = engines.map(({ url }) => ({ url, models: ['m'] }));
    await writeFile(file, stringify({ ...config, discovery: { static: { backends } } }));
    const listen = ['--grpc-listen', backend.listen, '--admin-port', '0', '--log-format', 'json'];
    const sluice = startSluice(['serve', '--config', file, ...listen, ...serve]);
    cleanUp.push(() => sluice.end());
    await sluice.line(/Serving Envoy at/);

    const port = await freePort();
    const specs: Readonly<Record<string, object>> = {
      'Gateway/llm': { listeners: [{ name: 'http', protocol: 'HTTP', port }] },
      'Backend/sluice': backend.spec,
      'Backend/engines': {
        endpoints: engines.map((engine) => ({ ip: { address: '127.0.0.1', port: engine.port } })),
      },
    };
    const resources = (await standaloneResources()).map((resource) => {
      const changes = specs[`${resource.kind}/${resource.metadata.name}`];
      return { ...resource, spec: { ...(resource['spec'] as Fields), ...changes } };
    });
    const gateway = await startEnvoyGateway(edit(resources), port);
    cleanUp.push(() => gateway.stop());
    const health = {
      method: 'GET',
      path: '/health',
      headers: [['authorization', `Bearer ${token}`]],
    } as const;
    await eventually(async () => (await send(port, health)).status === 200, 30_000);

    const exchanges = (): readonly Fields[] =>
      sluice.lines.map((line) => JSON.parse(line) as Fields).filter((line) => 'outcome' in line);
    return {
      port,
      engines,
      sluice,
      ask: (requestId, { body = chatBody(), headers = [] } = {}) =>
        send(port, {
          body,
          headers: [['content-type', 'application/json'], ['x-request-id', requestId], ...headers],
        }),
      async exchange(requestId) {
        const find = (): Fields | undefined => exchanges().find((line) => line['requestId'] === requestId);
        await eventually(() => find() !== undefined);
        return find()!;
      },
      exchanges,
      requestsAtEngines() {
        const seen = engines.flatMap((engine) => engine.requests());
        return seen.filter((request) => request.path === '/v1/chat/completions').length;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
