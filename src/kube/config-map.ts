/** Follows one ConfigMap: the texts under its keys. */
import type { KubeObject } from './kube-object.ts';
import { createReflector, type ReflectorDeps, type ReflectorStatus } from './reflector.ts';

/** Key → text. */
export type ConfigMapTexts = Readonly<Record<string, string>>;

export interface ConfigMapOptions {
  readonly namespace: string;
  readonly name: string;
  /**
   * Called once what the API server has is known, and whenever it changed; undefined where there is no such ConfigMap.
   * Must not throw.
   */
  readonly onTexts: (texts: ConfigMapTexts | undefined) => void;
  /** Called when the problem begins, changes or ends; the last known texts stay. */
  readonly onProblem?: ((problem: string | undefined) => void) | undefined;
  readonly silenceTimeoutMs?: number | undefined;
}

export interface ConfigMapWatch {
  /** Never fails: whatever is wrong is tried again. */
  start(): void;
  stop(): void;
  /** What `onTexts` was told last, or a sentence about why there is nothing yet. */
  status(): ReflectorStatus;
}

interface ConfigMap extends KubeObject {
  readonly data?: ConfigMapTexts;
}

/** Creates the watch of a ConfigMap. Rights for this one name are enough: `list` and `watch` on `configmaps`. */
export function createConfigMapWatch(deps: ReflectorDeps, options: ConfigMapOptions): ConfigMapWatch {
  const { namespace, name, onTexts, onProblem, silenceTimeoutMs } = options;
  return createReflector<ConfigMap, ConfigMapTexts>(deps, {
    resource: { group: '', version: 'v1', plural: 'configmaps', namespace, name },
    project: ({ data = {} }) => data,
    onItems: (items) => onTexts(items.get(name)),
    onProblem,
    silenceTimeoutMs,
  });
}

/**
 * Reads `--config-map`: `namespace/name`, or a name in Sluice's own namespace.
 *
 * @throws Error where it is neither.
 */
export function parseConfigMapName(text: string, ownNamespace: string): { namespace: string; name: string } {
  const parts = text.split('/');
  const [namespace, name] = parts.length === 1 ? [ownNamespace, text] : parts;
  if (parts.length > 2 || !isName(namespace) || !isName(name)) {
    throw new Error(`Cannot use the ConfigMap "${text}": write it as namespace/name, e.g. inference/sluice`);
  }
  return { namespace, name };
}

function isName(text: string | undefined): text is string {
  return text !== undefined && /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(text);
}
