/** Where in a YAML file a field is. */
import { isAlias, isMap, isNode, isScalar, isSeq } from 'yaml';
import type { Document, LineCounter } from 'yaml';
import type { ConfigPath } from './dialects/dialect.ts';

export interface Position {
  /** Counted from 1. */
  readonly line: number;
  /** Counted from 1. */
  readonly column: number;
}

/**
 * Finds the value at a path, or the closest thing around it that is written down. With `key`, the key of that name
 * in the mapping at the path.
 */
export function positionOf(document: Document, lines: LineCounter, path: ConfigPath, key?: string): Position {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [i, step] of (key === undefined ? path : [...path, key]).entries()) {
    const isKey = key !== undefined && i === path.length;
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find((item) => keyText(item.key) === String(step));
      if (pair === undefined) break;
      offset = (isKey ? undefined : startOf(pair.value)) ?? startOf(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(step)];
      offset = startOf(node) ?? offset;
    } else break;
  }
  const { line, col } = lines.linePos(offset);
  return { line, column: col };
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}

function keyText(key: unknown): string {
  return isScalar(key) ? String(key.value) : String(key);
}
