import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startSimulatedEngine, type SimulatedEngine } from '../../src/engine-sim/server.ts';
import { chatBody } from '../support/chat.ts';
import { makeCertificate } from '../support/certificates.ts';
import { envoyBinary } from '../support/envoy.ts';
import { eventually } from '../support/eventually.ts';
import { buildImage, type Image } from './support/image.ts';
import { find, podOf, templated } from './support/manifests.ts';
import { startPod, type PodProcesses } from './support/pod-processes.ts';

jest.setTimeout(60_000);

const first = makeCertificate('DNS:llm.example');
const second = makeCertificate('DNS:llm.example');

describe('the pod of the chart with tls', () => {
  let image: Image;
  let bin: string;
  let engine: SimulatedEngine;
  let pod: PodProcesses;

  beforeAll(async () => {
    image = await buildImage();
    bin = await mkdtemp(path.join(tmpdir(), 'sluice-bin-'));
    await symlink(await envoyBinary(), path.join(bin, 'envoy'));
    engine = await startSimulatedEngine({ model: 'm', speed: 20 });
    const objects = await templated(
      '--set',
      'inferGateway.tls.enabled=true,inferGateway.tls.dnsName=llm.example',
    );
    const { 'tls.yaml': sds } = find(objects, 'ConfigMap', 'sluice-envoy')['data'] as { 'tls.yaml': string };
    pod = await startPod(podOf(objects), {
      path: `${bin}:${image.path}`,
      entrypoint: image.entrypoint,
      volumes: {
        config: { 'sluice.yaml': `discovery: { static: { backends: [{ url: "${engine.url}" }] } }` },
        tls: { 'tls.crt': first.cert, 'tls.key': first.key },
        envoy: { 'tls.yaml': sds },
      },
      edit: (word) => word.replaceAll('0.0.0.0', '127.0.0.1').replace('pause=5', 'pause=0'),
    });
    await eventually(() => pod.probe('sluice', 'readinessProbe'));
  }, 300_000);

  afterAll(async () => {
    await pod.remove();
    await engine.stop();
    await image.remove();
    await rm(bin, { recursive: true, force: true });
  });

  /** The status of a completion for a client that trusts one certificate. */
  function ask(ca: string): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json' };
      const path = '/v1/chat/completions';
      const to = { port: pod.port(8080), method: 'POST', path, headers, ca, servername: 'llm.example' };
      // On a connection of its own: one that is open keeps the certificate that it began with.
      request({ ...to, agent: false }, (response) => {
        response.resume().once('end', () => resolve(response.statusCode));
      })
        .once('error', reject)
        .end(chatBody());
    });
  }

  it('serves clients that trust the certificate of the Secret', async () => {
    expect(await ask(first.cert)).toBe(200);
    await expect(ask(second.cert)).rejects.toThrow('self-signed certificate');
    expect(await pod.probe('envoy', 'startupProbe')).toBe(true);
  });

  it('takes over another certificate while it runs', async () => {
    await pod.update('tls', { 'tls.crt': second.cert, 'tls.key': second.key });
    await eventually(() =>
      ask(second.cert).then(
        (status) => status === 200,
        () => false,
      ),
    );
    await expect(ask(first.cert)).rejects.toThrow('self-signed certificate');
  });
});
