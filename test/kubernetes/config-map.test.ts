/** A ConfigMap of a real API server, followed by someone who may read this one and nothing else. */
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createConfigMapWatch, type ConfigMapTexts, type ConfigMapWatch } from '../../src/kube/config-map.ts';
import { findCredentials } from '../../src/kube/credentials.ts';
import { createKubeClient, type KubeClient } from '../../src/kube/kube-client.ts';
import { systemClock as clock } from '../../src/lib/clock.ts';
import { createAdmin, type Admin } from './support/admin.ts';
import { startApiServer, type ApiServer } from './support/api-server.ts';
import { allowConfigMap } from './support/rights.ts';

/** What takes longer is broken; most take a moment. */
jest.setTimeout(120_000);

const namespace = 'inference';
const maps = `/api/v1/namespaces/${namespace}/configmaps`;

let server: ApiServer;
let admin: Admin;
let client: KubeClient;
let watch: ConfigMapWatch | undefined;
let told: (ConfigMapTexts | undefined)[];
let wake = Promise.withResolvers<undefined>();

beforeAll(async () => {
  server = await startApiServer();
  admin = createAdmin(server);
  await admin.namespace(namespace);
  await allowConfigMap(admin, namespace, 'sluice', 'reader');
  const credentials = await findCredentials({ kubeconfig: await server.kubeconfig('reader'), env: {} });
  client = createKubeClient({ credentials, userAgent: 'sluice/test' });
});

afterEach(() => watch?.stop());

afterAll(async () => {
  await client.close();
  await admin.close();
  await server.stop();
});

function follow(name: string): void {
  told = [];
  watch = createConfigMapWatch(
    { client, clock, random: Math.random },
    {
      namespace,
      name,
      onTexts(texts) {
        told.push(texts);
        wake.resolve(undefined);
      },
      onProblem: () => wake.resolve(undefined),
    },
  );
  watch.start();
}

/** Resolves once something was told that makes the condition true. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) {
    wake = Promise.withResolvers();
    await wake.promise;
  }
}

describe('createConfigMapWatch()', () => {
  it('tells what is in the ConfigMap, from its creation to its end', async () => {
    follow('sluice');
    await until(() => told.length === 1);
    await admin.create(maps, { metadata: { name: 'sluice' }, data: { 'sluice.yaml': 'log: {level: info}' } });
    await until(() => told.length === 2);
    await admin.create(maps, { metadata: { name: 'other' }, data: { 'sluice.yaml': 'nobody asked' } });
    await admin.patch(`${maps}/sluice`, { metadata: { labels: { only: 'a-label' } } });
    await admin.patch(`${maps}/sluice`, { data: { 'sluice.yaml': 'log: {level: debug}' } });
    await until(() => told.length === 3);
    await admin.remove(`${maps}/sluice`);
    await until(() => told.length === 4);
    expect(told).toEqual([
      undefined,
      { 'sluice.yaml': 'log: {level: info}' },
      { 'sluice.yaml': 'log: {level: debug}' },
      undefined,
    ]);
  });

  it('may not read another one', async () => {
    follow('other');
    await until(() => watch!.status().problem !== undefined);
    expect(watch!.status().problem).toMatch(
      /^Cannot list configmaps "other" in namespace "inference": forbidden: /,
    );
  });
});
