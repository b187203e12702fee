/** The `routes` section. */
import { z } from 'zod';
import { canonicalPath } from '../../lib/canonical-path.ts';
import { shown } from '../describe-issue.ts';

const allowedPath = z.string().refine((path) => faultOf(path) === undefined, {
  error: ({ input }) => faultOf(String(input)),
});

/** Which paths are forwarded. */
export const routesSection = z.strictObject({
  allow: z
    .array(allowedPath)
    .default([])
    .describe(
      'Paths beyond the inference APIs that are forwarded, to any endpoint: each an exact path, or a prefix that ends in "/*".',
    ),
  metrics: z
    .boolean()
    .default(false)
    .describe('Whether `/metrics` is answered where clients connect, as the admin port does.'),
});

/** Requests are compared in their canonical spelling: what is written otherwise would never match. */
function faultOf(written: string): string | undefined {
  const wildcard = written.endsWith('/*') ? '/*' : '';
  const path = wildcard === '' ? written : written.slice(0, -2) || '/';
  const canonical = /[*?#\s]/.test(path) ? undefined : canonicalPath(path);
  if (canonical === undefined)
    return `${shown(written)} is not a path to allow: write an absolute path, or a prefix that ends in "/*"`;
  if (canonical === path) return undefined;
  return `${shown(written)} would never match: write ${shown(canonical.replace(/\/$/, '') + wildcard || '/')}`;
}
