/** The `fairness` section. */
import { z } from 'zod';
import { shown } from '../describe-issue.ts';
import { duration } from '../units.ts';

const weight = z.number().min(0);

/** Whose turn it is when requests have to wait. */
export const fairnessSection = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe('Whether requests wait for their turn. Without effect in this version: nothing waits.'),
    policy: z
      .enum(['vtc', 'window'])
      .default('vtc')
      .describe(
        'Whose turn comes next: vtc goes by virtual token counters, window as Kthena does by what each user used in the last windowSize.',
      ),
    windowSize: durationWithin('1m', '1h')
      .default(300_000)
      .describe('How long used tokens count against their user: 1m to 1h.'),
    inputTokenWeight: weight.default(1).describe('How much an input token counts.'),
    outputTokenWeight: weight.default(2).describe('How much an output token counts.'),
    priorityTokenWeight: weight
      .default(1)
      .describe('With policy window: how much the weighted tokens of the window count against their user.'),
    priorityRequestNumWeight: weight
      .default(0)
      .describe(
        'With policy window: how much the number of requests in the window counts against their user.',
      ),
    maxConcurrent: z
      .int()
      .min(0)
      .default(0)
      .describe(
        'How many requests of a model may run while others wait; 0 is as many as its engines can take.',
      ),
    maxQps: z
      .number()
      .min(0)
      .default(0)
      .describe('How many requests of a model may start in a second; 0 is no limit.'),
    queueTimeout: duration()
      .default(60_000)
      .describe('How long a request may wait; then it is answered 504.'),
  })
  .refine(
    ({ policy, priorityTokenWeight, priorityRequestNumWeight }) =>
      policy !== 'window' || priorityTokenWeight > 0 || priorityRequestNumWeight > 0,
    {
      path: ['priorityTokenWeight'],
      error:
        'priorityTokenWeight and priorityRequestNumWeight are both 0, and policy window has nothing to go by: make one of them more than 0',
    },
  )
  .transform(({ windowSize, queueTimeout, ...rest }) => ({
    ...rest,
    windowSizeMs: windowSize,
    queueTimeoutMs: queueTimeout,
  }));

/** A duration of at least and at most so much. */
function durationWithin(least: string, most: string) {
  const any = duration({ zero: true });
  const leastMs = any.parse(least);
  const mostMs = any.parse(most);
  return any.in.transform((value, context) => {
    const { data: ms, error } = any.safeParse(value);
    if (ms !== undefined && ms >= leastMs && ms <= mostMs) return ms;
    const message =
      error?.issues[0]?.message ?? `duration ${shown(value)} is out of range: ${least} to ${most}`;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
}
