/** The `log` section. */
import { z } from 'zod';
import { atStart } from '../restart.ts';

/** Sluice's own log. */
export const logSection = z.strictObject({
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('Least severe level that is logged.'),
  format: atStart(
    z
      .enum(['auto', 'json', 'pretty'])
      .default('auto')
      .describe('auto is pretty on a terminal and JSON elsewhere.'),
  ),
  output: atStart(
    z
      .string()
      .min(1)
      .default('stdout')
      .describe('Where the log goes: stdout, stderr, or the path of a file, which is appended to.'),
  ),
  access: z.boolean().default(true).describe('Whether each exchange is logged with one line.'),
  subjects: z
    .enum(['hashed', 'plain', 'none'])
    .default('hashed')
    .describe(
      'How callers appear in the log: by a word that stands for them, by their subject, or not at all.',
    ),
  subjectSecret: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Key of the hash: several Sluices with the same one write the same words. Default: a new one at every start.',
    ),
});
