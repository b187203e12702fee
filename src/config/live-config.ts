/** The configuration in effect: the last good one. A new one replaces it whole, between two requests, or not at all. */
import type { Clock, Timer } from '../lib/clock.ts';
import { ConfigError, faultText } from './config-error.ts';
import type { LoadedConfig } from './load.ts';
import type { Written } from './written.ts';
import { atRunTime } from './restart.ts';
import { configSchema, type Config } from './schema.ts';

export interface LiveConfigDeps {
  /** What Sluice started with. */
  readonly initial: LoadedConfig;
  /** Reads the same source again. Throws ConfigError or Error where it cannot be used. */
  readonly load: () => LoadedConfig;
  /**
   * Makes everything ready for another configuration and returns the function that swaps it in, which must not fail.
   * Rejects where the configuration cannot be used: nothing has changed then.
   */
  readonly prepare: (config: Config) => Promise<() => void>;
  readonly clock: Clock;
  /** Told of each attempt. */
  readonly onReload: (result: ReloadResult) => void;
}

export type ReloadResult =
  | {
      readonly kind: 'applied';
      readonly loaded: LoadedConfig;
      /** Fields that were changed and only count after a restart. */
      readonly waiting: readonly string[];
    }
  | { readonly kind: 'refused'; readonly faults: readonly string[] };

/** The configuration in effect, checked, and as it is written: what waits for a restart is in neither. */
export type RunningConfig = Pick<LoadedConfig, 'config' | 'written'>;

/** For health pages. */
export interface ConfigStatus {
  readonly file: string | undefined;
  readonly form: string;
  /** What the file said then, in its own form. */
  readonly root: Written;
  /** When the configuration in effect was read, in milliseconds since the epoch. */
  readonly loadedAtMs: number;
  /** Why the newest content of the file is not in effect; empty where it is. */
  readonly refused: readonly string[];
  /** Fields whose new value waits for a restart. */
  readonly waiting: readonly string[];
  readonly warnings: readonly string[];
  readonly notes: readonly string[];
}

export interface LiveConfig {
  /** What is in effect. */
  readonly current: RunningConfig;
  status(): ConfigStatus;
  /** Reads the source again. Never rejects; attempts run one after another, and the last one sees the newest content. */
  reload(): Promise<void>;
  /** Nothing is applied any more, and no other attempt is waited for. */
  stop(): void;
}

/** From a configuration that could not be made ready to the next attempt. */
const retryMs = 30_000;

/** Begins with `initial`, which the caller has applied. */
export function createLiveConfig(deps: LiveConfigDeps): LiveConfig {
  const { initial, load, prepare, clock, onReload } = deps;
  /** What is in effect; fields that wait for a restart have their old value. */
  let running: RunningConfig = initial;
  let newest = initial;
  let loadedAtMs = clock.epochMs();
  let refused: readonly string[] = [];
  let waiting: readonly string[] = [];
  let attempt: Promise<void> = Promise.resolve();
  let queued = false;
  let retry: Timer | undefined;
  let stopped = false;

  async function tryReload(): Promise<void> {
    queued = false;
    retry?.cancel();
    try {
      const loaded = load();
      const next = atRunTime(configSchema, initial.written, loaded.written);
      // What was checked a moment ago is checked again only where it is another one.
      const config = next.waiting.length === 0 ? loaded.config : configSchema.parse(next.written);
      const commit = await prepared(config);
      if (stopped) return;
      commit();
      running = { config, written: next.written };
      newest = loaded;
      loadedAtMs = clock.epochMs();
      refused = [];
      waiting = next.waiting;
      onReload({ kind: 'applied', loaded, waiting });
    } catch (error) {
      refused = faultsOf(error);
      onReload({ kind: 'refused', faults: refused });
    }
  }

  /** Where something else is at fault, the same configuration may be fine later. */
  async function prepared(config: Config): Promise<() => void> {
    try {
      return await prepare(config);
    } catch (error) {
      if (!stopped) retry = clock.after(retryMs, () => void reload());
      throw error;
    }
  }

  async function reload(): Promise<void> {
    if (!queued) {
      queued = true;
      attempt = attempt.then(tryReload);
    }
    await attempt;
  }

  return {
    get current() {
      return running;
    },
    status: () => ({
      file: newest.file,
      form: newest.form,
      root: newest.root,
      loadedAtMs,
      refused,
      waiting,
      warnings: newest.warnings.map(faultText),
      notes: newest.notes,
    }),
    reload,
    stop() {
      stopped = true;
      retry?.cancel();
    },
  };
}

function faultsOf(error: unknown): readonly string[] {
  if (error instanceof ConfigError) return error.faults.map(faultText);
  return [error instanceof Error ? error.message : String(error)];
}
