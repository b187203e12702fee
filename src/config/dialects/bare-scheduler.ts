/** Kthena's older form: the content of the `scheduler` section at the top of the file. */
import type { Dialect } from './dialect.ts';

/** `pluginConfig` and `plugins` without a section around them. */
export const bareScheduler: Dialect = {
  name: 'Kthena scheduler configuration',
  recognises: (root) => 'pluginConfig' in root || 'plugins' in root,
  toSluice: (root) => ({ scheduler: root }),
  toFile: (path) => (path[0] === 'scheduler' ? path.slice(1) : path),
};
