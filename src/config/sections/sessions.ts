/** The `sessions` section. */
import { z } from 'zod';
import { shown } from '../describe-issue.ts';

const headerName = z
  .string()
  .refine((name) => /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name), {
    error: ({ input }) => `${shown(input)} is not the name of a header`,
  })
  .transform((name) => name.toLowerCase());

/** How requests of one conversation are recognised. */
export const sessionsSection = z.strictObject({
  headers: z
    .array(headerName)
    .default([])
    .describe(
      'Request headers that name the session, in order: the first that is not empty does. Where all are, the body does: user, session_id, prompt_cache_key or metadata.user_id.',
    ),
});
