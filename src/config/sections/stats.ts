/** The `stats` section. */
import { z } from 'zod';
import { duration } from '../units.ts';

/** What is counted of requests per endpoint, and where it is shown. */
export const statsSection = z
  .strictObject({
    window: duration({ least: '1s', most: '1h' })
      .default(60_000)
      .describe('Span over which rates and means are taken: 1s to 1h.'),
    logInterval: duration({ zero: true })
      .default(0)
      .describe("How often the statistics of all endpoints are logged, in vllm-router's form; 0 is never."),
    routingLog: z
      .boolean()
      .default(false)
      .describe("Whether each decision is logged in vllm-router's words, session included."),
    vllmNames: z
      .boolean()
      .default(false)
      .describe("Whether `/metrics` has vllm-router's metrics too, under its names."),
  })
  .transform(({ window, logInterval, ...rest }) => ({
    ...rest,
    windowMs: window,
    logIntervalMs: logInterval,
  }));
