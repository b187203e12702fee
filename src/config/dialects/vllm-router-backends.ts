/** The two ways in which vllm-router's configuration lists engines. */
import { shown } from '../describe-issue.ts';
import { isMapping, type Written } from '../written.ts';
import type { ConfigPath, Finding } from './dialect.ts';
import { commaList, notAList, stated, unknownFields, type ReadField } from './vllm-router-values.ts';

/** One way of listing engines in `static_backends`, `static_models` and `static_model_types`. */
export interface BackendForm {
  /** Whether `static_models` is a mapping. */
  readonly byModel: boolean;
  /** As `discovery.static.backends` lists them. What is refused may be left out. */
  read(value: ReadField): readonly Written[];
  check(value: ReadField): readonly Finding[];
  /** Where the file says what Sluice's own form says at `path` below `discovery.static`. */
  toFile(path: ConfigPath): ConfigPath;
}

/** What an engine of vllm-router's is asked for: one model, of one type. */
interface Listed {
  readonly url: unknown;
  readonly model: unknown;
  readonly type: unknown;
}

/**
 * Lists that belong together item by item. Without models, the engines are asked what they serve. An engine that is
 * listed again for another model is one engine that serves both.
 */
export const backendLists: BackendForm = {
  byModel: false,
  read(value) {
    const models = commaList(value('static_models'));
    const types = commaList(value('static_model_types'));
    const listed = (commaList(value('static_backends')) ?? []).map((url, i) => ({
      url,
      model: models?.[i],
      type: types?.[i],
    }));
    return oneForEachEngine(listed);
  },
  check(value) {
    const backends = value('static_backends');
    if (backends === undefined)
      return [{ path: ['static_backends'], message: 'is missing: name the URLs of the engines' }];
    const urls = commaList(backends);
    if (urls === undefined) return [notAList(['static_backends'], backends)];
    if (urls.length === 0) return [{ path: ['static_backends'], message: 'names no engine' }];
    return [
      ...lengthFaults(value, 'static_models', 'model', urls.length, 'leave it out to ask the engines'),
      ...lengthFaults(value, 'static_model_types', 'type', urls.length, 'leave it out'),
    ];
  },
  toFile([backends, i, field]) {
    if (backends !== 'backends' || i === undefined) return ['static_backends'];
    switch (field) {
      case 'models':
        return ['static_models', i];
      case 'type':
        return ['static_model_types', i];
      default:
        return ['static_backends', i];
    }
  },
};

/** A mapping from each model to its engines, below `static_models`. */
export const backendsByModel: BackendForm = {
  byModel: true,
  read(value) {
    const listed = modelEntries(value('static_models')).flatMap(([model, entry]) => {
      const { static_backends: backends, static_model_type: type } = isMapping(entry) ? entry : {};
      return (commaList(backends) ?? []).map((url): Listed => ({ url, model, type: type ?? undefined }));
    });
    return oneForEachEngine(listed);
  },
  check(value) {
    const faults = ['static_backends', 'static_model_types']
      .filter((field) => value(field) !== undefined)
      .map((field): Finding => {
        const what = field === 'static_backends' ? 'lists the backends' : 'says the type';
        const message = `stands beside static_models, which ${what} of each model already: remove it`;
        return { path: [field], message };
      });
    const entries = modelEntries(value('static_models'));
    if (entries.length === 0) faults.push({ path: ['static_models'], message: 'names no model' });
    for (const [model, entry] of entries) faults.push(...checkModel(['static_models', model], entry));
    return faults;
  },
  // Which model a backend was listed for is known no more; its URL is in the message.
  toFile: () => ['static_models'],
};

function oneForEachEngine(listed: readonly Listed[]): readonly Written[] {
  const engines: { url: unknown; models: unknown[]; type: unknown }[] = [];
  for (const { url, model, type } of listed) {
    const known = engines.find((engine) => engine.url === url);
    // The same model twice is a mistake: it is left to be told of.
    if (known !== undefined && model !== undefined && !known.models.includes(model)) known.models.push(model);
    else engines.push({ url, models: model === undefined ? [] : [model], type });
  }
  return engines.map(({ url, models, type }) =>
    stated({ url, models: models.length === 0 ? undefined : models, type }),
  );
}

function lengthFaults(
  value: ReadField,
  field: string,
  noun: string,
  backends: number,
  otherwise: string,
): Finding[] {
  const written = value(field);
  if (written === undefined) return [];
  const items = commaList(written);
  if (items === undefined) return [notAList([field], written)];
  if (items.length === backends) return [];
  const counts = `${count(items.length, noun)} for ${count(backends, 'backend')}`;
  const message = `${counts}: give one ${noun} per backend, in the same order, or ${otherwise}`;
  return [{ path: [field], message }];
}

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
