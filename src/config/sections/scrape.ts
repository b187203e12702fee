/** The `scrape` section. */
import { z } from 'zod';
import { duration, maxDurationMs } from '../units.ts';

/** What engines want as `Authorization: Bearer`. Messages must not show it. */
export const engineApiKey = z
  .string({ error: 'must be a text: put it in quotes' })
  .regex(/^[!-~]+$/, 'must be visible ASCII characters without blanks, as a header needs it');

/** How endpoints are watched. */
export const scrapeSection = z
  .strictObject({
    interval: duration().default(1000).describe('How often the metrics of each endpoint are read.'),
    timeout: duration().default(3000).describe('How long one reading may take.'),
    staleAfter: duration()
      .optional()
      .describe(
        'Age at which scraped values are no longer believed. Default: 5s, or three intervals where that is longer.',
      ),
    modelsInterval: duration().default(10_000).describe('How often each endpoint is asked for its models.'),
    unhealthyAfter: z
      .int()
      .min(1)
      .default(3)
      .describe('Failed readings in a row after which an endpoint is unhealthy.'),
    apiKey: engineApiKey
      .optional()
      .describe(
        'API key of the engines: sent as a bearer token when Sluice asks for their models, metrics and health. Requests of clients keep their own.',
      ),
  })
  .refine(({ interval, staleAfter }) => staleAfter === undefined || staleAfter > interval, {
    path: ['staleAfter'],
    error: 'staleAfter must be longer than interval, or every value is stale before the next one comes',
  })
  .transform(({ interval, timeout, staleAfter, modelsInterval, unhealthyAfter, apiKey }) => ({
    intervalMs: interval,
    timeoutMs: timeout,
    staleAfterMs: staleAfter ?? Math.min(Math.max(5000, 3 * interval), maxDurationMs),
    modelsIntervalMs: modelsInterval,
    unhealthyAfter,
    apiKey,
  }));
