/** The `routes` section. */
import { z } from 'zod';

const allowedPath = z
  .string()
  .refine(
    (path) => /^\/[^*?#\s]*$/.test(path.endsWith('/*') ? path.slice(0, -1) : path) && !hasDotSegment(path),
    {
      error: ({ input }) =>
        `${JSON.stringify(input)} is not a path to allow: write an absolute path, or a prefix that ends in "/*"`,
    },
  );

/** Which paths are forwarded. */
export const routesSection = z.strictObject({
  allow: z
    .array(allowedPath)
    .default([])
    .describe(
      'Paths beyond the inference APIs that are forwarded, to any endpoint: each an exact path, or a prefix that ends in "/*".',
    ),
});

function hasDotSegment(path: string): boolean {
  return path.split('/').some((segment) => segment === '.' || segment === '..') || path.includes('//');
}
