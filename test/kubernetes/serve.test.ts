/** The whole of it: Sluice and its Envoy in front of engines that a real API server knows. */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { parseConfig } from '../../src/config/load.ts';
import type { App } from '../../src/app.ts';
import { startSimulatedEngine, type SimulatedEngine } from '../../src/engine-sim/server.ts';
import { createLogger } from '../../src/observability/log.ts';
import { startRouter } from '../../src/router.ts';
import { chat } from '../support/chat.ts';
import { envoyBinary } from '../support/envoy.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { createAdmin, type Admin } from './support/admin.ts';
import { startApiServer, type ApiServer } from './support/api-server.ts';
import { container, createReadyPod, removePod } from './support/pods.ts';

jest.setTimeout(120_000);

const namespace = 'serve';
let server: ApiServer;
let admin: Admin;
let engines: readonly SimulatedEngine[];
let app: App;
let port: number;
const lines: string[] = [];

beforeAll(async () => {
  server = await startApiServer();
  admin = createAdmin(server);
  await admin.namespace(namespace);
  engines = [
    await startSimulatedEngine({ model: 'm', speed: 20 }),
    await startSimulatedEngine({ model: 'm', speed: 20 }),
  ];
  for (const [i, engine] of engines.entries())
    await createReadyPod(admin, namespace, `engine-${i}`, '127.0.0.1', {
      labels: { app: 'vllm' },
      containers: [container('vllm', { http: engine.port })],
    });
  const yaml = `
discovery:
  kubernetes:
    kubeconfig: ${await server.kubeconfig('admin')}
    silenceTimeout: 3s
    pods: [{ namespaces: [${namespace}], labelSelectors: [app=vllm], port: http }]
scrape: { interval: 200ms }
admin: { port: 0 }
`;
  port = await freePort();
  app = await startRouter({
    loaded: parseConfig(yaml, 'serve.yaml'),
    listen: `127.0.0.1:${port}`,
    envoyBin: await envoyBinary(),
    log: createLogger({
      level: 'info',
      format: 'json',
      destination: { write: (line: string) => void lines.push(line) },
    }),
  });
  await app.ready(AbortSignal.timeout(30_000));
});

afterAll(async () => {
  await app.stop();
  await Promise.all(engines.map((engine) => engine.stop()));
  await admin.close();
  await server.stop();
});

const page = async (path: string): Promise<string> => (await fetch(app.adminUrl + path)).text();
const status = async (): Promise<number> => (await chat({ port })).status;

async function endpointPorts(): Promise<number[]> {
  const { endpoints } = JSON.parse(await page('/debug/endpoints')) as { endpoints: { id: string }[] };
  return endpoints.map(({ id }) => Number(id.split(':')[1])).sort((a, b) => a - b);
}

describe('sluice router with pods', () => {
  it('schedules for them, and goes on without the API server, visibly', async () => {
    const both = engines.map((engine) => engine.port).sort((a, b) => a - b);
    await eventually(async () => String(await endpointPorts()) === String(both));
    expect(await status()).toBe(200);
    expect(JSON.parse(await page('/readyz'))).toEqual({ status: 'ready' });

    await server.kill();
    await eventually(async () => (await page('/readyz')).includes('degraded'), 60_000);
    expect((await fetch(`${app.adminUrl}/readyz`)).status).toBe(200);
    expect(JSON.parse(await page('/health'))).toMatchObject({
      status: 'healthy',
      kubernetes: [
        { endpoints: 2, listed: true, problem: expect.stringMatching(/^Cannot (list|watch) pods/) },
      ],
    });
    expect(await page('/metrics')).toMatch(/sluice_kubernetes_source_up\{source="pods with [^\n]*\} 0\n/);
    expect(
      lines.some((line) => line.includes('"level":"warn"') && /Cannot (list|watch) pods/.test(line)),
    ).toBe(true);
    expect(await status()).toBe(200);

    await server.restart();
    await eventually(async () => !(await page('/readyz')).includes('degraded'), 60_000);
    expect(await page('/metrics')).toMatch(/sluice_kubernetes_source_up\{[^\n]*\} 1\n/);
  });

  it('lets a pod go that is deleted, and knows the model when all are', async () => {
    await removePod(admin, namespace, 'engine-0');
    await eventually(async () => String(await endpointPorts()) === String(engines[1]!.port));
    expect(await status()).toBe(200);
    await removePod(admin, namespace, 'engine-1');
    await eventually(async () => (await endpointPorts()).length === 0);
    const reply = await chat({ port });
    expect([reply.status, reply.json]).toMatchObject([503, { error: { code: 'model_unavailable' } }]);
    expect(reply.headers['retry-after']).toBe('1');
  });
});
