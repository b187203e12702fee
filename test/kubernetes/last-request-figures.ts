/**
 * Measures, with a real API server and the real Envoy under load, when a pod that is deleted gets its last request:
 * `node test/kubernetes/last-request-figures.ts` after `make envtest`.
 */
import { parseConfig } from '../../src/config/load.ts';
import { startSimulatedEngine } from '../../src/engine-sim/server.ts';
import { createLogger } from '../../src/observability/log.ts';
import { startRouter } from '../../src/router.ts';
import { chat } from '../support/chat.ts';
import { envoyBinary } from '../support/envoy.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { createAdmin } from './support/admin.ts';
import { startApiServer } from './support/api-server.ts';
import { container, createReadyPod, terminatePod } from './support/pods.ts';

const namespace = 'last-request';
const pods = 12;
const clients = 8;

const server = await startApiServer();
const admin = createAdmin(server);
await admin.namespace(namespace);
const engines = await Promise.all(
  Array.from({ length: pods }, () =>
    startSimulatedEngine({ model: 'm', speed: 50, requestLogSize: 100_000 }),
  ),
);
for (const [i, engine] of engines.entries())
  await createReadyPod(admin, namespace, `engine-${i}`, '127.0.0.1', {
    containers: [container('vllm', { http: engine.port })],
  });
const yaml = `
discovery: { kubernetes: { kubeconfig: ${await server.kubeconfig('admin')}, pods: [{ namespaces: [${namespace}], port: http }] } }
scheduler: { plugins: { Score: { enabled: [{ name: round-robin, weight: 1 }] } } }
admin: { port: 0 }
`;
const port = await freePort();
const app = await startRouter({
  loaded: parseConfig(yaml, 'figures.yaml'),
  listen: `127.0.0.1:${port}`,
  envoyBin: await envoyBinary(),
  log: createLogger({ level: 'silent', format: 'json' }),
});
await app.ready(AbortSignal.timeout(30_000));

let failed = 0;
let sent = 0;
let isLoaded = true;
const load = Promise.all(
  Array.from({ length: clients }, async () => {
    while (isLoaded) {
      sent++;
      if ((await chat({ port }).catch(() => undefined))?.status !== 200) failed++;
    }
  }),
);
const inference = (engine: (typeof engines)[number]) =>
  engine.requests().filter(({ path }) => path.startsWith('/v1/chat'));
await eventually(() => engines.every((engine) => inference(engine).length > 20), 60_000);

const lastMs: number[] = [];
for (const [i, engine] of engines.slice(1).entries()) {
  const deletedAtMs = Date.now();
  await terminatePod(admin, namespace, `engine-${i + 1}`);
  const others = engines[0]!;
  const before = inference(others).length;
  // Long after the last: the others have had many more by then.
  await eventually(() => inference(others).length > before + 50, 60_000);
  lastMs.push(Math.max(0, inference(engine).at(-1)!.atEpochMs - deletedAtMs));
}
isLoaded = false;
await load;
const sorted = lastMs.toSorted((a, b) => a - b);
console.log(
  `The last request to a pod, after its deletion was asked for: ${sorted.map(Math.round).join(', ')} ms`,
);
console.log(`${failed} of ${sent} requests failed`);

await app.stop();
await Promise.all(engines.map((engine) => engine.stop()));
await admin.close();
await server.stop();
