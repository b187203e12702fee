/** The real Envoy Gateway without Kubernetes: it reads its resources from a folder and starts the real Envoy. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { formatEnvoyVersion, managedEnvoyVersion } from '../../../src/envoy/version.ts';
import { envoyBinary } from '../../support/envoy.ts';
import { eventually } from '../../support/eventually.ts';
import { send } from '../../support/http-client.ts';
import { componentPath } from './components.ts';
import { parseManifests, type KubeManifest } from './manifests.ts';
import { startServer } from './processes.ts';

const run = promisify(execFile);
const examples = path.resolve(import.meta.dirname, '../../../manifests/envoy-gateway/standalone');

export interface EnvoyGateway {
  /** Ends it and its Envoys, and removes its files. */
  stop(): Promise<void>;
}

/** Starts it with resources; resolves when a port answers HTTP. Its own ports are fixed: there can be one at a time. */
export async function startEnvoyGateway(
  resources: readonly KubeManifest[],
  port: number,
): Promise<EnvoyGateway> {
  const folder = await mkdtemp(path.join(tmpdir(), 'sluice-eg-'));
  const inFolder = (name: string): string => path.join(folder, name);
  const resourceFolder = inFolder('resources');
  await mkdir(resourceFolder);
  const envoy = path.join(
    inFolder('data'),
    'envoy-versions',
    formatEnvoyVersion(managedEnvoyVersion),
    'bin/envoy',
  );
  await mkdir(path.dirname(envoy), { recursive: true });
  await symlink(await envoyBinary(), envoy);

  const all = resources.map((each) => stringify(each)).join('---\n');
  await writeFile(path.join(resourceFolder, 'all.yaml'), all);
  const binary = componentPath('envoy-gateway');
  await run(binary, ['certgen', '--local', '--config-home', inFolder('config')]);
  const [config] = parseManifests(await readFile(path.join(examples, 'envoy-gateway.yaml'), 'utf8'));
  const onThisMachine = {
    ...config,
    provider: {
      type: 'Custom',
      custom: {
        resource: { type: 'File', file: { paths: [resourceFolder] } },
        infrastructure: {
          type: 'Host',
          host: {
            configHome: inFolder('config'),
            dataHome: inFolder('data'),
            stateHome: inFolder('state'),
            runtimeDir: inFolder('run'),
          },
        },
      },
    },
  };
  await writeFile(inFolder('envoy-gateway.yaml'), stringify(onThisMachine));
  const server = startServer(binary, ['server', '--config-path', inFolder('envoy-gateway.yaml')]);
  let ended = false;
  void server.exited.then(() => {
    ended = true;
  });

  async function stop(): Promise<void> {
    // By itself it ends its Envoys; killed, it could not.
    server.signal('SIGINT');
    await server.exited;
    await rm(folder, { recursive: true, force: true });
  }

  try {
    await eventually(async () => {
      if (ended) throw new Error(`Envoy Gateway ended:\n${server.output}`);
      return send(port, { method: 'GET', path: '/' }).then(
        () => true,
        () => false,
      );
    }, 60_000);
  } catch (error) {
    await stop();
    throw new Error(`Cannot start Envoy Gateway:\n${server.output}`, { cause: error });
  }
  return { stop };
}

/** The resources of the standalone example. */
export async function standaloneResources(): Promise<KubeManifest[]> {
  return parseManifests(await readFile(path.join(examples, 'gateway.yaml'), 'utf8'));
}
