/** The `admin` section. */
import { z } from 'zod';

/** The admin server: health, metrics, debug pages. */
export const adminSection = z.strictObject({
  host: z.string().min(1).default('127.0.0.1').describe('Address of the admin server.'),
  port: z.int().min(0).max(65_535).default(9090).describe('Port of the admin server; 0 picks a free one.'),
});
