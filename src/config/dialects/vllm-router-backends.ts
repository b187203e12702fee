/** The two ways in which vllm-router's configuration lists engines. */
import { shown } from '../describe-issue.ts';
import { isMapping, type Written } from '../written.ts';
import type { ConfigPath, Finding } from './dialect.ts';
import { commaList, notAList, unknownFields } from './vllm-router-values.ts';

/** One way of listing engines in `static_backends` and `static_models`. */
export interface BackendForm {
  /** Whether `static_models` is a mapping. */
  readonly byModel: boolean;
  /** As `discovery.static.backends` lists them. What is refused may be left out. */
  read(backends: unknown, models: unknown): readonly Written[];
  check(backends: unknown, models: unknown): readonly Finding[];
  /** Where the file says what Sluice's own form says at `path` below `discovery.static`. */
  toFile(path: ConfigPath): ConfigPath;
}

/** Two lists that belong together item by item. Without the second, the engines are asked what they serve. */
export const backendLists: BackendForm = {
  byModel: false,
  read(backends, models) {
    const served = commaList(models);
    return (commaList(backends) ?? []).map((url, i) =>
      served === undefined || i >= served.length ? { url } : { url, models: [served[i]] },
    );
  },
  check(backends, models) {
    if (backends === undefined)
      return [{ path: ['static_backends'], message: 'is missing: name the URLs of the engines' }];
    const urls = commaList(backends);
    if (urls === undefined) return [notAList(['static_backends'], backends)];
    if (urls.length === 0) return [{ path: ['static_backends'], message: 'names no engine' }];
    if (models === undefined) return [];
    const served = commaList(models);
    if (served === undefined) return [notAList(['static_models'], models)];
    if (served.length === urls.length) return [];
    return [
      {
        path: ['static_models'],
        message:
          `${count(served.length, 'model')} for ${count(urls.length, 'backend')}: give one model per backend, in the ` +
          'same order, or leave the field out to ask the engines',
      },
    ];
  },
  toFile([backends, i, field]) {
    if (backends !== 'backends' || i === undefined) return ['static_backends'];
    return [field === 'models' ? 'static_models' : 'static_backends', i];
  },
};

/** A mapping from each model to its engines, below `static_models`. */
export const backendsByModel: BackendForm = {
  byModel: true,
  read(_backends, models) {
    /** An engine that is listed for several models is one engine. */
    const modelsOf = new Map<unknown, string[]>();
    for (const [model, entry] of modelEntries(models)) {
      for (const url of commaList(isMapping(entry) ? entry['static_backends'] : undefined) ?? [])
        modelsOf.set(url, [...(modelsOf.get(url) ?? []), model]);
    }
    return [...modelsOf].map(([url, served]) => ({ url, models: served }));
  },
  check(backends, models) {
    const faults: Finding[] = [];
    if (backends !== undefined) {
      const message =
        'stands beside static_models, which lists the backends of each model already: remove it';
      faults.push({ path: ['static_backends'], message });
    }
    const entries = modelEntries(models);
    if (entries.length === 0) faults.push({ path: ['static_models'], message: 'names no model' });
    for (const [model, entry] of entries) faults.push(...checkModel(['static_models', model], entry));
    return faults;
  },
  // Which model a backend was listed for is known no more; its URL is in the message.
  toFile: () => ['static_models'],
};

function modelEntries(models: unknown): [string, unknown][] {
  return isMapping(models) ? Object.entries(models) : [];
}

function checkModel(path: ConfigPath, entry: unknown): Finding[] {
  if (!isMapping(entry)) return [{ path, message: `${shown(entry)} is not a mapping with static_backends` }];
  const faults = unknownFields(path, entry, ['static_backends', 'static_model_type']);
  const backends = entry['static_backends'];
  const at = [...path, 'static_backends'];
  const urls = commaList(backends);
  if (backends === undefined) faults.push({ path: at, message: 'is missing' });
  else if (urls === undefined) faults.push(notAList(at, backends));
  else if (urls.length === 0) faults.push({ path: at, message: 'names no engine' });
  return faults;
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
