import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startSimulatedEngine, type SimulatedEngine } from '../../src/engine-sim/server.ts';
import { chatBody } from '../support/chat.ts';
import { envoyBinary } from '../support/envoy.ts';
import { eventually } from '../support/eventually.ts';
import { readReply, responseOf, send, startRequest } from '../support/http-client.ts';
import { until } from '../support/until.ts';
import { buildImage, type Image } from './support/image.ts';
import { kustomized, podOf } from './support/manifests.ts';
import { startPod, type PodProcesses } from './support/pod-processes.ts';

jest.setTimeout(60_000);

/** Its containers run as processes; what only a kubelet can do is not looked at. */
describe('the pod of manifests/base', () => {
  let image: Image;
  let bin: string;
  let engines: readonly SimulatedEngine[] = [];
  let pod: PodProcesses | undefined;

  beforeAll(async () => {
    image = await buildImage();
    bin = await mkdtemp(path.join(tmpdir(), 'sluice-bin-'));
    await symlink(await envoyBinary(), path.join(bin, 'envoy'));
  }, 300_000);

  afterAll(async () => {
    await image.remove();
    await rm(bin, { recursive: true, force: true });
  });

  beforeEach(async () => {
    engines = await Promise.all([1, 2].map(() => startSimulatedEngine({ model: 'm', speed: 20 })));
  });

  afterEach(async () => {
    await pod?.remove();
    pod = undefined;
    await Promise.all(engines.map((engine) => engine.stop()));
  });

  function running(): PodProcesses {
    if (pod === undefined) throw new Error('The pod was not started');
    return pod;
  }

  function configuration(more = ''): string {
    const backends = engines.map(({ url }) => `{ url: "${url}" }`).join(', ');
    return `discovery: { static: { backends: [${backends}] } }\n${more}`;
  }

  /** The lines of Sluice's log that are JSON, which are all. */
  function log(): Readonly<Record<string, unknown>>[] {
    const lines = running().container('sluice').output.trim().split('\n');
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Resolves when it is ready. */
  async function start(drainSeconds = 30): Promise<void> {
    pod = await startPod(podOf(await kustomized('base')), {
      path: `${bin}:${image.path}`,
      entrypoint: image.entrypoint,
      volumes: { config: { 'sluice.yaml': configuration() } },
      // On the loopback alone, and not waiting for a Service that is not there.
      edit: (word) =>
        word.replaceAll('0.0.0.0', '127.0.0.1').replace('pause=5 drain=30', `pause=0 drain=${drainSeconds}`),
    });
    await eventually(() => running().probe('sluice', 'readinessProbe'));
  }

  it('serves what comes in by the port of its Service, scheduled by Sluice', async () => {
    await start();
    const reply = await send(running().port(8080), { body: chatBody({ stream: true }) });
    expect(reply.status).toBe(200);
    expect(reply.body).toContain('data: [DONE]');
    await until(() => log().some(({ outcome }) => outcome === 'completed'));
    expect(log().find(({ outcome }) => outcome === 'completed')).toMatchObject({
      status: 200,
      candidates: 2,
      outputTokens: 2,
    });
  });

  it('is ready while an engine is, and alive all the time', async () => {
    await start();
    const probes = (name: string) =>
      Promise.all([running().probe(name, 'livenessProbe'), running().probe(name, 'readinessProbe')]);
    expect(await probes('envoy')).toEqual([true, true]);
    await Promise.all(engines.map((engine) => engine.stop()));
    await eventually(async () => !(await running().probe('sluice', 'readinessProbe')));
    expect(await probes('sluice')).toEqual([true, false]);
    expect(await probes('envoy')).toEqual([true, true]);
  });

  it('takes over a ConfigMap that changes', async () => {
    await start();
    await running().update('config', {
      'sluice.yaml': configuration('models: { aliases: { other-name: m } }\n'),
    });
    const models = async (): Promise<string> =>
      (await send(running().port(8080), { method: 'GET', path: '/v1/models' })).body;
    await eventually(async () => (await models()).includes('other-name'));
  });

  it('lets what runs end when it is terminated', async () => {
    await start();
    const outgoing = startRequest(running().port(8080), { body: chatBody({ stream: true, tokens: 2000 }) });
    const response = await responseOf(outgoing);
    const ended = running().terminate();
    await eventually(async () => !(await running().probe('envoy', 'readinessProbe')));
    expect(engines.some((engine) => engine.stats().running === 1)).toBe(true);
    expect(running().container('envoy').running).toBe(true);
    expect(running().container('sluice').running).toBe(true);
    expect((await readReply(response)).body).toContain('data: [DONE]');
    expect(await ended).toEqual({ envoy: 0, sluice: 0 });
    expect(
      log().filter(({ outcome, path: page }) => outcome !== 'completed' && page !== '/health'),
    ).not.toContainEqual(expect.objectContaining({ outcome: expect.anything() }));
  });

  it('ends in time although a client does not', async () => {
    await start(2);
    const response = await responseOf(
      startRequest(running().port(8080), { body: chatBody({ stream: true, tokens: 100_000 }) }),
    );
    response.on('error', () => undefined).resume();
    engines.forEach((engine) => engine.setFault({ mode: 'hang' }));
    expect(await running().terminate()).toMatchObject({ envoy: 0, sluice: 0 });
  });
});
