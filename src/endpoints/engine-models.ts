/** Reads an engine's answer to `GET /v1/models`. */
import type { ServedModel } from './endpoint.ts';

/** The models and LoRA adapters in the answer; undefined where it is not a list of models at all. */
export function parseModels(body: Buffer): readonly ServedModel[] | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
  if (!isRecord(answer) || !Array.isArray(answer['data'])) return undefined;
  const entries: readonly unknown[] = answer['data'];
  return entries.flatMap((entry) => {
    if (!isRecord(entry) || typeof entry['id'] !== 'string' || entry['id'] === '') return [];
    const parent = entry['parent'];
    const maxModelLen = entry['max_model_len'];
    return {
      id: entry['id'],
      parent: typeof parent === 'string' ? parent : undefined,
      maxModelLen: typeof maxModelLen === 'number' ? maxModelLen : undefined,
    };
  });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
