/** What a text says, read in the plainest way: without positions, without judgement, and with none of the loader's code. */
import { parseAllDocuments } from 'yaml';
import { isMapping } from '../../../src/config/written.ts';

const configKeys = ['routerConfiguration', 'gatewayConfiguration', 'schedulerConfiguration', 'sluice.yaml'];

/** The values that configure Sluice; for a text without faults and Helm templates it is one, or none where it is empty. */
export function plainReading(text: string): readonly unknown[] {
  return documentsOf(text.replace(/^\uFEFF/, '')).flatMap(configurationsIn);
}

function configurationsIn(value: unknown): readonly unknown[] {
  if (!isMapping(value) || !('kind' in value || 'apiVersion' in value)) return [value];
  const { kind, items, data, spec } = value;
  if (kind === 'List' && Array.isArray(items)) return items.flatMap(configurationsIn);
  if (kind === 'StaticRoute') return [spec];
  if (kind !== 'ConfigMap' || !isMapping(data)) return [];
  const texts = configKeys.filter((key) => Object.hasOwn(data, key)).map((key) => data[key]);
  // One without anything in it is one too.
  return texts.map((held) => documentsOf(String(held))[0] ?? {});
}

function documentsOf(text: string): unknown[] {
  return parseAllDocuments(text, { merge: true, uniqueKeys: false, logLevel: 'silent' })
    .map((document) => document.toJS({ maxAliasCount: -1 }) as unknown)
    .filter((value) => value !== null);
}
