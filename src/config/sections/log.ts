/** The `log` section. */
import { z } from 'zod';

/** Sluice's own log. */
export const logSection = z.strictObject({
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('Least severe level that is logged.'),
  format: z
    .enum(['auto', 'json', 'pretty'])
    .default('auto')
    .describe('auto is pretty on a terminal and JSON elsewhere.'),
  access: z.boolean().default(true).describe('Whether each exchange is logged with one line.'),
});
