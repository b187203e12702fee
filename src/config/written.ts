/** A configuration as people write it: plain mappings, lists and scalars, not yet checked. */

/** In Sluice's own form; what is absent has its default. */
export type Written = Readonly<Record<string, unknown>>;

export function isMapping(value: unknown): value is Written {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value at a path; undefined where nothing is written. */
export function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let at = root;
  for (const step of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return undefined;
    at = Reflect.get(at, step);
  }
  return at;
}

/** Lays configurations over one another: mappings are merged, anything else of a later one replaces what is below. */
export function layered(...layers: readonly Written[]): Written {
  return layers.reduce((below, above) => {
    const merged: Record<string, unknown> = { ...below };
    for (const [key, value] of Object.entries(above)) {
      const under = Object.hasOwn(below, key) ? below[key] : undefined;
      Object.defineProperty(merged, key, {
        value: isMapping(under) && isMapping(value) ? layered(under, value) : value,
        enumerable: true,
        configurable: true,
        writable: true,
      });
    }
    return merged;
  });
}

/** A path for people: `plugins.Score.enabled[2].name`. */
export function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((step, i) => (typeof step === 'number' ? `[${step}]` : `${i === 0 ? '' : '.'}${String(step)}`))
    .join('');
}
