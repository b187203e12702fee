import { describe, expect, it } from '@jest/globals';
import { createAdmission, type Admission, type Arrival, type Seen } from '../../src/fairness/admission.ts';
import { createLedger } from '../../src/fairness/ledger.ts';
import { createLocalLimitStore } from '../../src/fairness/limit-store.ts';
import { createModelQueues, type QueueSettings } from '../../src/fairness/model-queues.ts';
import { createTokenEstimates } from '../../src/fairness/token-estimates.ts';
import { createTokenLimits } from '../../src/fairness/token-limits.ts';
import type { LimitRule } from '../../src/fairness/limit-rule.ts';
import { anEndpoint } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';

const weights = { inputTokenWeight: 1, outputTokenWeight: 2, cachedTokenWeight: 1 };

const oneAtATime: QueueSettings = {
  kind: 'fairness',
  policy: 'vtc',
  ...weights,
  priorityTokenWeight: 1,
  priorityRequestNumWeight: 0,
  maxWaitingRequests: 1,
  maxInFlightPerEndpoint: 256,
  maxQueued: 1,
  maxQueuedPerFlow: 10,
  maxQueuedBytes: 1000,
  queueTimeoutMs: 1000,
  agingAfterMs: 0,
  maxConcurrent: 1,
  maxQps: 0,
};

function setUp(rules: readonly LimitRule[] = [], settings?: QueueSettings) {
  const clock = new FakeClock();
  const ledger = createLedger({ clock }, { ...weights, windowSizeMs: 60_000, maxEntries: 100 });
  const limits = createTokenLimits({ store: createLocalLimitStore({ clock }) }, rules);
  const estimates = createTokenEstimates();
  const endpoints = [anEndpoint(0)];
  const snapshot = {
    generation: 1,
    endpoints,
    readyByModel: new Map([['m', endpoints]]),
    models: new Set(['m']),
  };
  const queues = createModelQueues({ clock, ledger, snapshot: () => snapshot }, settings);
  const admission = createAdmission({ ledger, limits, queues, estimates });
  const leave = new AbortController();
  let asked = 0;
  return {
    clock,
    ledger,
    limits,
    estimates,
    leave,
    ask: (known: Partial<Arrival> = {}) =>
      admission.admit(
        {
          id: `request-${asked++}`,
          caller: { id: 'a', groups: [], tier: undefined },
          weight: 1,
          model: 'm',
          promptBytes: 400,
          keptBytes: 0,
          stream: true,
          maxOutputTokens: 50,
          sessionKey: undefined,
          ...known,
        },
        () => leave.signal,
      ),
    entry: () => ledger.list(1)[0],
    left: () => limits.list(1)[0]?.levels,
  };
}

async function letIn(asking: ReturnType<ReturnType<typeof setUp>['ask']>): Promise<Admission> {
  const result = await asking;
  if (result.kind !== 'admitted') throw new Error(`It was not let in: ${result.kind}`);
  return result.admission;
}

const seen: Seen = {
  usage: undefined,
  answered: true,
  generated: true,
  outputChunks: undefined,
  responseBytes: undefined,
  completed: false,
};

const usage = { inputTokens: 120, cachedInputTokens: 20, outputTokens: 30 };

const rule: LimitRule = {
  name: 'r',
  scope: 'principal',
  totalTokens: 1000,
  perMs: 60_000,
  concurrentRequests: 2,
};

describe('createAdmission()', () => {
  it('sets aside what is expected, and charges what was used', async () => {
    const { ask, entry, left } = setUp([rule]);
    const admission = await letIn(ask());
    // 400 bytes are about 100 tokens.
    expect(entry()?.reserved).toMatchObject({ inputTokens: 100, outputTokens: 50, requests: 1 });
    expect(left()).toMatchObject({ totalTokens: 850, running: 1 });
    admission.ended();
    expect(left()).toMatchObject({ running: 0 });
    expect(admission.settle({ ...seen, usage, completed: true })).toEqual({ ...usage, estimated: false });
    expect(entry()).toMatchObject({
      inputTokens: 120,
      cachedInputTokens: 20,
      outputTokens: 30,
      estimatedTokens: 0,
      reserved: { requests: 0, inputTokens: 0, outputTokens: 0 },
    });
    expect(left()).toMatchObject({ totalTokens: 850 });
  });

  it('takes all that a request may produce from limits, and what it probably will from turns', async () => {
    const { ask, entry, left, estimates } = setUp([rule]);
    for (let i = 0; i < 100; i++)
      estimates.learn('a', 'm', { promptBytes: 400, stream: true, responseBytes: 100, usage });
    await letIn(ask({ maxOutputTokens: 700 }));
    expect(entry()?.reserved.outputTokens).toBe(30);
    expect(left()!.totalTokens).toBeLessThan(1000 - 700);
  });

  it.each<[string, Partial<Seen>, object | undefined]>([
    ['by counted events', { outputChunks: 7, responseBytes: 9999 }, { inputTokens: 100, outputTokens: 7 }],
    ['by bytes', { responseBytes: 2000 }, { inputTokens: 100, outputTokens: 10 }],
    ['by what was expected', {}, { inputTokens: 100, outputTokens: 50 }],
    ['without output where none is generated', { generated: false }, { inputTokens: 100, outputTokens: 0 }],
    ['by the last account of a stream that broke off', { usage }, { inputTokens: 120, outputTokens: 30 }],
    ['nothing where no engine answered', { answered: false }, undefined],
  ])('charges a response without a final account %s', async (_, known, charged) => {
    const { ask, entry } = setUp();
    const admission = await letIn(ask());
    admission.ended();
    const spent = admission.settle({ ...seen, ...known });
    expect(spent).toEqual(
      charged && { cachedInputTokens: known.usage?.cachedInputTokens ?? 0, ...charged, estimated: true },
    );
    expect(entry()?.outputTokens ?? 0).toBe(spent?.outputTokens ?? 0);
  });

  it('learns from accounts that are complete, and from no others', async () => {
    const { ask, estimates } = setUp();
    const before = estimates.input('m', 400);
    for (const completed of [false, true]) {
      const admission = await letIn(ask());
      admission.settle({ ...seen, usage: { ...usage, inputTokens: 400 }, completed });
      expect(estimates.input('m', 400) > before).toBe(completed);
    }
  });

  it('gives all back of a request that was not sent', async () => {
    const { ask, entry, left } = setUp([{ ...rule, requests: 5 }]);
    const admission = await letIn(ask());
    admission.ended();
    expect(admission.settle(undefined)).toBeUndefined();
    expect(left()).toBeUndefined();
    expect(entry()?.reserved.requests ?? 0).toBe(0);
  });

  it('counts a request that failed as a request, and its tokens not', async () => {
    const { ask, left } = setUp([{ ...rule, requests: 5 }]);
    const admission = await letIn(ask());
    admission.ended();
    admission.settle({ ...seen, answered: false });
    expect(left()).toMatchObject({ requests: 4, totalTokens: 1000 });
  });

  it('says which limit was reached, and takes nothing then', async () => {
    const { ask, entry } = setUp([{ ...rule, totalTokens: 200 }]);
    await letIn(ask());
    const before = entry();
    expect(await ask()).toMatchObject({ kind: 'limited', refusal: { limit: 'r', what: 'total tokens' } });
    expect(entry()).toEqual(before);
  });

  it('gives back what was taken of limits when the queue is full, is left, or takes too long', async () => {
    const { ask, left, leave, clock } = setUp([{ ...rule, concurrentRequests: 9 }], oneAtATime);
    await letIn(ask());
    const waiting = ask();
    expect(await ask()).toMatchObject({ kind: 'full', scope: 'queue' });
    expect(left()).toMatchObject({ running: 2 });
    clock.advance(1000);
    expect(await waiting).toEqual({ kind: 'timeout' });
    expect(left()).toMatchObject({ running: 1 });
    const another = ask();
    leave.abort();
    expect(await another).toEqual({ kind: 'left' });
    expect(left()).toMatchObject({ running: 1, totalTokens: 850 + 1000 / 60 });
  });

  it('lets the next one go when one has ended, before it is known what that used', async () => {
    const { ask } = setUp([], oneAtATime);
    const first = await letIn(ask());
    const second = ask();
    first.started();
    first.ended();
    await letIn(second);
    first.settle({ ...seen, usage, completed: true });
  });

  it('answers at once where nobody has to be waited for', () => {
    expect(setUp([rule], oneAtATime).ask()).toMatchObject({ kind: 'admitted' });
  });
});
