/** Ends an Envoy whose Sluice was killed. Envoy itself does not notice that its parent is gone. */
import { spawn } from 'node:child_process';

/**
 * Waits for the end of its input, which is our end whatever the reason, then kills and cleans up. Waiting and killing are
 * the shell's own: with a PATH that has no `cat` it would not wait.
 */
const script = 'while read -r _; do :; done; kill -KILL "$0"; PATH="$PATH:/usr/bin:/bin" rm -rf "$1"';

/**
 * Starts a shell that outlives us for a moment: it kills the process and removes the folder when this process ends
 * without having called the result.
 *
 * @returns what releases the process from being guarded; call it when the process has ended.
 */
export function guardAgainstOrphan(pid: number, folder: string): () => void {
  // A process group of its own, so that Ctrl-C at the terminal does not end it before its time.
  const guard = spawn('/bin/sh', ['-c', script, String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  // Without a shell there is no guard, and Envoy runs all the same.
  guard.once('error', () => undefined);
  guard.unref();
  return () => guard.kill('SIGKILL');
}
