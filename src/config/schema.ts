/** Every field of Sluice's own configuration form, with its default and what it means. */
import { z } from 'zod';
import { schedulerSection } from './profile-config.ts';
import { duration, size } from './units.ts';

const limits = z
  .strictObject({
    maxBodyBytes: size()
      .default(16 * 1024 ** 2)
      .describe('Largest request body, in bytes; a larger one is answered 413.'),
    maxBodyDepth: z.int().min(1).max(10_000).default(128).describe('Deepest nesting of a JSON request body.'),
    drainTimeout: duration({ zero: true })
      .default(30_000)
      .describe('How long running exchanges may take to end after SIGTERM.'),
  })
  .transform(({ drainTimeout, ...rest }) => ({ ...rest, drainTimeoutMs: drainTimeout }));

const allowedPath = z
  .string()
  .refine(
    (path) => /^\/[^*?#\s]*$/.test(path.endsWith('/*') ? path.slice(0, -1) : path) && !hasDotSegment(path),
    {
      error: ({ input }) =>
        `${JSON.stringify(input)} is not a path to allow: write an absolute path, or a prefix that ends in "/*"`,
    },
  );

const routes = z.strictObject({
  allow: z
    .array(allowedPath)
    .default([])
    .describe(
      'Paths beyond the inference APIs that are forwarded, to any endpoint: each an exact path, or a prefix that ends in "/*".',
    ),
});

const usage = z
  .strictObject({
    source: z
      .enum(['auto', 'access-log', 'streamed', 'none'])
      .default('auto')
      .describe(
        "Where token counts and outcomes come from: Envoy's access log, or the streamed response bodies.",
      ),
    sampleRate: z
      .number()
      .min(0)
      .max(1)
      .default(0.01)
      .describe('Share of exchanges whose response is streamed through to measure TTFT and TPOT.'),
    accessLogTimeout: duration()
      .default(2000)
      .describe("How long the end of an exchange waits for Envoy's access log entry for it."),
  })
  .transform(({ accessLogTimeout, ...rest }) => ({ ...rest, accessLogTimeoutMs: accessLogTimeout }));

const backend = z.strictObject({
  url: z
    .string()
    .refine(isBackendUrl, {
      error: ({ input }) =>
        `${JSON.stringify(withoutUser(input))} is not the URL of an engine: write it like http://10.0.0.1:8000, without path, query or user`,
    })
    .describe('Where the engine listens, like http://10.0.0.1:8000 or https://engine.example.'),
  models: z
    .array(z.string().min(1))
    .default([])
    .describe('Models that it serves; empty means: ask the engine.'),
});

const discovery = z
  .strictObject({
    dnsInterval: duration().default(10_000).describe('How often host names of endpoints are resolved again.'),
    static: z
      .strictObject({
        backends: z.array(backend).default([]).describe('The engines.'),
      })
      .prefault({})
      .describe('Endpoints that are listed here.'),
  })
  .transform(({ dnsInterval, ...rest }) => ({ ...rest, dnsIntervalMs: dnsInterval }));

const scrape = z
  .strictObject({
    interval: duration().default(1000).describe('How often the metrics of each endpoint are read.'),
    timeout: duration().default(3000).describe('How long one reading may take.'),
    staleAfter: duration().default(5000).describe('Age at which scraped values are no longer believed.'),
    modelsInterval: duration().default(10_000).describe('How often each endpoint is asked for its models.'),
    unhealthyAfter: z
      .int()
      .min(1)
      .default(3)
      .describe('Failed readings in a row after which an endpoint is unhealthy.'),
  })
  .refine(({ interval, staleAfter }) => staleAfter > interval, {
    path: ['staleAfter'],
    error: 'staleAfter must be longer than interval, or every value is stale before the next one comes',
  })
  .transform(({ interval, timeout, staleAfter, modelsInterval, unhealthyAfter }) => ({
    intervalMs: interval,
    timeoutMs: timeout,
    staleAfterMs: staleAfter,
    modelsIntervalMs: modelsInterval,
    unhealthyAfter,
  }));

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

const envoy = z
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
    messageTimeout: duration().default(10_000).describe("How long Envoy waits for each of Sluice's answers."),
    maxMessageTimeout: duration()
      .default(300_000)
      .describe('How long Sluice may ask Envoy to wait: the bound of the time in the queue.'),
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

const admin = z.strictObject({
  host: z.string().min(1).default('127.0.0.1').describe('Address of the admin server.'),
  port: z.int().min(0).max(65_535).default(9090).describe('Port of the admin server; 0 picks a free one.'),
});

const log = z.strictObject({
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

/** The whole configuration: what is written, with defaults where it is not. */
export const configSchema = z.strictObject({
  scheduler: schedulerSection.prefault({}).describe('How endpoints are chosen.'),
  limits: limits.prefault({}).describe('Bounds that protect Sluice itself.'),
  routes: routes.prefault({}).describe('Which paths are forwarded.'),
  usage: usage.prefault({}).describe('How token counts and outcomes are learned.'),
  discovery: discovery.prefault({}).describe('Where the endpoints come from.'),
  scrape: scrape.prefault({}).describe('How endpoints are watched.'),
  envoy: envoy.prefault({}).describe('The Envoy that Sluice configures.'),
  admin: admin.prefault({}).describe('The admin server: health, metrics, debug pages.'),
  log: log.prefault({}).describe("Sluice's own log."),
});

function hasDotSegment(path: string): boolean {
  return path.split('/').some((segment) => segment === '.' || segment === '..') || path.includes('//');
}

/** A mistaken URL is shown, a password in it is not. */
function withoutUser(input: unknown): unknown {
  return typeof input === 'string' ? input.replace(/[^/]*@/, '…@') : input;
}

function isBackendUrl(text: string): boolean {
  const url = URL.parse(text);
  return (
    url !== null &&
    (url.protocol === 'http:' || url.protocol === 'https:') &&
    url.hostname !== '' &&
    url.username === '' &&
    url.password === '' &&
    url.pathname === '/' &&
    !/[?#]/.test(text)
  );
}

/** What `loadConfig` returns: durations in milliseconds, sizes in bytes, the scheduler section as a profile. */
export type Config = z.output<typeof configSchema>;
