/** One of the `rules` of the `limits` section. */
import { z } from 'zod';
import { shown } from '../describe-issue.ts';

/** Amounts are so much in this time; a month is 30 days. */
export type LimitPeriod = 'second' | 'minute' | 'hour' | 'day' | 'month';

const msPer: Readonly<Record<LimitPeriod, number>> = {
  second: 1000,
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
  month: 30 * 86_400_000,
};

const amount = z.int().min(1);

const names = z
  .array(z.string().min(1))
  .refine((list) => list.length > 0, { error: 'must not be empty: leave it out where all are meant' });

/** A rule as the parts of Sluice that keep to it know it. */
export const limitRule = z
  .strictObject({
    name: z
      .string()
      .regex(/^[!-~]([ -~]{0,62}[!-~])?$/, {
        error: ({ input }) =>
          `${shown(input)} is not a name of 1 to 64 ASCII characters that can be printed, without blanks around it`,
      })
      .describe('What the rule is called, in errors, headers and metrics.'),
    scope: z
      .enum(['principal', 'group', 'model'])
      .default('principal')
      .describe('Who has an amount of their own: each caller, each group of callers, or each model.'),
    subjects: names
      .exactOptional()
      .describe('Only requests of these callers, by their subject. Absent: of all.'),
    groups: names
      .exactOptional()
      .describe('Only requests of callers in one of these groups. Absent: of all.'),
    models: names
      .exactOptional()
      .describe('Only requests for these models, by the names that engines know. Absent: for all.'),
    inputTokens: amount.exactOptional().describe('How many input tokens in the time of `per`.'),
    outputTokens: amount.exactOptional().describe('How many output tokens.'),
    totalTokens: amount.exactOptional().describe('How many input and output tokens together.'),
    requests: amount.exactOptional().describe('How many requests.'),
    per: z
      .enum(['second', 'minute', 'hour', 'day', 'month'])
      .default('minute')
      .describe(
        'In which time. What was used comes back bit by bit, not all at once at the end of it; a month is 30 days.',
      ),
    concurrentRequests: amount.exactOptional().describe('How many requests at once, waiting ones included.'),
  })
  .superRefine((rule, context) => {
    if (amounts.every((field) => rule[field] === undefined)) {
      const message = `limits nothing: say how many ${amounts.slice(0, -1).join(', ')} or ${amounts.at(-1)!}`;
      context.addIssue({ code: 'custom', message });
    }
  })
  .transform((rule) => ({ ...rule, perMs: msPer[rule.per] }));

const amounts = ['inputTokens', 'outputTokens', 'totalTokens', 'requests', 'concurrentRequests'] as const;

/** A rule; `perMs` may be more than a timer can hold. */
export type LimitRule = Readonly<z.output<typeof limitRule>>;
