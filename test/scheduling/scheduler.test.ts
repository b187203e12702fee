import { describe, expect, it } from '@jest/globals';
import { Ticket } from '../../src/fairness/ticket.ts';
import { createDecisionLog } from '../../src/scheduling/decision-log.ts';
import { createProfile, type Profile, type ProfileConfig } from '../../src/scheduling/profile.ts';
import { createScheduler } from '../../src/scheduling/scheduler.ts';
import { anEndpoint, anOutcome, aRequest, someMetrics } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { fakeDeps } from '../support/scoring.ts';

function profileWith(...scorers: string[]) {
  return profileOf(scorers.map((type) => ({ type, params: {}, weight: 1 })));
}

function profileOf(scorers: ProfileConfig['scorers'], previous?: Profile) {
  return createProfile(
    {
      filters: [{ type: 'least-request', params: {} }],
      scorers,
      picker: { type: 'max-score', params: {} },
    },
    fakeDeps,
    previous,
  );
}

const prefixCache = (params: Record<string, unknown> = {}, weight = 1) => ({
  type: 'prefix-cache',
  params,
  weight,
});

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

  it('update() takes effect with the next request', () => {
    const { scheduler } = create('prefix-cache');
    const profile = profileWith('kv-cache');
    expect(scheduler.promptHeadBytes).toBe(8192);
    scheduler.update({ profile, maxEndpoints: 1 });
    expect(scheduler.profile).toBe(profile);
    expect(scheduler.promptHeadBytes).toBe(0);
    const candidates = [anEndpoint(0), anEndpoint(1)];
    expect(scheduler.schedule(aRequest(), candidates)).toMatchObject({ totals: [0.9] });
    scheduler.update({ profile, maxEndpoints: 2 });
    expect(scheduler.schedule(aRequest(), candidates)).toMatchObject({ totals: [0.9, 0.9] });
  });

  const survivals: [string, ReturnType<typeof prefixCache>, number][] = [
    ['survives another weight', prefixCache({}, 3), 3],
    ['survives another topKMatches', prefixCache({ topKMatches: 2 }), 1],
    ['survives another maxHashCacheSize', prefixCache({ maxHashCacheSize: 10 }), 1],
    ['survives another maxBlocksToMatch', prefixCache({ maxBlocksToMatch: 7 }), 1],
    ['survives another maxTotalEntries', prefixCache({ maxTotalEntries: 1000 }), 1],
    ['ends with another blockSizeToHash', prefixCache({ blockSizeToHash: 32 }), 0],
  ];
  it.each(survivals)('update() to a profile made from the one before: affinity %s', (_, scorer, total) => {
    const { scheduler } = create('prefix-cache');
    const [a, b] = [anEndpoint(0), anEndpoint(1)];
    const request = aRequest('a prompt of some length');
    scheduler.schedule(request, [b]);
    scheduler.update({ profile: profileOf([scorer], scheduler.profile), maxEndpoints: 2 });
    expect(scheduler.schedule(aRequest('a prompt of some length'), [a, b])).toMatchObject(
      total === 0 ? { totals: [0, 0] } : { ranked: [b, a], totals: [total, 0] },
    );
  });

  it('update() lets exchanges that the old profile routed settle with the new one', () => {
    const { scheduler, decisionLog } = create('prefix-cache');
    const [a, b] = [anEndpoint(0), anEndpoint(1)];
    const request = aRequest('prompt');
    scheduler.schedule(request, [a]);
    scheduler.update({ profile: profileOf([prefixCache({ blockSizeToHash: 2 })]), maxEndpoints: 2 });
    scheduler.settled(request, a, anOutcome(b));
    expect(decisionLog.list()[0]?.outcome?.servedBy).toBe(b.id);
    expect(scheduler.schedule(request, [a, b])).toMatchObject({ ranked: [b, a], totals: [1, 0] });
    expect(scheduler.memory()).toEqual({ 'prefix-cache': { entries: 3, evictions: 0 } });
  });

  it('update() forgets nothing of an endpoint that was lost before', () => {
    const { scheduler } = create('prefix-cache');
    const [a, b] = [anEndpoint(0), anEndpoint(1)];
    const successor = anEndpoint(1, { port: 9000 });
    const request = aRequest('prompt');
    scheduler.schedule(request, [a]);
    scheduler.endpointLost(b);
    for (const blockSizeToHash of [64, 32]) {
      const profile = profileOf([prefixCache({ blockSizeToHash, topKMatches: 9 })], scheduler.profile);
      scheduler.update({ profile, maxEndpoints: 1 });
      scheduler.settled(request, a, anOutcome(b));
      expect(scheduler.schedule(aRequest('prompt'), [successor])).toMatchObject({ totals: [0] });
      scheduler.endpointLost(successor);
    }
  });

  it('update() lets ties go on taking turns', () => {
    const { scheduler } = create('least-request');
    const candidates = [anEndpoint(0), anEndpoint(1), anEndpoint(2)];
    const firsts = Array.from({ length: 4 }, () => {
      const decision = scheduler.schedule(aRequest(), candidates);
      const scorer = { type: 'least-request', params: {}, weight: 2 };
      scheduler.update({ profile: profileOf([scorer], scheduler.profile), maxEndpoints: 2 });
      return decision.kind === 'chosen' && decision.ranked[0].slot;
    });
    expect(firsts).toEqual([0, 1, 2, 0]);
  });
});
