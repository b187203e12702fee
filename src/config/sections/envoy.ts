/** The `envoy` section. */
import { z } from 'zod';
import { duration } from '../units.ts';

const upstreamTls = z
  .strictObject({
    caFile: z
      .string()
      .min(1)
      .optional()
      .describe(
        "PEM file of the authorities that sign the engines' certificates; absent means the system's.",
      ),
    insecureSkipVerify: z.boolean().default(false).describe('Accept any certificate of an engine.'),
  })
  .transform(({ caFile, insecureSkipVerify }) => ({ caFile, insecureSkipVerify }));

/** Envoy takes no longer timeout of a message. */
const longestPatience = '1h';
export const longestPatienceMs = 3_600_000;

/** The Envoy that Sluice configures. */
export const envoySection = z
  .strictObject({
    requestTimeout: duration({ zero: true })
      .default(0)
      .describe('Longest time from request to the end of its response; 0s means none.'),
    idleTimeout: duration({ zero: true })
      .default(600_000)
      .describe('Longest silence on a stream before it is ended; 0s means none.'),
    connectTimeout: duration().default(1000).describe('Longest time to connect to an endpoint.'),
    retries: z
      .int()
      .min(0)
      .max(10)
      .default(2)
      .describe('How many other endpoints are tried where one fails before it has answered.'),
    perTryIdleTimeout: duration({ zero: true })
      .default(300_000)
      .describe(
        'Longest silence of an endpoint before the next one is tried; 0s means none. An answer that is not streamed is silent until it is whole.',
      ),
    messageTimeout: duration({ most: longestPatience })
      .default(10_000)
      .describe("How long Envoy waits for each of Sluice's answers."),
    maxMessageTimeout: duration({ most: longestPatience })
      .default(300_000)
      .describe(
        'How long Sluice may ask Envoy to wait, at least; the Envoy that Sluice starts also allows all that a queue may.',
      ),
    adminPort: z
      .int()
      .min(0)
      .max(65_535)
      .default(0)
      .describe("Port of Envoy's admin interface on 127.0.0.1; 0 uses a private Unix socket."),
    concurrency: z
      .int()
      .min(0)
      .default(0)
      .describe("Envoy's worker threads; 0 is its default, one per core."),
    upstreamTls: upstreamTls.prefault({}).describe('How certificates of https:// engines are verified.'),
  })
  .refine(({ messageTimeout, maxMessageTimeout }) => messageTimeout <= maxMessageTimeout, {
    path: ['messageTimeout'],
    error: 'messageTimeout must not be longer than maxMessageTimeout',
  })
  .transform((fields) => ({
    requestTimeoutMs: fields.requestTimeout,
    idleTimeoutMs: fields.idleTimeout,
    connectTimeoutMs: fields.connectTimeout,
    retries: fields.retries,
    perTryIdleTimeoutMs: fields.perTryIdleTimeout,
    messageTimeoutMs: fields.messageTimeout,
    maxMessageTimeoutMs: fields.maxMessageTimeout,
    adminPort: fields.adminPort,
    concurrency: fields.concurrency,
    upstreamTls: fields.upstreamTls,
  }));
