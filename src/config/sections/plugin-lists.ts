/** What is wrong with the lists of plugins as a whole, whatever else is wrong in the section. */
import { shown } from '../describe-issue.ts';
import type { ConfigPath } from '../dialects/dialect.ts';
import type { RelativeRepair } from '../lenient.ts';
import { isMapping, valueAt } from '../written.ts';
import { registry, typeOf } from './plugin-names.ts';

interface ListFault {
  /** From the section on. */
  readonly path: ConfigPath;
  readonly message: string;
  readonly repairs?: readonly RelativeRepair[];
}

/** One item that names something. */
interface Entry {
  readonly at: number;
  readonly name: string;
  /** Undefined where there is no such plugin here. */
  readonly type: string | undefined;
  readonly weight: unknown;
}

const enabledFilters = ['plugins', 'Filter', 'enabled'];
const enabledScorers = ['plugins', 'Score', 'enabled'];
const disabledScorers = ['plugins', 'Score', 'disabled'];

/** Looks at the section with its defaults, but otherwise as it is written: parts that are not valid are passed over. */
export function listFaults(section: unknown): ListFault[] {
  return [
    ...configuredTwice(entriesAt(section, ['pluginConfig'], undefined)),
    ...filterTwice(entriesAt(section, enabledFilters, 'filter')),
    ...scorerTwice(entriesAt(section, enabledScorers, 'scorer')),
    ...scorersInUse(section),
  ];
}

function configuredTwice(entries: readonly Entry[]): ListFault[] {
  return repeated(entries).map(({ at, type, before }) => ({
    path: ['pluginConfig', at, 'name'],
    message: `${shown(type)} is configured twice`,
    repairs: [{ up: 2, path: [before] }],
  }));
}

function filterTwice(entries: readonly Entry[]): ListFault[] {
  return repeated(entries).map(({ at, type }) => ({
    path: [...enabledFilters, at],
    message: `${shown(type)} is listed twice`,
    repairs: [{ up: 0 }],
  }));
}

function scorerTwice(entries: readonly Entry[]): ListFault[] {
  return repeated(entries).map(({ at, type, before }) => ({
    path: [...enabledScorers, at],
    message: `${shown(type)} is listed twice`,
    repairs: [{ up: 1, path: [before] }],
  }));
}

/** Faults of the scorers that are enabled and not disabled. */
function scorersInUse(section: unknown): ListFault[] {
  const items = valueAt(section, enabledScorers);
  if (!Array.isArray(items)) return [];
  const disabled = new Set(entriesAt(section, disabledScorers, 'scorer').map(({ type }) => type));
  const listed = entriesAt(section, enabledScorers, 'scorer');
  const used = listed.filter(({ type }) => type === undefined || !disabled.has(type));

  const faults = used
    .filter((entry) => isBesideOthers(entry, used))
    .map(({ at, type }): ListFault => ({
      path: [...enabledScorers, at, 'name'],
      message: `${shown(type)} must be the only scorer`,
      repairs: [{ up: 1 }],
    }));
  // An item without a valid name was meant to be a scorer, so what is left once it is right cannot be told.
  if (listed.length < items.length) return faults;
  if (used.length === 0) {
    faults.push({
      path: items.length === 0 ? enabledScorers : disabledScorers,
      message: 'leaves no scorer: enable at least one',
    });
  } else if (used.every(({ type, weight }) => type !== undefined && weight === 0)) {
    faults.push({
      path: enabledScorers,
      message: 'gives every scorer the weight 0, so none counts: give at least one of them more',
      // Kthena ranks by chance then.
      repairs: [
        { up: 0, value: [{ name: 'random', weight: 1 }] },
        { up: 1, path: ['disabled'], value: [] },
      ],
    });
  }
  return faults;
}

/** Others count even where there is no such plugin: in Kthena too, a mistyped one takes `random` out. */
function isBesideOthers({ type }: Entry, used: readonly Entry[]): boolean {
  if (type === undefined || registry.find('scorer', type)?.exclusive !== true) return false;
  return used.some((other) => other.type !== type);
}

/** Items whose plugin was named before, with where that was last. */
function repeated(entries: readonly Entry[]): (Entry & { readonly before: number })[] {
  return entries.flatMap((entry, i) => {
    const before = entries.slice(0, i).findLast(({ type }) => type !== undefined && type === entry.type);
    return before === undefined ? [] : [{ ...entry, before: before.at }];
  });
}

function entriesAt(section: unknown, path: ConfigPath, kind: 'filter' | 'scorer' | undefined): Entry[] {
  const items = valueAt(section, path);
  if (!Array.isArray(items)) return [];
  return items.flatMap((item: unknown, at) => {
    const name = isMapping(item) ? item['name'] : item;
    if (typeof name !== 'string') return [];
    return [{ at, name, type: typeOf(kind, name), weight: isMapping(item) ? item['weight'] : undefined }];
  });
}
