/** Notices that a configuration file or folder says something else than before. */
import { readdirSync, readFileSync, statSync, watch, type FSWatcher } from 'node:fs';
import path from 'node:path';
import type { Clock, Timer } from '../lib/clock.ts';

export interface WatchSourceDeps {
  readonly clock: Clock;
  /** Called when the content is another one; not for a touched file. */
  readonly onChange: () => void;
}

export interface WatchSourceOptions {
  /** Looks again this often even if nothing was reported: network file systems report nothing. Default 10 000. */
  readonly pollMs?: number;
  /** Silence to wait for after a report: editors and volume swaps take several steps. Default 100. */
  readonly settleMs?: number;
}

export interface SourceWatch {
  stop(): void;
}

/** Changes that follow one another closer than `settleMs` are looked at after this time at the latest. */
const maxSettleMs = 1000;

/**
 * Watches a file or folder until it is stopped. The folder is watched, not the file: Kubernetes updates a mounted
 * ConfigMap by swapping the `..data` link beside it, and editors put a new file in place of the old one; a watch on the
 * file itself goes deaf then.
 */
export function watchSource(
  source: string,
  { clock, onChange }: WatchSourceDeps,
  { pollMs = 10_000, settleMs = 100 }: WatchSourceOptions = {},
): SourceWatch {
  const name = path.basename(source);
  let seen = contentOf(source);
  let watcher: FSWatcher | undefined;
  let settling: Timer | undefined;
  let polling: Timer | undefined;
  /** When the first report came that was not followed up yet. */
  let reportedAtMs: number | undefined;

  function look(): void {
    reportedAtMs = undefined;
    const content = contentOf(source);
    if (content === seen) return;
    seen = content;
    onChange();
  }

  /** Waits for silence, but not for ever. */
  function reported(): void {
    reportedAtMs ??= clock.nowMs();
    settling?.cancel();
    settling = clock.after(Math.max(0, Math.min(settleMs, reportedAtMs + maxSettleMs - clock.nowMs())), look);
  }

  function listen(): void {
    try {
      const ofFolder = isFolder(source);
      watcher = watch(ofFolder ? source : path.dirname(source), { persistent: false }, (_, changed) => {
        // A log file beside the configuration may change all the time; `..data` is what is swapped.
        if (ofFolder || changed === null || changed === name || changed.startsWith('..')) reported();
      });
      watcher.on('error', deaf);
    } catch {
      // No such folder, or no watches left: polling goes on, and tries to listen again.
      watcher = undefined;
    }
  }

  function deaf(): void {
    watcher?.close();
    watcher = undefined;
  }

  function poll(): void {
    if (watcher === undefined) listen();
    look();
    polling = clock.after(pollMs, poll);
  }

  listen();
  polling = clock.after(pollMs, poll);
  return {
    stop() {
      deaf();
      settling?.cancel();
      polling?.cancel();
    },
  };
}

function isFolder(source: string): boolean {
  return statSync(source, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** What there is to read, as one text that differs where anything in it differs. */
function contentOf(source: string): string {
  try {
    if (!isFolder(source)) return readFileSync(source, 'latin1');
    return readdirSync(source)
      .filter((name) => !name.startsWith('.'))
      .map((name) => `${name}\n${contentOf(path.join(source, name))}`)
      .join('\n');
  } catch (error) {
    return `cannot be read: ${(error as NodeJS.ErrnoException).code ?? ''}`;
  }
}
