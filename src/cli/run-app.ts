/** Runs an app until SIGINT or SIGTERM, then lets running exchanges finish. */
import type { App } from '../app.ts';

/**
 * Starts, waits for a signal, drains and stops. A second signal skips the draining. SIGHUP reads the configuration
 * again.
 *
 * @throws what `start` throws: nothing is left running then.
 */
export async function runApp(
  start: () => Promise<App>,
  onStarted: (app: App) => void = () => undefined,
): Promise<void> {
  const over = new AbortController();
  try {
    const first = nextSignal(over.signal);
    const app = await start();
    const reload = (): void => void app.reload();
    process.on('SIGHUP', reload);
    over.signal.addEventListener('abort', () => process.off('SIGHUP', reload));
    onStarted(app);
    await first;
    await Promise.race([app.drain(), nextSignal(over.signal)]);
    await app.stop();
  } finally {
    over.abort();
  }
}

/** Resolves at the next SIGINT or SIGTERM; from `over` on signals do again what they do by default. */
function nextSignal(over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const received = (): void => {
      ignore();
      resolve();
    };
    function ignore(): void {
      process.off('SIGINT', received);
      process.off('SIGTERM', received);
    }
    process.on('SIGINT', received);
    process.on('SIGTERM', received);
    over.addEventListener('abort', ignore);
  });
}
