/** The keys of a ConfigMap, and the file names in a mounted one, that hold a configuration. */
import { nearest } from '../../lib/nearest.ts';

export const configKeys: readonly string[] = [
  'routerConfiguration',
  'gatewayConfiguration',
  'schedulerConfiguration',
  'sluice.yaml',
];

/** The keys for a sentence. */
export const configKeysText = `${configKeys.slice(0, -1).join(', ')} or ${configKeys.at(-1)!}`;

/** `; is "routerConfig" meant to be "routerConfiguration"?` for the first name that is near, else nothing. */
export function mistypedKey(names: readonly string[]): string {
  for (const name of names) {
    const key = nearest(name, configKeys) ?? (name.length > 5 ? configKeys.find(isBegunBy(name)) : undefined);
    if (key !== undefined) return `; is "${name}" meant to be "${key}"?`;
  }
  return '';
}

/** Whether one of the two is cut short, or has an ending more, as in `routerConfiguration.yaml`. */
function isBegunBy(name: string): (key: string) => boolean {
  const wanted = name.toLowerCase();
  return (key) => key.toLowerCase().startsWith(wanted) || wanted.startsWith(key.toLowerCase());
}

/** Names for a sentence, not all of them where there are many. */
export function listed(names: readonly string[], most = 10): string {
  const more = names.length - most;
  return more > 0 ? `${names.slice(0, most).join(', ')} and ${more} more` : names.join(', ');
}
