import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createLimitBuckets } from '../../src/fairness/limit-buckets.ts';
import { createLimit, type Charge, type Limit, type LimitRule } from '../../src/fairness/limit-rule.ts';
import { FakeClock } from '../support/fake-clock.ts';

const oneRequest = { inputTokens: 0, outputTokens: 0, totalTokens: 0, requests: 1 };

function limitOf(rule: Partial<LimitRule>): Limit {
  return createLimit({ name: 'rule', scope: 'principal', perMs: 1000, ...rule });
}

function charge(limit: Limit, owner: string): Charge {
  return { limit, owner, key: `${limit.id}:${owner}` };
}

function createBuckets(maxBuckets: number) {
  const clock = new FakeClock();
  return { clock, buckets: createLimitBuckets({ clock }, { maxBuckets }) };
}

describe('createLimitBuckets()', () => {
  it('drops buckets that are full before any that is not', () => {
    const { clock, buckets } = createBuckets(3);
    const perMinute = limitOf({ name: 'minute', requests: 1, perMs: 60_000 });
    const perSecond = limitOf({ name: 'second', requests: 1 });
    const take = (limit: Limit, owner: string): void => {
      buckets.take([charge(limit, owner)], oneRequest);
      buckets.end([charge(limit, owner)]);
    };
    take(perMinute, 'a');
    take(perSecond, 'b');
    take(perMinute, 'c');
    clock.advance(1000);
    take(perMinute, 'd');
    take(perMinute, 'e');
    expect([buckets.size, buckets.evictions]).toEqual([3, 1]);
    // Of those that were not full the one that had waited longest.
    expect(buckets.list(10).map(({ owner }) => owner)).toEqual(['d', 'e', 'c']);
  });

  it('never drops one in which something runs, full or not', () => {
    const { clock, buckets } = createBuckets(2);
    const limit = limitOf({ requests: 10 });
    const owners = Array.from({ length: 5 }, (_, i) => `owner ${i}`);
    for (const owner of owners) buckets.take([charge(limit, owner)], oneRequest);
    clock.advance(10_000);
    buckets.take([charge(limit, 'one more')], oneRequest);
    expect([buckets.size, buckets.evictions]).toEqual([6, 0]);
    for (const owner of owners) buckets.end([charge(limit, owner)]);
    buckets.take([charge(limit, 'another')], oneRequest);
    expect([buckets.size, buckets.evictions]).toEqual([2, 0]);
  });

  it('stays as small as what is used, well below the bound', () => {
    const { clock, buckets } = createBuckets(1_000_000);
    const limit = limitOf({ requests: 10 });
    for (let i = 0; i < 10_000; i++) {
      buckets.take([charge(limit, `owner ${i}`)], oneRequest);
      buckets.end([charge(limit, `owner ${i}`)]);
      // A tenth of the time in which one becomes full.
      clock.advance(10);
    }
    expect(buckets.size).toBeLessThan(50);
  });

  it('keeps to its bound and to what runs, whatever happens', () => {
    const step = fc.record({
      owner: fc.integer({ min: 0, max: 30 }),
      act: fc.constantFrom('take' as const, 'end' as const, 'debt' as const, 'give' as const),
      advanceMs: fc.integer({ min: 0, max: 400 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const { clock, buckets } = createBuckets(5);
        const limit = limitOf({ requests: 4, concurrentRequests: 3 });
        const running = new Map<number, number>();
        for (const { owner, act, advanceMs } of steps) {
          const charges = [charge(limit, String(owner))];
          const runs = running.get(owner) ?? 0;
          if (act === 'take' && buckets.take(charges, oneRequest)) running.set(owner, runs + 1);
          if (act === 'end' && runs > 0) {
            buckets.end(charges);
            running.set(owner, runs - 1);
          }
          if (act === 'debt') buckets.adjust(charges, { ...oneRequest, requests: 3 });
          if (act === 'give') buckets.adjust(charges, { ...oneRequest, requests: -1 });
          clock.advance(advanceMs);
          for (const [who, count] of running)
            expect(buckets.view(charge(limit, String(who))).levels.running).toBe(count);
          const busy = [...running.values()].filter((count) => count > 0).length;
          // What ended since the last addition may still be there.
          if (act === 'debt') expect(buckets.size).toBeLessThanOrEqual(Math.max(5, busy + 1));
        }
      }),
    );
  });

  it('learn() sets levels and leaves what runs', () => {
    const { buckets } = createBuckets(5);
    const charges = [charge(limitOf({ requests: 10, outputTokens: 100 }), 'ann')];
    buckets.take(charges, oneRequest);
    buckets.learn(charges, [{ ...oneRequest, outputTokens: -20, requests: 3, running: 7 }]);
    expect(buckets.view(charges[0]!).levels).toMatchObject({ outputTokens: -20, requests: 3, running: 1 });
  });

  it('makes a bucket under the limit as it is now, whoever asks', () => {
    const { buckets } = createBuckets(5);
    const [before, now] = [limitOf({ requests: 10 }), limitOf({ requests: 100 })];
    buckets.update([now]);
    buckets.adjust([charge(before, 'ann')], { ...oneRequest, requests: 5 });
    expect(buckets.view(charge(before, 'ann'))).toMatchObject({ limit: now, levels: { requests: 95 } });
  });

  it('list() tells what is used, the emptiest first', () => {
    const { buckets } = createBuckets(10);
    const requests = limitOf({ name: 'requests', requests: 10 });
    const running = limitOf({ name: 'running', concurrentRequests: 2 });
    const tokens = limitOf({ name: 'tokens', totalTokens: 100 });
    buckets.take([charge(requests, 'ann')], oneRequest);
    buckets.take([charge(running, 'ann')], oneRequest);
    buckets.adjust([charge(tokens, 'ann')], { ...oneRequest, totalTokens: 150 });
    buckets.adjust([charge(tokens, 'bob')], { ...oneRequest, totalTokens: 0 });
    const listed = buckets
      .list(10)
      .map(({ limit, owner, levels }) => [limit.rule.name, owner, levels.running]);
    expect(listed).toEqual([
      ['tokens', 'ann', 0],
      ['running', 'ann', 1],
      ['requests', 'ann', 1],
    ]);
    expect(buckets.list(1)).toHaveLength(1);
  });
});
