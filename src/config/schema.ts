/** The whole configuration form: one file per section. */
import { z } from 'zod';
import { adminSection } from './sections/admin.ts';
import { discoverySection } from './sections/discovery.ts';
import { envoySection } from './sections/envoy.ts';
import { limitsSection } from './sections/limits.ts';
import { logSection } from './sections/log.ts';
import { routesSection } from './sections/routes.ts';
import { schedulerSection } from './sections/scheduler.ts';
import { scrapeSection } from './sections/scrape.ts';
import { usageSection } from './sections/usage.ts';

/** The whole configuration: what is written, with defaults where it is not. */
export const configSchema = z.strictObject({
  scheduler: schedulerSection.prefault({}).describe('How endpoints are chosen.'),
  limits: limitsSection.prefault({}).describe('Bounds that protect Sluice itself.'),
  routes: routesSection.prefault({}).describe('Which paths are forwarded.'),
  usage: usageSection.prefault({}).describe('How token counts and outcomes are learned.'),
  discovery: discoverySection.prefault({}).describe('Where the endpoints come from.'),
  scrape: scrapeSection.prefault({}).describe('How endpoints are watched.'),
  envoy: envoySection.prefault({}).describe('The Envoy that Sluice configures.'),
  admin: adminSection.prefault({}).describe('The admin server: health, metrics, debug pages.'),
  log: logSection.prefault({}).describe("Sluice's own log."),
});

/** What `loadConfig` returns: durations in milliseconds, sizes in bytes, the scheduler section as a profile. */
export type Config = z.output<typeof configSchema>;
