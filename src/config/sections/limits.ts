/** The `limits` section. */
import { z } from 'zod';
import { isRedisUrl } from '../../lib/redis-url.ts';
import { shown } from '../describe-issue.ts';
import { atStart } from '../restart.ts';
import { duration, size } from '../units.ts';
import { valueAt } from '../written.ts';
import { limitRule, type LimitRule } from './limit-rule.ts';

const maxRules = 100;

/** Where levels are kept. Messages must not show it: a mistaken URL may have its password anywhere. */
const store = z.string({ error: wrongStore }).refine(isStore, { error: wrongStore });

const rules = z
  .array(limitRule)
  .max(maxRules)
  // Even where a rule has faults: all are to be told at once.
  .superRefine(
    (list: unknown, context) => {
      const names = Array.isArray(list) ? list.map((rule: unknown) => valueAt(rule, ['name'])) : [];
      names.forEach((name, i) => {
        if (typeof name !== 'string' || names.indexOf(name) === i) return;
        const message = `${shown(name)} is the name of an earlier rule as well`;
        context.addIssue({ code: 'custom', path: [i, 'name'], message });
      });
    },
    { when: () => true },
  );

/** Bounds that protect Sluice itself, and those for its callers. */
export const limitsSection = z
  .strictObject({
    maxBodyBytes: atStart(
      size()
        .default(16 * 1024 ** 2)
        .describe('Largest request body, in bytes; a larger one is answered 413.'),
    ),
    maxBodyDepth: z.int().min(1).max(10_000).default(128).describe('Deepest nesting of a JSON request body.'),
    drainTimeout: duration({ zero: true })
      .default(30_000)
      .describe('How long running exchanges may take to end after SIGTERM.'),
    store: atStart(
      store
        .default('memory')
        .describe(
          'Where is kept what callers have used: `memory`, each Sluice by itself, or the URL of a Redis server that several share, like `redis://:password@redis:6379/0`, with `rediss` for TLS. While it cannot be reached each goes on by itself.',
        ),
    ),
    rules: rules
      .default([])
      .describe(
        'What callers may use; what is more is answered 429. A request has to keep to all rules that are about it.',
      ),
  })
  .transform(({ drainTimeout, ...rest }) => ({ ...rest, drainTimeoutMs: drainTimeout }));

function isStore(text: string): boolean {
  return text === 'memory' || isRedisUrl(text);
}

function wrongStore(): string {
  return 'is neither memory nor the URL of a Redis server: write it like redis://:password@redis:6379/0, or with rediss for TLS; in the password, write / as %2F, @ as %40 and % as %25';
}

/** What an operator should know of rules without faults: sentences that begin with the field. */
export function limitNotes(list: readonly LimitRule[], hasIssuer: boolean): string[] {
  if (hasIssuer) return [];
  return list
    .filter(
      ({ scope, subjects, groups }) => scope === 'group' || subjects !== undefined || groups !== undefined,
    )
    .map(
      ({ name }) =>
        `limits.rules: without an issuer nobody has a subject or a group, and rule ${shown(name)} is about nobody`,
    );
}
