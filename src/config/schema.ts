/** The whole configuration form: one file per section. */
import { z } from 'zod';
import { atStart, wholeAtStart } from './restart.ts';
import { adminSection } from './sections/admin.ts';
import { authSection } from './sections/auth.ts';
import { corsSection } from './sections/cors.ts';
import { discoverySection } from './sections/discovery.ts';
import { envoySection } from './sections/envoy.ts';
import { fairnessSection } from './sections/fairness.ts';
import { limitsSection } from './sections/limits.ts';
import { logSection } from './sections/log.ts';
import { modelsSection } from './sections/models.ts';
import { twoOrders } from './sections/queueing.ts';
import { routesSection } from './sections/routes.ts';
import { schedulerSection } from './sections/scheduler.ts';
import { scrapeSection } from './sections/scrape.ts';
import { sessionBoostSection } from './sections/session-boost.ts';
import { sessionsSection } from './sections/sessions.ts';
import { statsSection } from './sections/stats.ts';
import { usageSection } from './sections/usage.ts';

/** The whole configuration: what is written, with defaults where it is not. */
export const configSchema = z
  .strictObject({
    scheduler: schedulerSection.prefault({}).describe('How endpoints are chosen.'),
    auth: authSection
      .prefault({})
      .describe('Who may call. Without an issuer everybody may, and needs no token.'),
    cors: corsSection.prefault({}).describe('Which web pages may call.'),
    fairness: fairnessSection
      .prefault({})
      .describe('Turns between callers: whose request goes next while engines are full.'),
    sessionBoost: sessionBoostSection
      .prefault({})
      .describe(
        'Turns between sessions, as in Kthena, in place of those between callers. `fairness.maxQueued` and `fairness.agingAfter` hold for them too.',
      ),
    limits: limitsSection
      .prefault({})
      .describe('Bounds that protect Sluice itself, and limits of what callers may use.'),
    routes: routesSection.prefault({}).describe('Which paths are forwarded.'),
    models: modelsSection.prefault({}).describe('Names that stand for models.'),
    sessions: sessionsSection.prefault({}).describe('How requests of one conversation are recognised.'),
    usage: usageSection.prefault({}).describe('How token counts and outcomes are learned.'),
    stats: statsSection
      .prefault({})
      .describe('What is counted of requests to each endpoint, and where it is shown.'),
    discovery: wholeAtStart(discoverySection.prefault({}).describe('Where the endpoints come from.'), 'type'),
    scrape: scrapeSection.prefault({}).describe('How endpoints are watched.'),
    envoy: atStart(envoySection.prefault({}).describe('The Envoy that Sluice configures.')),
    admin: atStart(adminSection.prefault({}).describe('The admin server: health, metrics, debug pages.')),
    log: logSection.prefault({}).describe("Sluice's own log."),
  })
  // Even where a section has faults: all are to be told at once.
  .superRefine(
    (config, context) => {
      const message = twoOrders(config);
      if (message !== undefined)
        context.addIssue({ code: 'custom', path: ['sessionBoost', 'enabled'], message });
    },
    { when: () => true },
  );

/** What `loadConfig` returns: durations in milliseconds, sizes in bytes, the scheduler section as a profile. */
export type Config = z.output<typeof configSchema>;
