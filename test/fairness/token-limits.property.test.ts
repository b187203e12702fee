/** Token limits against a model of whole numbers that refills every millisecond. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Caller } from '../../src/fairness/caller.ts';
import type { LimitRule } from '../../src/fairness/limit-rule.ts';
import { createLocalLimitStore } from '../../src/fairness/limit-store.ts';
import { createTokenLimits, type LimitHold } from '../../src/fairness/token-limits.ts';
import { FakeClock } from '../support/fake-clock.ts';

const callers: readonly Caller[] = [
  { id: 'ann', subject: 'ann', groups: ['staff'], tier: undefined },
  { id: 'bob', subject: 'bob', groups: ['staff', 'guests'], tier: undefined },
  { id: 'anonymous', groups: [], tier: undefined },
];
const models = ['llama', 'qwen'];

/** Each amount is a multiple of its period in ms, so that every millisecond refills whole numbers. */
const rules: readonly LimitRule[] = [
  {
    name: 'caller',
    scope: 'principal',
    inputTokens: 1000,
    outputTokens: 2000,
    perMs: 500,
    concurrentRequests: 3,
  },
  { name: 'group', scope: 'group', totalTokens: 4000, perMs: 1000 },
  { name: 'model', scope: 'model', models: ['llama'], requests: 20, perMs: 10, concurrentRequests: 4 },
];

const quantities = ['inputTokens', 'outputTokens', 'totalTokens', 'requests'] as const;
type Amounts = Record<(typeof quantities)[number], number>;

interface ModelBucket {
  readonly rule: LimitRule;
  readonly level: Amounts;
  running: number;
}

interface ModelHold {
  readonly hold: LimitHold;
  readonly buckets: readonly ModelBucket[];
  readonly cost: Amounts;
  inFlight: boolean;
  settled: boolean;
}

function amounts(inputTokens: number, outputTokens: number): Amounts {
  return { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, requests: 1 };
}

const tokens = fc.integer({ min: 0, max: 2500 });
const take = fc.record({
  act: fc.constant('take' as const),
  caller: fc.constantFrom(...callers),
  model: fc.constantFrom(...models),
  input: tokens,
  output: tokens,
});
const which = fc.nat({ max: 20 });
const step = fc.oneof(
  { arbitrary: take, weight: 4 },
  fc.record({ act: fc.constant('settle' as const), which, input: tokens, output: tokens }),
  fc.record({ act: fc.constantFrom('unused' as const, 'cancel' as const, 'release' as const), which }),
  fc.record({ act: fc.constant('advance' as const), ms: fc.integer({ min: 0, max: 300 }) }),
);

describe('token limits', () => {
  it('let in what a plain count lets in, tell what it counts, and end where they began', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const clock = new FakeClock();
        const limits = createTokenLimits({ store: createLocalLimitStore({ clock }) }, rules);
        const buckets = new Map<string, ModelBucket>();
        const holds: ModelHold[] = [];

        const bucketOf = (rule: LimitRule, owner: string): ModelBucket => {
          const key = `${rule.name} ${owner}`;
          const { inputTokens = 0, outputTokens = 0, totalTokens = 0, requests = 0 } = rule;
          const level = { inputTokens, outputTokens, totalTokens, requests };
          const bucket = buckets.get(key) ?? { rule, level, running: 0 };
          buckets.set(key, bucket);
          return bucket;
        };
        const give = ({ rule, level }: ModelBucket, back: Amounts): void => {
          for (const quantity of quantities)
            if (rule[quantity] !== undefined)
              level[quantity] = Math.min(rule[quantity], level[quantity] + back[quantity]);
        };
        const hasRoom = ({ rule, level, running }: ModelBucket, cost: Amounts): boolean =>
          running < (rule.concurrentRequests ?? Infinity) &&
          quantities.every((quantity) => {
            const amount = rule[quantity];
            if (amount === undefined || cost[quantity] === 0) return true;
            return level[quantity] >= Math.min(cost[quantity], amount);
          });
        const settle = (held: ModelHold, used: Amounts): void => {
          if (held.inFlight) for (const bucket of held.buckets) bucket.running--;
          held.inFlight = false;
          if (held.settled) return;
          held.settled = true;
          const back = { ...held.cost };
          for (const quantity of quantities) back[quantity] -= used[quantity];
          for (const bucket of held.buckets) give(bucket, back);
        };

        for (const now of steps) {
          if (now.act === 'advance') {
            clock.advance(now.ms);
            for (const bucket of buckets.values())
              for (const quantity of quantities) {
                const { perMs, [quantity]: amount = 0 } = bucket.rule;
                bucket.level[quantity] = Math.min(amount, bucket.level[quantity] + (now.ms * amount) / perMs);
              }
          } else if (now.act === 'take') {
            const { caller, model } = now;
            const cost = amounts(now.input, now.output);
            const taken = [
              bucketOf(rules[0]!, caller.id),
              ...caller.groups.map((group) => bucketOf(rules[1]!, group)),
              ...(model === 'llama' ? [bucketOf(rules[2]!, model)] : []),
            ];
            const result = limits.take(caller, model, {
              inputTokens: now.input,
              outputTokens: now.output,
            });
            if (result === undefined || result instanceof Promise)
              throw new Error('expected a result at once');
            expect(result.kind).toBe(taken.every((bucket) => hasRoom(bucket, cost)) ? 'taken' : 'refused');
            if (result.kind === 'taken') {
              for (const bucket of taken) {
                for (const quantity of quantities) bucket.level[quantity] -= cost[quantity];
                bucket.running++;
              }
              holds.push({ hold: result.hold, buckets: taken, cost, inFlight: true, settled: false });
            }
            const { headers } = result.kind === 'taken' ? result.hold : result;
            const left = (names: readonly (keyof Amounts)[]): number[] =>
              taken.flatMap(({ rule, level }) =>
                names.filter((name) => rule[name] !== undefined).map((name) => Math.max(0, level[name])),
              );
            expect(headers['x-ratelimit-remaining-tokens']).toBe(
              String(Math.min(...left(['inputTokens', 'outputTokens', 'totalTokens']))),
            );
            if (model === 'llama')
              expect(headers['x-ratelimit-remaining-requests']).toBe(String(Math.min(...left(['requests']))));
          } else {
            const held = holds[now.which];
            if (held === undefined) continue;
            switch (now.act) {
              case 'settle':
                held.hold.settle({
                  inputTokens: now.input,
                  cachedInputTokens: 0,
                  outputTokens: now.output,
                });
                settle(held, amounts(now.input, now.output));
                break;
              case 'unused':
                held.hold.settle(undefined);
                settle(held, amounts(0, 0));
                break;
              case 'cancel':
                held.hold.cancel();
                settle(held, { ...amounts(0, 0), requests: 0 });
                break;
              case 'release':
                held.hold.release();
                if (held.inFlight) for (const bucket of held.buckets) bucket.running--;
                held.inFlight = false;
                break;
              default:
                now satisfies never;
            }
          }
          for (const { limit, owner, levels } of limits.list(100)) {
            const bucket = buckets.get(`${limit.rule.name} ${owner}`)!;
            expect(levels.running).toBe(bucket.running);
            for (const quantity of limit.limited)
              expect(levels[quantity]).toBeCloseTo(bucket.level[quantity], 6);
          }
        }
        for (const { hold } of holds) hold.settle(undefined);
        expect(
          limits
            .list(100)
            .map(({ levels }) => levels.running)
            .filter(Boolean),
        ).toEqual([]);
        clock.advance(1_000_000);
        expect(limits.list(100)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('never let more pass in any time than the amount and what is refilled', () => {
    const arrivals = fc.array(
      fc.record({ afterMs: fc.integer({ min: 0, max: 400 }), cost: fc.integer({ min: 1, max: 1000 }) }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(arrivals, (requests) => {
        const clock = new FakeClock();
        const store = createLocalLimitStore({ clock });
        const limits = createTokenLimits({ store }, [
          { name: 'tokens', scope: 'model', totalTokens: 1000, perMs: 1000 },
        ]);
        const passed: { readonly atMs: number; readonly cost: number }[] = [];
        for (const { afterMs, cost } of requests) {
          clock.advance(afterMs);
          const result = limits.take(callers[0]!, 'llama', { inputTokens: cost, outputTokens: 0 });
          if (result !== undefined && !(result instanceof Promise) && result.kind === 'taken')
            passed.push({ atMs: clock.nowMs(), cost });
        }
        passed.forEach(({ atMs: sinceMs }, first) => {
          let sum = 0;
          for (const { atMs, cost } of passed.slice(first)) {
            sum += cost;
            expect(sum).toBeLessThanOrEqual(1000 + (atMs - sinceMs) + 1e-6);
          }
        });
      }),
    );
  });
});
