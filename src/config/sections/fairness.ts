/** The `fairness` section. */
import { z } from 'zod';
import { greatestShare, leastShare, type ShareWeights } from '../../auth/fair-share.ts';
import { duration, size } from '../units.ts';
import { longestWait } from './queueing.ts';

/** Far beyond any use, and far from where sums of weighted tokens would overflow. */
const greatestWeight = 1_000_000;

const weight = z.number().min(0).max(greatestWeight);
const bound = z.int().min(1).max(1_000_000);
const share = z.number().min(leastShare).max(greatestShare);
const shares = z.record(z.string().min(1), share).nullable().default({});

const weights = z
  .strictObject({
    claim: z
      .string()
      .default('')
      .describe(
        'Claim that is the share of its caller, a number above 0; a dot leads into a nested one. Empty: there is none.',
      ),
    subjects: shares.describe(
      'Shares of callers by their subject, whichever issuer says it; before `claim`.',
    ),
    tiers: shares.describe('Shares of callers by their tier; after `claim`.'),
    groups: shares.describe(
      'Shares of callers by their groups, of which the greatest counts; after `tiers`.',
    ),
    default: share.default(1).describe('Share of everybody else.'),
  })
  .transform(({ claim, subjects, tiers, groups, ...rest }): ShareWeights => ({
    ...rest,
    claim: claim === '' ? undefined : claim,
    subjects: subjects ?? {},
    tiers: tiers ?? {},
    groups: groups ?? {},
  }));

/** Whose turn it is when requests have to wait. */
export const fairnessSection = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe('Whether requests wait for their turn, in one queue for each model.'),
    policy: z
      .enum(['vtc', 'window', 'fifo'])
      .default('vtc')
      .describe(
        'Whose turn comes next: `vtc` goes by virtual token counters, `window` as Kthena does by what each caller used in the last windowSize, `fifo` by arrival alone, to compare.',
      ),
    windowSize: duration({ least: '1m', most: '1h' })
      .default(300_000)
      .describe(
        'How long the tokens of a caller are remembered and, with policy `window`, count against them: 1m to 1h.',
      ),
    inputTokenWeight: weight.default(1).describe('How much an input token counts.'),
    outputTokenWeight: weight.default(2).describe('How much an output token counts.'),
    cachedTokenWeight: z
      .number()
      .min(0)
      .max(1)
      .default(1)
      .describe(
        'How much an input token counts that the engine had in its prefix cache, as a share of inputTokenWeight.',
      ),
    priorityTokenWeight: weight
      .default(1)
      .describe(
        'With policy `window`: how much the weighted tokens of the window count against their caller.',
      ),
    priorityRequestNumWeight: weight
      .default(0)
      .describe(
        'With policy `window`: how much the number of requests in the window counts against their caller.',
      ),
    maxWaitingRequests: bound
      .default(4)
      .describe(
        'How many requests an engine may have in its own queue, where nobody has a turn: it is sent no more then.',
      ),
    maxInFlightPerEndpoint: bound
      .default(256)
      .describe('How many requests an endpoint may have in flight, whatever its metrics say.'),
    maxConcurrent: z
      .int()
      .min(0)
      .default(0)
      .describe(
        'How many requests of a model may run while others wait; 0 is as many as its engines can take or, with `maxQps`, any number.',
      ),
    maxQps: z
      .number()
      .min(0)
      .default(0)
      .describe(
        'How many requests of a model may start in a second, evenly spaced, whatever its engines can take; 0 is no such limit.',
      ),
    queueTimeout: duration({ most: longestWait })
      .default(60_000)
      .describe('How long a request may wait, up to 59m; then it is answered 504.'),
    agingAfter: duration({ zero: true })
      .default(10_000)
      .describe(
        'Who has waited longer than this may go out of turn, the longest first, one of eight at most; 0 is never.',
      ),
    maxQueued: bound
      .default(10_000)
      .describe('How many requests may wait, of all models together; one more is answered 429.'),
    maxQueuedBytes: size()
      .default(256 * 1024 ** 2)
      .describe(
        'How many bytes of request bodies may be kept for requests that wait, of all models together; one more is answered 429. Bodies that are sent on as they came stay in Envoy.',
      ),
    maxQueuedPerPrincipal: bound
      .default(1000)
      .describe('How many requests of one caller may wait for one model; one more is answered 429.'),
    maxPrincipals: bound
      .default(100_000)
      .describe(
        'Of how many pairs of a caller and a model the used tokens are known; beyond that, the one idle longest is forgotten.',
      ),
    weights: weights
      .prefault({})
      .describe('How large the shares of callers are against each other, from 0.001 to 1000.'),
  })
  .superRefine((fields, context) => {
    const unweighted = nothingToGoBy(fields);
    if (unweighted === undefined) return;
    const [first, second] = unweighted;
    const message = `${first} and ${second} are both 0, and policy ${fields.policy} has nothing to go by: make one of them more than 0`;
    context.addIssue({ code: 'custom', path: [first], message });
  })
  .transform(({ windowSize, queueTimeout, agingAfter, ...rest }) => ({
    ...rest,
    windowSizeMs: windowSize,
    queueTimeoutMs: queueTimeout,
    agingAfterMs: agingAfter,
  }));

interface Weighted {
  readonly policy: 'vtc' | 'window' | 'fifo';
  readonly inputTokenWeight: number;
  readonly outputTokenWeight: number;
  readonly priorityTokenWeight: number;
  readonly priorityRequestNumWeight: number;
}

/** Two weights, both 0, that leave all callers equal for the policy. */
function nothingToGoBy(fields: Weighted): readonly [keyof Weighted, keyof Weighted] | undefined {
  const byRequests = fields.policy === 'window' && fields.priorityRequestNumWeight > 0;
  if (fields.policy === 'fifo' || byRequests) return undefined;
  if (fields.policy === 'window' && fields.priorityTokenWeight === 0)
    return ['priorityTokenWeight', 'priorityRequestNumWeight'];
  return fields.inputTokenWeight === 0 && fields.outputTokenWeight === 0
    ? ['inputTokenWeight', 'outputTokenWeight']
    : undefined;
}
