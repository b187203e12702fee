/** From a path to the one mapping that configures Sluice, out of files, folders, documents and manifests. */
import path from 'node:path';
import type { ConfigPath } from '../dialects/dialect.ts';
import { configKeyAmong, configKeyIn, isFolder } from './config-folder.ts';
import { refusal } from './mistake.ts';
import type { Position } from './placed-text.ts';
import { skippedText, sourceFaults } from './source-faults.ts';
import { readSource } from './source-reading.ts';
import { checkSourceSize, readSourceText } from './source-text.ts';
import { locate } from './value-tree.ts';

/** What was found: one mapping, and where each of its values is written. */
export interface ConfigSource {
  /** What holds the mapping, for people: `key routerConfiguration of ConfigMap "x"`; empty where it is the file itself. */
  readonly form: string;
  /** The file that holds the mapping; in a folder, the file of the key. */
  readonly file: string;
  /** The mapping; `{}` for an empty document. Aliases make parts of it the same object. */
  readonly root: Readonly<Record<string, unknown>>;
  /** Kubernetes objects beside it that configure nothing here: `Deployment "x" (line 12)`. */
  readonly skipped: readonly string[];
  /**
   * Where the value at the path is written in `file`, or the closest thing around it that is; with `key`, where that key
   * of the mapping at the path is. In a text without lines of its own (quoted, folded, JSON), where the text begins.
   */
  position(path: ConfigPath, key?: string): Position;
}

/**
 * Reads a file, or a folder as Kubernetes mounts a ConfigMap.
 *
 * @throws ConfigError for what is in it, all of it; Error where there is nothing to read.
 */
export function readConfigSource(source: string): ConfigSource {
  if (!isFolder(source)) return parseConfigSource(readSourceText(source), source);
  const key = configKeyIn(source);
  const file = path.join(source, key);
  const found = parseConfigSource(readSourceText(file), file);
  return found.form === '' ? { ...found, form: `key ${key} of folder "${source}"` } : found;
}

/** The same for the texts of a ConfigMap by their keys; `name` is what faults call it. Throws ConfigError. */
export function parseConfigKeys(texts: Readonly<Record<string, string>>, name: string): ConfigSource {
  const key = configKeyAmong(Object.keys(texts), name);
  const found = parseConfigSource(texts[key] ?? '', `${name}/${key}`);
  return found.form === '' ? { ...found, form: `key ${key} of ${name}` } : found;
}

/** The same for a text; `file` is what faults call it. Throws ConfigError. */
export function parseConfigSource(text: string, file: string): ConfigSource {
  const original = text.startsWith('\uFEFF') ? text.slice(1) : text;
  checkSourceSize(original, file);
  const reading = readSource(original);
  const faults = sourceFaults(reading, file);
  if (faults.length > 0) throw refusal(file, faults);

  const { whole, contents } = reading;
  const [found] = reading.candidates;
  if (found === undefined)
    return { form: '', file, root: {}, skipped: [], position: () => whole.positionAt(0) };
  const { held, inner } = found;
  const { tree } = inner;
  return {
    form: held.form,
    file,
    root: tree?.value ?? {},
    skipped: contents.flatMap(({ skipped }) => skipped).map((one) => skippedText(one, whole)),
    position: (path, key) =>
      tree === undefined ? whole.positionAt(held.tree.start) : inner.text.positionAt(locate(tree, path, key)),
  };
}
