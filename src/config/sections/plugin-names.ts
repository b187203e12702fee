/** Names of plugins in the `scheduler` section, and what to say of those that name none. */
import { z } from 'zod';
import type { PluginDefinition } from '../../scheduling/plugin.ts';
import { createRegistry } from '../../scheduling/registry.ts';
import { didYouMean, shown } from '../describe-issue.ts';
import { withRepairs } from '../lenient.ts';

type Kind = PluginDefinition['kind'];

/** All plugins that can be named. */
export const registry = createRegistry();

/** Where plugins of a kind are listed. A picker is not. */
const listOf: Readonly<Partial<Record<Kind, string>>> = { filter: 'Filter', scorer: 'Score' };

/** Plugins of Kthena that have no counterpart of the same name. */
const absent: Readonly<Record<string, string>> = {
  'kvcache-aware':
    'there is no "kvcache-aware" here: it needs a side-car in each engine and Redis; "prefix-cache" comes nearest',
};

interface NameOptions {
  /** How far above the name the thing is that Kthena skips if it does not know the plugin. */
  readonly skips: number;
  /** Kthena runs what is named here, so it does not skip its own plugins. Default false. */
  readonly runs?: boolean;
}

/** A name of a plugin, of one kind or, without one, of any. */
export function pluginName(kind: Kind | undefined, { skips, runs = false }: NameOptions) {
  const isKnown = (name: string) =>
    kind === undefined ? registry.named(name).length > 0 : registry.find(kind, name) !== undefined;
  const name = z
    .string({ error: ({ input }) => notAName(input) })
    .refine(isKnown, { error: ({ input }) => noSuch(kind, String(input)) });
  return withRepairs(name, (input) => {
    // Kthena takes any scalar for a name, and does not know the one that it then has.
    const skipped = !(typeof input === 'object' && input !== null) && !(runs && isAbsent(input));
    return skipped ? [{ up: skips }] : undefined;
  });
}

/** What one name means: the type of its plugin; undefined where there is none. */
export function typeOf(kind: Kind | undefined, name: string): string | undefined {
  return (kind === undefined ? registry.named(name)[0] : registry.find(kind, name))?.type;
}

function notAName(input: unknown): string {
  return input === undefined ? 'is missing' : `${shown(input)} is not a name of a plugin`;
}

function noSuch(kind: Kind | undefined, name: string): string {
  if (Object.hasOwn(absent, name)) return absent[name]!;
  const other = registry.named(name)[0];
  if (other !== undefined) {
    const list = listOf[other.kind];
    const where = list === undefined ? 'it is in use without being listed' : `list it under plugins.${list}`;
    return `${shown(name)} is a ${other.kind}, not a ${kind ?? 'plugin'}: ${where}`;
  }
  const names = registry.names(kind);
  const hint = didYouMean(name, names);
  return `there is no ${kind ?? 'plugin'} ${shown(name)}${hint === '' ? `; there are ${names.join(', ')}` : hint}`;
}

function isAbsent(name: unknown): boolean {
  return typeof name === 'string' && Object.hasOwn(absent, name);
}
