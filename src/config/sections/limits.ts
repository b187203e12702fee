/** The `limits` section. */
import { z } from 'zod';
import { atStart } from '../restart.ts';
import { duration, size } from '../units.ts';

/** Bounds that protect Sluice itself. */
export const limitsSection = z
  .strictObject({
    maxBodyBytes: atStart(
      size()
        .default(16 * 1024 ** 2)
        .describe('Largest request body, in bytes; a larger one is answered 413.'),
    ),
    maxBodyDepth: z.int().min(1).max(10_000).default(128).describe('Deepest nesting of a JSON request body.'),
    drainTimeout: duration({ zero: true })
      .default(30_000)
      .describe('How long running exchanges may take to end after SIGTERM.'),
  })
  .transform(({ drainTimeout, ...rest }) => ({ ...rest, drainTimeoutMs: drainTimeout }));
