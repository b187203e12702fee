/** Runs an app until SIGINT or SIGTERM, then lets running exchanges finish. */
import type { App } from '../app.ts';

/**
 * Starts, waits for a signal, drains and stops. A second signal skips the draining. SIGHUP reads the configuration
 * again. The signal that `start` gets is aborted once there is nothing to start for any more.
 *
 * @throws what `start` throws, but for the reason of that signal: nothing is left running then.
 */
export async function runApp(
  start: (signal: AbortSignal) => Promise<App>,
  onStarted: (app: App) => void = () => undefined,
): Promise<void> {
  const over = new AbortController();
  const ending = new AbortController();
  try {
    const first = nextSignal(over.signal).then(() => ending.abort());
    const app = await startUnless(ending.signal, start);
    if (app === undefined) return;
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

/** Timers wait for no longer than this. */
const longestMs = 2 ** 31 - 1;

/** Undefined where the start was given up. */
async function startUnless(
  signal: AbortSignal,
  start: (signal: AbortSignal) => Promise<App>,
): Promise<App | undefined> {
  // Whoever waits for something to try it again has nothing else that keeps the process running.
  const awake = setInterval(() => undefined, longestMs);
  try {
    return await start(signal);
  } catch (error) {
    if (signal.aborted && error === signal.reason) return undefined;
    throw error;
  } finally {
    clearInterval(awake);
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
