/** A folder as Kubernetes mounts a ConfigMap: one file for each key. */
import { readdirSync, statSync } from 'node:fs';
import { configKeys, configKeysText, listed, mistypedKey } from './config-keys.ts';
import { faultOfAll, refusal } from './mistake.ts';
import { unlessUnreadable } from './source-text.ts';

/** Whether there is a folder at the path. Throws where there is nothing. */
export function isFolder(path: string): boolean {
  return unlessUnreadable(path, () => statSync(path).isDirectory());
}

/** The key in the folder that holds the configuration. Throws ConfigError where it is none, or not clear which one. */
export function configKeyIn(folder: string): string {
  // Kubernetes keeps the files in a dot-folder, behind links, to swap all of them at once.
  const names = unlessUnreadable(folder, () => readdirSync(folder))
    .filter((name) => !name.startsWith('.'))
    .sort();
  const found = configKeys.filter((key) => names.includes(key));
  if (found.length === 1) return found[0]!;
  throw refusal(folder, [faultOfAll(folder, found.length === 0 ? missing(names) : surplus(found))]);
}

function missing(names: readonly string[]): string {
  const there = names.length === 0 ? 'is empty' : `holds ${listed(names.map(quoted))}`;
  return `${there}; needed is ${configKeysText}, or the path of a file in place of the folder's${mistypedKey(names)}`;
}

function surplus(keys: readonly string[]): string {
  return `holds more than one configuration, ${keys.map(quoted).join(' and ')}: keep one of them`;
}

function quoted(name: string): string {
  return `"${name}"`;
}
