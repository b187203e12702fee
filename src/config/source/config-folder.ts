/** Which key of a ConfigMap holds the configuration, and which file of a folder as Kubernetes mounts one. */
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
  return configKeyAmong(names, folder, ", or the path of a file in place of the folder's");
}

/**
 * The key of these that holds the configuration; `holder` is what has them. Throws ConfigError where it is none, or not
 * clear which one.
 */
export function configKeyAmong(names: readonly string[], holder: string, otherwise = ''): string {
  const found = configKeys.filter((key) => names.includes(key));
  if (found.length === 1) return found[0]!;
  const message = found.length === 0 ? missing(names, otherwise) : surplus(found);
  throw refusal(holder, [faultOfAll(holder, message)]);
}

function missing(names: readonly string[], otherwise: string): string {
  const there = names.length === 0 ? 'is empty' : `holds ${listed(names.map(quoted))}`;
  return `${there}; needed is ${configKeysText}${otherwise}${mistypedKey(names)}`;
}

function surplus(keys: readonly string[]): string {
  return `holds more than one configuration, ${keys.map(quoted).join(' and ')}: keep one of them`;
}

function quoted(name: string): string {
  return `"${name}"`;
}
