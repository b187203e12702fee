/** Sluice's own form. Kthena's router configuration is a part of it: a file with a `scheduler` section only. */
import type { Dialect } from './dialect.ts';

/** Taken as it is. */
export const sluice: Dialect = {
  name: 'Sluice configuration',
  recognises: () => true,
  toSluice: (root) => root,
  toFile: (path) => path,
};
