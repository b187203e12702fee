import { describe, expect, it } from '@jest/globals';
import type { Caller } from '../../src/fairness/caller.ts';
import type { LimitRule } from '../../src/fairness/limit-rule.ts';
import { createLocalLimitStore } from '../../src/fairness/limit-store.ts';
import {
  createTokenLimits,
  type ExpectedTokens,
  type LimitHold,
  type LimitRefusal,
} from '../../src/fairness/token-limits.ts';
import { FakeClock } from '../support/fake-clock.ts';

const ann: Caller = { id: 'ann', subject: 'ann', groups: ['staff'], tier: undefined };
const bob: Caller = { id: 'bob', subject: 'bob', groups: ['staff', 'guests'], tier: undefined };
const minute = 60_000;

function rule(fields: Partial<LimitRule>): LimitRule {
  return { name: 'free tier', scope: 'principal', perMs: minute, ...fields };
}

/** Limits of this process, and short ways to use them. */
function limitsOf(...rules: readonly Partial<LimitRule>[]) {
  const clock = new FakeClock();
  const store = createLocalLimitStore({ clock });
  const limits = createTokenLimits({ store }, rules.map(rule));
  function ask(caller = ann, cost: Partial<ExpectedTokens> = {}, model = 'llama') {
    const result = limits.take(caller, model, { inputTokens: 0, outputTokens: 0, ...cost });
    if (result === undefined || result instanceof Promise) throw new Error('expected a result at once');
    return result;
  }
  /** Takes what there must be. */
  const take = (...request: Parameters<typeof ask>): LimitHold => {
    const result = ask(...request);
    if (result.kind === 'refused') throw new Error(`unexpected: ${JSON.stringify(result)}`);
    return result.hold;
  };
  /** The refusal there must be. */
  const refused = (...request: Parameters<typeof ask>): LimitRefusal => {
    const result = ask(...request);
    if (result.kind === 'taken') throw new Error('unexpected: it was let in');
    return result;
  };
  /** What is left, by rule and owner. */
  const levels = (): Record<string, object> =>
    Object.fromEntries(
      limits.list(100).map(({ limit, owner, levels }) => {
        const left = limit.limited.map((quantity) => [quantity, levels[quantity]]);
        return [`${limit.rule.name} of ${owner}`, { ...Object.fromEntries(left), running: levels.running }];
      }),
    );
  return { clock, limits, take, refused, levels };
}

const spent = (inputTokens: number, outputTokens: number) => ({
  inputTokens,
  cachedInputTokens: inputTokens,
  outputTokens,
});

describe('take()', () => {
  it('is undefined for whoever no rule is about', () => {
    const { limits } = limitsOf({ subjects: ['bob'], requests: 1 });
    expect(limits.take(ann, 'llama', { inputTokens: 1, outputTokens: 1 })).toBeUndefined();
    expect(limits.size).toBe(0);
  });

  it.each<[string, Partial<LimitRule>, Partial<LimitRefusal>]>([
    ['input tokens', { inputTokens: 100 }, { what: 'input tokens', amount: 100, retryAfterMs: 12_000 }],
    ['output tokens', { outputTokens: 200 }, { what: 'output tokens', amount: 200, retryAfterMs: 12_000 }],
    ['total tokens', { totalTokens: 300 }, { what: 'total tokens', amount: 300, retryAfterMs: 12_000 }],
    ['requests', { requests: 1 }, { what: 'requests', amount: 1, retryAfterMs: minute }],
    [
      'concurrent requests',
      { concurrentRequests: 1 },
      { what: 'concurrent requests', amount: 1, retryAfterMs: 1000, per: undefined },
    ],
  ])('says of what there is too little, and when to come back: %s', (_name, limited, refusal) => {
    const { take, refused } = limitsOf(limited);
    take(ann, { inputTokens: 60, outputTokens: 120 });
    expect(refused(ann, { inputTokens: 60, outputTokens: 120 })).toMatchObject({
      kind: 'refused',
      limit: 'free tier',
      per: 'minute',
      ...refusal,
    });
  });

  it.each([
    [1000, 'second'],
    [minute, 'minute'],
    [3_600_000, 'hour'],
    [86_400_000, 'day'],
    [2_592_000_000, 'month'],
    [90_000, '90 seconds'],
  ])('calls a period of %p ms a %s', (perMs, per) => {
    const { take, refused } = limitsOf({ requests: 1, perMs });
    take();
    expect(refused().per).toBe(per);
  });

  it('lets in who comes when told, and not before', () => {
    const { clock, take, refused } = limitsOf({ totalTokens: 1000 });
    take(ann, { inputTokens: 900 });
    const { retryAfterMs } = refused(ann, { inputTokens: 333 });
    clock.advance(retryAfterMs - 1);
    expect(refused(ann, { inputTokens: 333 }).retryAfterMs).toBe(1);
    clock.advance(1);
    take(ann, { inputTokens: 333 });
  });

  it('names the limit that has to be waited for longest', () => {
    const { take, refused } = limitsOf(
      { name: 'running', concurrentRequests: 1 },
      { name: 'a minute', requests: 1 },
      { name: 'a day', requests: 1, perMs: 86_400_000 },
      { name: 'an hour', requests: 1, perMs: 3_600_000 },
    );
    take();
    expect(refused()).toMatchObject({ limit: 'a day', retryAfterMs: 86_400_000 });
  });

  it('takes nothing from anybody where one limit has too little', () => {
    const { take, refused, levels } = limitsOf(
      { name: 'model', scope: 'model', requests: 10, concurrentRequests: 5 },
      { name: 'caller', requests: 1, inputTokens: 100 },
    );
    take(ann, { inputTokens: 10 });
    const before = levels();
    refused(ann, { inputTokens: 10 });
    expect(levels()).toEqual(before);
    expect(before).toEqual({
      'model of llama': { requests: 9, running: 1 },
      'caller of ann': { inputTokens: 90, requests: 0, running: 1 },
    });
  });

  it('lets in what is above a limit when nothing of it is used, and then nobody for as long as that takes', () => {
    const { clock, take, refused } = limitsOf({ inputTokens: 100 });
    take(ann, { inputTokens: 40 });
    expect(refused(ann, { inputTokens: 250 }).retryAfterMs).toBe(24_000);
    clock.advance(24_000);
    take(ann, { inputTokens: 250 });
    expect(refused(ann, { inputTokens: 1 }).retryAfterMs).toBe(1.51 * minute);
  });

  it('keeps levels exact however much a client asks for', () => {
    const { take, levels } = limitsOf({ outputTokens: 100 });
    const hold = take(ann, { outputTokens: Number.MAX_VALUE });
    hold.settle(spent(0, 30));
    expect(levels()).toEqual({ 'free tier of ann': { outputTokens: 70, running: 0 } });
  });

  it('lets in what needs nothing of what is used up', () => {
    const { take, refused } = limitsOf({ outputTokens: 100 });
    take(ann, { outputTokens: 100 });
    refused(ann, { outputTokens: 1 });
    take(ann, { inputTokens: 1000, outputTokens: 0 });
  });

  it('gives every caller, every group and every model amounts of their own', () => {
    const perCaller = limitsOf({ requests: 1, models: ['llama', 'qwen'] });
    perCaller.take(ann, {}, 'llama');
    perCaller.refused(ann, {}, 'qwen');
    perCaller.take(bob);

    const perGroup = limitsOf({ scope: 'group', requests: 2 });
    perGroup.take(ann);
    perGroup.take(bob);
    expect(perGroup.levels()).toMatchObject({
      'free tier of staff': { requests: 0 },
      'free tier of guests': { requests: 1 },
    });
    perGroup.refused(bob);
    expect(perGroup.levels()).toMatchObject({ 'free tier of guests': { requests: 1 } });

    const perModel = limitsOf({ scope: 'model', requests: 1 });
    perModel.take(ann, {}, 'llama');
    perModel.refused(bob, {}, 'llama');
    perModel.take(bob, {}, 'qwen');
  });

  it('tells what is left, both when it lets in and when it does not', () => {
    const { take, refused } = limitsOf({ requests: 2, totalTokens: 1000 });
    const headers = {
      'x-ratelimit-limit-requests': '2',
      'x-ratelimit-remaining-requests': '1',
      'x-ratelimit-reset-requests': '30s',
      'x-ratelimit-limit-tokens': '1000',
      'x-ratelimit-remaining-tokens': '400',
      'x-ratelimit-reset-tokens': '36s',
    };
    expect(take(ann, { inputTokens: 100, outputTokens: 500 }).headers).toEqual(headers);
    expect(refused(ann, { inputTokens: 401 }).headers).toEqual(headers);
  });
});

describe('LimitHold', () => {
  const limited = {
    inputTokens: 100,
    outputTokens: 100,
    totalTokens: 200,
    requests: 10,
    concurrentRequests: 1,
  };
  const expected = { inputTokens: 30, outputTokens: 50 };

  it.each<[string, (hold: LimitHold) => void, object]>([
    [
      'nothing yet',
      () => undefined,
      { inputTokens: 70, outputTokens: 50, totalTokens: 120, requests: 9, running: 1 },
    ],
    [
      'release(), which frees its place only',
      (hold) => hold.release(),
      { inputTokens: 70, outputTokens: 50, totalTokens: 120, requests: 9, running: 0 },
    ],
    [
      'settle() with less than expected',
      (hold) => hold.settle(spent(30, 10)),
      { inputTokens: 70, outputTokens: 90, totalTokens: 160, requests: 9, running: 0 },
    ],
    [
      'settle() with more than expected, and more than there is',
      (hold) => hold.settle(spent(40, 300)),
      { inputTokens: 60, outputTokens: -200, totalTokens: -140, requests: 9, running: 0 },
    ],
    [
      'settle() with what was expected',
      (hold) => hold.settle(spent(30, 50)),
      { inputTokens: 70, outputTokens: 50, totalTokens: 120, requests: 9, running: 0 },
    ],
    [
      'settle() of a request that used nothing',
      (hold) => hold.settle(undefined),
      { inputTokens: 100, outputTokens: 100, totalTokens: 200, requests: 9, running: 0 },
    ],
    [
      'release() and later settle()',
      (hold) => {
        hold.release();
        hold.settle(spent(30, 10));
      },
      { inputTokens: 70, outputTokens: 90, totalTokens: 160, requests: 9, running: 0 },
    ],
    [
      'everything several times, the first of which counts',
      (hold) => {
        hold.settle(spent(30, 10));
        hold.settle(spent(90, 90));
        hold.cancel();
        hold.release();
      },
      { inputTokens: 70, outputTokens: 90, totalTokens: 160, requests: 9, running: 0 },
    ],
  ])('after %s', (_name, act, left) => {
    const { take, levels } = limitsOf(limited);
    act(take(ann, expected));
    expect(levels()).toEqual({ 'free tier of ann': left });
  });

  it('cancel() gives all back', () => {
    const { take, levels } = limitsOf(limited);
    const hold = take(ann, expected);
    hold.cancel();
    hold.settle(spent(30, 10));
    expect(levels()).toEqual({});
  });

  it('gives back no more than there is room for', () => {
    const { clock, take, levels } = limitsOf({ requests: 10, outputTokens: 100 });
    const hold = take(ann, { outputTokens: 80 });
    clock.advance(minute);
    hold.settle(undefined);
    take(ann, { outputTokens: 1 });
    expect(levels()).toEqual({ 'free tier of ann': { outputTokens: 99, requests: 9, running: 1 } });
  });

  it('charges debts that must be paid off first', () => {
    const { clock, take, refused } = limitsOf({ outputTokens: 60 });
    take(ann, { outputTokens: 10 }).settle(spent(0, 150));
    expect(refused(ann, { outputTokens: 1 }).retryAfterMs).toBe(91_000);
    clock.advance(91_000);
    take(ann, { outputTokens: 1 });
  });
});

describe('update()', () => {
  const cost = { inputTokens: 60 };

  it.each<[string, Partial<LimitRule>, object]>([
    ['of a larger amount scales nothing', { inputTokens: 1000 }, { inputTokens: 40, running: 1 }],
    ['of a smaller amount leaves that at most', { inputTokens: 10 }, { inputTokens: 10, running: 1 }],
    [
      'of an amount that was not limited gives all of it',
      { inputTokens: 100, requests: 5 },
      { inputTokens: 40, requests: 5, running: 1 },
    ],
    ['of concurrent requests counts those that run', { concurrentRequests: 3 }, { running: 1 }],
  ])('%s', (_name, next, left) => {
    const { limits, take, levels } = limitsOf({ inputTokens: 100 });
    take(ann, cost);
    limits.update([rule(next)]);
    expect(levels()).toEqual({ 'free tier of ann': left });
  });

  it('refills at the old rate until then, and at the new one from then on', () => {
    const { clock, limits, take, levels } = limitsOf({ inputTokens: 60 });
    take(ann, cost);
    clock.advance(10_000);
    limits.update([rule({ inputTokens: 600 })]);
    clock.advance(10_000);
    expect(levels()).toEqual({ 'free tier of ann': { inputTokens: 110, running: 1 } });
  });

  it('forgets rules that are gone, but not what runs', () => {
    const { limits, take, refused, levels } = limitsOf({ requests: 5, concurrentRequests: 1 });
    const running = take(ann);
    take(bob).release();
    limits.update([]);
    expect(limits.take(ann, 'llama', { inputTokens: 0, outputTokens: 0 })).toBeUndefined();
    limits.update([rule({ requests: 5, concurrentRequests: 1 })]);
    expect(refused(ann).what).toBe('concurrent requests');
    expect(levels()).toEqual({ 'free tier of ann': { requests: 4, running: 1 } });
    running.settle(undefined);
    take(ann);
  });

  it('settles what began under other amounts', () => {
    const { limits, take, levels } = limitsOf({ inputTokens: 100 });
    const hold = take(ann, cost);
    limits.update([rule({ inputTokens: 50, outputTokens: 100 })]);
    hold.settle(spent(70, 30));
    expect(levels()).toEqual({ 'free tier of ann': { inputTokens: 30, outputTokens: 70, running: 0 } });
  });
});
