/** The `discovery` section. */
import { z } from 'zod';
import { withoutUser } from '../describe-issue.ts';
import { atStart } from '../restart.ts';
import { duration } from '../units.ts';
import { valueAt } from '../written.ts';
import { discoveryKubernetesSection } from './discovery-kubernetes.ts';

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
    type: atStart(
      z
        .enum(['static', 'kubernetes'])
        .optional()
        .describe(
          'Absent: `kubernetes` where there is a section of this name, else `static`. Where it changes, the whole section waits for a restart.',
        ),
    ),
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
    kubernetes: discoveryKubernetesSection
      .optional()
      .describe('Endpoints that the API server of Kubernetes knows, in place of those that are listed.'),
  })
  // Even where other fields have faults: all are to be told at once.
  .superRefine(
    (section, context) => {
      for (const { path, message } of contradictions(section))
        context.addIssue({ code: 'custom', path, message });
    },
    { when: () => true },
  )
  .transform(({ dnsInterval, kubernetes, ...rest }) => ({
    ...rest,
    dnsIntervalMs: dnsInterval,
    ...(kubernetes === undefined
      ? { type: 'static' as const, kubernetes }
      : { type: 'kubernetes' as const, kubernetes }),
  }));

interface Contradiction {
  readonly path: string[];
  readonly message: string;
}

/** Where the section says of endpoints that they come from two places, or from none. */
function contradictions(section: unknown): Contradiction[] {
  const type = valueAt(section, ['type']);
  const kubernetes = valueAt(section, ['kubernetes']);
  if (kubernetes === undefined) {
    const message = '"kubernetes" needs the section discovery.kubernetes, which says where the engines are';
    return type === 'kubernetes' ? [{ path: ['type'], message }] : [];
  }
  const found: Contradiction[] = [];
  if (type === 'static')
    found.push({
      path: ['type'],
      message: '"static" stands beside the section discovery.kubernetes: keep one of the two',
    });
  const backends = valueAt(section, ['static', 'backends']);
  if (Array.isArray(backends) && backends.length > 0)
    found.push({
      path: ['static', 'backends'],
      message:
        'lists engines, and discovery.kubernetes or --service-discovery k8s finds others: keep one of the two',
    });
  if (valueAt(section, ['static', 'healthChecks', 'intervalMs']) !== undefined)
    found.push({
      path: ['static', 'healthChecks', 'enabled'],
      message:
        'true is for engines that are listed, and discovery.kubernetes or --service-discovery k8s finds others: remove it',
    });
  return found;
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

/** Host and port, without which two URLs may name one engine in several spellings. */
function engineAt(written: string): string {
  const url = URL.parse(written);
  if (url === null) return written;
  const { protocol, hostname, port } = url;
  return `${hostname}:${port === '' ? (protocol === 'https:' ? 443 : 80) : port}`;
}
