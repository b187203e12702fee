/** `sluice router` in a process of its own that says, when asked, how much heap is left after a garbage collection. */
import { createLogger } from '../../src/observability/log.ts';
import { startRouter } from '../../src/router.ts';
import { testConfig } from './configuration.ts';

/** What the process tells its parent. */
export type Report =
  | { readonly kind: 'ready'; readonly adminUrl: string }
  /** Bytes of living objects. */
  | { readonly kind: 'heap'; readonly heapUsed: number };

const [listen = '', backends = '', envoyBin = ''] = process.argv.slice(2);
const app = await startRouter({
  loaded: testConfig(backends.split(','), 'usage: { accessLogTimeout: 500ms }'),
  listen,
  envoyBin,
  log: createLogger({ level: 'info', format: 'json', destination: { write: () => undefined } }),
});
await app.ready(AbortSignal.timeout(10_000));
report({ kind: 'ready', adminUrl: app.adminUrl });

process.on('message', (wish) => {
  if (wish === 'stop') {
    void app.stop().then(() => process.disconnect());
    return;
  }
  void reportHeap();
});

/** Twice, with a turn of the event loop between: what finalizers let go of is only then garbage. */
async function reportHeap(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) {
    global.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  report({ kind: 'heap', heapUsed: process.memoryUsage().heapUsed });
}

function report(what: Report): void {
  process.send?.(what);
}
