/** The configuration that a ConfigMap holds, and what becomes of it while Sluice runs. */
import { isDeepStrictEqual } from 'node:util';
import type { Environment, LoadedConfig } from '../config/load.ts';
import { createConfigMapWatch, parseConfigMapName, type ConfigMapTexts } from '../kube/config-map.ts';
import { findCredentials } from '../kube/credentials.ts';
import { createKubeClient } from '../kube/kube-client.ts';
import { systemClock as clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';

/** A ConfigMap that the API server can be asked for. */
export interface ConfigMapSource {
  /** `ConfigMap inference/sluice`. */
  readonly name: string;
  /** Follows it until the result is called. Never fails: what is wrong is told as a problem, and tried again. */
  follow(told: ConfigMapListener): () => void;
}

export interface ConfigMapListener {
  /** Once what the API server has is known, and whenever it changed; undefined where there is no such ConfigMap. */
  readonly onTexts: (texts: ConfigMapTexts | undefined) => void;
  /** When the problem begins, changes or ends. */
  readonly onProblem: (problem: string | undefined) => void;
}

type SomeLog = Pick<Logger, 'info' | 'warn'>;

export interface ConfigMapReading {
  /** Parses what the ConfigMap holds. Throws ConfigError. */
  readonly load: (texts: ConfigMapTexts, refuseEmpty: boolean) => LoadedConfig;
  /** For the time before there is a configuration. */
  readonly log: SomeLog;
  /** For the time after. */
  readonly createLog: (loaded: LoadedConfig) => Logger;
}

/** What an app takes to start from a ConfigMap and to follow it. */
export interface ConfigMapOptions {
  readonly loaded: LoadedConfig;
  readonly reload: () => LoadedConfig;
  readonly watch: (onChange: () => void) => () => void;
  readonly log: Logger;
}

/**
 * The ConfigMap `namespace/name`, or a name in Sluice's own namespace, of the API server that a pod, or a kubeconfig,
 * has. Throws an Error where there is none, or no such name can be.
 */
export async function findConfigMap(name: string, env: Environment): Promise<ConfigMapSource> {
  const credentials = await findCredentials({ env });
  const wanted = parseConfigMapName(name, credentials.namespace);
  return {
    name: `ConfigMap ${wanted.namespace}/${wanted.name}`,
    follow(told) {
      const client = createKubeClient({ credentials, userAgent: 'sluice' });
      const watch = createConfigMapWatch({ client, clock, random: Math.random }, { ...wanted, ...told });
      watch.start();
      return () => {
        watch.stop();
        void client.close();
      };
    },
  };
}

/**
 * Reads the configuration for the first time: waits for the API server for as long as it takes, and says so in the log.
 *
 * @throws Error where there is no such ConfigMap; ConfigError where it holds no configuration that can be used; what
 * aborts the signal.
 */
export async function readConfigMap(
  source: ConfigMapSource,
  { load, log, createLog }: ConfigMapReading,
  signal: AbortSignal,
): Promise<ConfigMapOptions> {
  const first = await firstTexts(source, log, signal);
  if (first === undefined) {
    throw new Error(
      `Cannot read the configuration from "${source.name}": there is none of this name; create it with the ` +
        'configuration under the key sluice.yaml',
    );
  }
  const loaded = load(first, false);
  const laterLog = createLog(loaded);
  /** The newest that there is; undefined once it was deleted. */
  let texts: ConfigMapTexts | undefined = first;
  return {
    loaded,
    log: laterLog,
    reload() {
      if (texts === undefined)
        throw new Error(`"${source.name}" was deleted: create it again with a configuration in it`);
      return load(texts, true);
    },
    watch: (onChange) =>
      source.follow({
        onTexts(next) {
          if (isDeepStrictEqual(next, texts)) return;
          texts = next;
          onChange();
        },
        onProblem: problemLog(source, laterLog),
      }),
  };
}

async function firstTexts(
  source: ConfigMapSource,
  log: SomeLog,
  signal: AbortSignal,
): Promise<ConfigMapTexts | undefined> {
  signal.throwIfAborted();
  log.info({ source: source.name }, `Reading the configuration from ${source.name}`);
  const { promise, resolve, reject } = Promise.withResolvers<ConfigMapTexts | undefined>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort);
  const stop = source.follow({
    onTexts: resolve,
    onProblem(problem) {
      if (problem !== undefined)
        log.warn({ source: source.name, problem }, `Waiting for ${source.name}: ${problem}`);
    },
  });
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
    stop();
  }
}

/** Warns once for each time that changes would not be seen, whatever comes to light meanwhile. */
function problemLog({ name: source }: ConfigMapSource, log: SomeLog): (problem: string | undefined) => void {
  let known: string | undefined;
  return (problem) => {
    if (problem === undefined) log.info({ source }, `${source} can be read again`);
    else if (known === undefined)
      log.warn({ source, problem }, `The configuration stays as it is, ${source} cannot be read: ${problem}`);
    else log.info({ source, problem }, `${source} still cannot be read: ${problem}`);
    known = problem;
  };
}
