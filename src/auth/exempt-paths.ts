/** Paths that need no token. */

/**
 * Makes the test for a list of exact paths and prefixes that end in `/*`, which exempt the path before the slash too. A path that is not spelled plainly is never
 * exempt: an escape, a dot segment or an empty one could make it another path further on.
 */
export function createExemptPaths(exempt: readonly string[]): (path: string) => boolean {
  const exact = new Set(exempt.map((path) => (path.endsWith('/*') ? path.slice(0, -2) : path)));
  const prefixes = exempt.filter((path) => path.endsWith('/*')).map((path) => path.slice(0, -1));
  return (path) => exact.has(path) || (prefixes.some((prefix) => path.startsWith(prefix)) && isPlain(path));
}

function isPlain(path: string): boolean {
  return /^(\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+\/?$/.test(path);
}
