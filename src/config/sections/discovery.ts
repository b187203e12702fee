/** The `discovery` section. */
import { z } from 'zod';
import { withoutUser } from '../describe-issue.ts';
import { duration } from '../units.ts';

/** The words of vllm-router's `--static-model-types`. */
const modelTypes = [
  'chat',
  'completion',
  'embeddings',
  'rerank',
  'score',
  'transcription',
  'vision',
  'messages',
] as const;

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
  type: z
    .enum(modelTypes)
    .optional()
    .describe(
      'What its models are for: which request a health check sends. Needed where health checks are on.',
    ),
});

const healthChecks = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe(
        'Ask each model of each engine for a few tokens, and route nothing to one that does not answer 200.',
      ),
    interval: duration().default(60_000).describe('How often each engine is asked.'),
    timeout: duration().default(10_000).describe('How long one answer may take.'),
  })
  .transform(({ enabled, interval, timeout }) =>
    enabled ? { intervalMs: interval, timeoutMs: timeout } : undefined,
  );

/** Where the endpoints come from. */
export const discoverySection = z
  .strictObject({
    dnsInterval: duration().default(10_000).describe('How often host names of endpoints are resolved again.'),
    static: z
      .strictObject({
        backends: z
          .array(backend)
          .superRefine((backends, context) => {
            backends.forEach(({ url }, i) => {
              const earlier = backends.findIndex((other) => engineAt(other.url) === engineAt(url));
              if (earlier >= i) return;
              const message = `${JSON.stringify(url)} is the same engine as item ${earlier + 1} of the list`;
              context.addIssue({ code: 'custom', path: [i, 'url'], message });
            });
          })
          .default([])
          .describe('The engines.'),
        healthChecks: healthChecks
          .prefault({})
          .describe('Checks by tiny inference requests, besides those that every endpoint gets.'),
      })
      .superRefine(({ backends, healthChecks }, context) => {
        if (healthChecks === undefined) return;
        backends.forEach(({ type }, i) => {
          if (type !== undefined) return;
          const message = `model types must be provided where health checks are on: say what its models are for, one of ${modelTypes.join(', ')}`;
          context.addIssue({ code: 'custom', path: ['backends', i, 'type'], message });
        });
      })
      .prefault({})
      .describe('Endpoints that are listed here.'),
  })
  .transform(({ dnsInterval, ...rest }) => ({ ...rest, dnsIntervalMs: dnsInterval }));

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

/** Host and port, without which two URLs may name one engine in several spellings. */
function engineAt(written: string): string {
  const url = URL.parse(written);
  if (url === null) return written;
  const { protocol, hostname, port } = url;
  return `${hostname}:${port === '' ? (protocol === 'https:' ? 443 : 80) : port}`;
}
