/** The `sessions` section. */
import { z } from 'zod';
import { headerName } from './header-name.ts';

/** How requests of one conversation are recognised. */
export const sessionsSection = z.strictObject({
  headers: z
    .array(headerName)
    .default([])
    .describe(
      'Request headers that name the session, in order: the first that is not empty does, before any field of the body.',
    ),
  fields: z
    .array(z.string().min(1).max(128))
    .default(['user', 'session_id', 'prompt_cache_key', 'metadata.user_id'])
    .describe(
      'Fields of a JSON body that name it, in order: the first that is a number or a text that is not empty does. Fields of the top level, and `metadata.user_id`.',
    ),
});
