/** Runs an app until SIGINT or SIGTERM, then lets running exchanges finish. */
import type { App } from '../app.ts';

/**
 * Starts, waits for a signal, drains and stops. A second signal skips the draining.
 * @throws what `start` throws: nothing is left running then.
 */
export async function runApp(
  start: () => Promise<App>,
  onStarted: (app: App) => void = () => undefined,
): Promise<void> {
  const first = nextSignal();
  const app = await start();
  onStarted(app);
  await first;
  await Promise.race([app.drain(), nextSignal()]);
  await app.stop();
}

function nextSignal(): Promise<void> {
  return new Promise((resolve) => {
    const received = (): void => {
      process.off('SIGINT', received);
      process.off('SIGTERM', received);
      resolve();
    };
    process.on('SIGINT', received);
    process.on('SIGTERM', received);
  });
}
