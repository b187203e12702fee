import { describe, expect, it } from '@jest/globals';
import { Ticket } from '../../src/fairness/ticket.ts';
import { createDecisionLog } from '../../src/scheduling/decision-log.ts';
import { createProfile } from '../../src/scheduling/profile.ts';
import { createScheduler } from '../../src/scheduling/scheduler.ts';
import { anEndpoint, anOutcome, aRequest, someMetrics } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { fakeDeps } from '../support/scoring.ts';

function profileWith(...scorers: string[]) {
  return createProfile(
    {
      filters: [{ type: 'least-request', params: {} }],
      scorers: scorers.map((type) => ({ type, params: {}, weight: 1 })),
      picker: { type: 'max-score', params: {} },
    },
    fakeDeps,
  );
}

function create(...scorers: string[]) {
  const decisionLog = createDecisionLog(10);
  const scheduler = createScheduler({
    profile: profileWith(...scorers),
    clock: new FakeClock(),
    decisionLog,
    maxEndpoints: 2,
  });
  return { scheduler, decisionLog };
}

describe('createScheduler()', () => {
  it('schedule() learns in the same call', () => {
    const { scheduler } = create('prefix-cache');
    const candidates = [anEndpoint(0), anEndpoint(1), anEndpoint(2)];
    const prompt = 'a prompt of some length';
    const first = scheduler.schedule(aRequest(prompt, { id: '1' }), candidates);
    const second = scheduler.schedule(aRequest(prompt, { id: '2' }), candidates);
    expect(first).toMatchObject({ kind: 'chosen', ranked: [candidates[0], candidates[1]] });
    expect(second).toMatchObject({ kind: 'chosen', totals: [1, 0] });
    expect(second.kind === 'chosen' && second.ranked[0]).toBe(candidates[0]);
  });

  it('schedule() with tickets spreads a burst evenly', () => {
    const { scheduler } = create('least-request');
    const candidates = [anEndpoint(0), anEndpoint(1), anEndpoint(2)];
    const tickets = Array.from({ length: 30 }, (_, i) => {
      const ticket = new Ticket();
      const decision = scheduler.schedule(aRequest('', { id: `${i}` }), candidates);
      if (decision.kind === 'chosen') ticket.routeTo(decision.ranked[0]);
      return ticket;
    });
    expect(candidates.map(({ inFlight }) => inFlight)).toEqual([10, 10, 10]);
    for (const ticket of tickets) ticket.settle();
    expect(candidates.map(({ inFlight }) => inFlight)).toEqual([0, 0, 0]);
  });

  it('schedule() learns nothing where nobody was left', () => {
    const { scheduler, decisionLog } = create('prefix-cache');
    const full = anEndpoint(0, { metrics: someMetrics({ waiting: 10 }) });
    expect(scheduler.schedule(aRequest('prompt'), [full])).toEqual({
      kind: 'none',
      filter: 'least-request',
      whenEmpty: 'saturated',
      candidates: 1,
    });
    expect(decisionLog.list()[0]?.refused).toEqual({ filter: 'least-request', as: 'saturated' });
    full.metrics = undefined;
    expect(scheduler.schedule(aRequest('prompt'), [full])).toMatchObject({ totals: [0] });
  });

  it('settled() and endpointLost() reach the plugins and the log', () => {
    const { scheduler, decisionLog } = create('prefix-cache');
    const [a, b] = [anEndpoint(0), anEndpoint(1)];
    const request = aRequest('prompt', { id: 'r1' });
    scheduler.schedule(request, [a]);
    scheduler.settled(request, a, anOutcome(b));
    expect(decisionLog.list()[0]?.outcome?.servedBy).toBe(b.id);
    expect(scheduler.schedule(request, [b])).toMatchObject({ totals: [1] });
    scheduler.endpointLost(b);
    expect(scheduler.schedule(request, [b])).toMatchObject({ totals: [0] });
  });

  it('setProfile() takes effect with the next request', () => {
    const { scheduler } = create('prefix-cache');
    expect(scheduler.promptHeadBytes).toBe(8192);
    scheduler.setProfile(profileWith('kv-cache'));
    expect(scheduler.promptHeadBytes).toBe(0);
    expect(scheduler.schedule(aRequest(), [anEndpoint(0)])).toMatchObject({ totals: [0.9] });
  });
});
