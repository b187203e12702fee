import { beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Endpoint, EndpointSnapshot } from '../../src/endpoints/endpoint.ts';
import {
  createRequestStats,
  type EndpointStats,
  type RequestStats,
} from '../../src/observability/request-stats.ts';
import type { ExchangeRecord, OutcomeKind } from '../../src/request/exchange-record.ts';
import { anEndpoint } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { aRecord, completed, routedRecord } from './support/records.ts';

let a: Endpoint, b: Endpoint, c: Endpoint;
let clock: FakeClock;
let stats: RequestStats;

beforeEach(() => {
  [a, b, c] = [anEndpoint(1), anEndpoint(2), anEndpoint(3)];
  clock = new FakeClock();
  stats = createRequestStats({ clock, snapshot: () => snapshotOf(a, b, c) }, { windowMs: 10_000 });
});

function snapshotOf(...endpoints: readonly Endpoint[]): EndpointSnapshot {
  return { generation: 1, endpoints, readyByModel: new Map(), models: new Set() };
}

function statsOf(endpoint: Endpoint): EndpointStats {
  const known = stats.of(endpoint);
  if (known === undefined) throw new Error(`statistics of ${endpoint.id} expected`);
  return known;
}

/** Prefill, decoding, finished. */
function gauges(endpoint: Endpoint): readonly number[] {
  const { inPrefill, inDecoding, finished } = statsOf(endpoint);
  return [inPrefill, inDecoding, finished];
}

function route(endpoint: Endpoint, others: readonly Endpoint[] = []): ExchangeRecord {
  const record = routedRecord([endpoint, ...others]);
  stats.routed(record, endpoint);
  return record;
}

function respond(record: ExchangeRecord, servedBy?: string): void {
  record.servedBy = servedBy;
  stats.responded(record);
}

function end(record: ExchangeRecord, known: Partial<ExchangeRecord>): void {
  stats.ended(Object.assign(record, known));
}

describe('createRequestStats()', () => {
  it('knows nothing of an endpoint that no request was sent to', () => {
    route(a);
    expect(stats.of(b)).toBeUndefined();
    expect(statsOf(a)).toEqual({
      qps: 0.1,
      ttftMs: undefined,
      latencyMs: undefined,
      itlMs: undefined,
      decodingLength: undefined,
      inPrefill: 1,
      inDecoding: 0,
      finished: 0,
    });
  });

  it('forgets an endpoint with its record: one that comes back at the same address begins anew', () => {
    route(a);
    expect(stats.of(anEndpoint(1))).toBeUndefined();
  });

  it('counts arrivals in the window by its length, as vllm-router does', () => {
    for (const atMs of [0, 1000, 2000, 11_000]) {
      clock.advance(atMs - clock.nowMs());
      route(a);
    }
    expect(statsOf(a).qps).toBe(0.3);
    clock.advance(19_000);
    expect(statsOf(a).qps).toBe(0);
  });

  it('takes the mean of the times to the first token that are known', () => {
    end(route(a), { ...completed(900), ttftMs: 200 });
    end(route(a), { ...completed(900), ttftMs: 400 });
    end(route(a), completed(900));
    expect(statsOf(a).ttftMs).toBe(300);
    clock.advance(11_000);
    expect(statsOf(a)).toMatchObject({ ttftMs: undefined, latencyMs: undefined, finished: 3 });
  });

  it.each<[string, Partial<ExchangeRecord>, number | undefined]>([
    ['a whole response', completed(300), 300],
    ['one that the client left', { outcome: 'aborted', durationMs: 300 }, 300],
    ['one that Envoy let pass', { outcome: 'unknown', status: 200, durationMs: 300 }, 300],
    ['no failure', { outcome: 'failed', status: 503, durationMs: 3 }, undefined],
    ['no bug of ours', { outcome: 'rejected', reason: 'internal', status: 500, durationMs: 3 }, undefined],
    ['nothing that never came', { outcome: 'unknown', status: 0, durationMs: 3 }, undefined],
  ])('counts in the latency: %s', (_, known, latencyMs) => {
    end(route(a), known);
    expect(statsOf(a).latencyMs).toBe(latencyMs);
    end(route(a), completed(100));
    expect(statsOf(a).latencyMs).toBe(latencyMs === undefined ? 100 : 200);
    expect(gauges(a)).toEqual([0, 0, 2]);
  });

  it('measures time between tokens after the first one', () => {
    end(route(a), { ...completed(1100, 11), ttftMs: 100 });
    end(route(a), { ...completed(500, 5), ttftMs: 300 });
    // Neither has a time between two tokens, or one that is known.
    end(route(a), { ...completed(9000, 1), ttftMs: 9000 });
    end(route(a), completed(9000, 3));
    expect(statsOf(a).itlMs).toBe(75);
    expect(statsOf(a).decodingLength).toBe(5);
  });

  it('estimates time between tokens from whole durations where no body was seen', () => {
    end(route(a), completed(1000, 40));
    end(route(a), completed(200, 8));
    end(route(a), completed(5000, 0));
    end(route(a), completed(5000));
    expect(statsOf(a)).toMatchObject({ itlMs: 25, decodingLength: 24, latencyMs: 2800 });
  });

  it('follows an exchange from prefill to decoding to its end', () => {
    const record = route(a);
    expect(gauges(a)).toEqual([1, 0, 0]);
    respond(record, a.id);
    expect(gauges(a)).toEqual([0, 1, 0]);
    end(record, completed(100));
    expect(gauges(a)).toEqual([0, 0, 1]);
  });

  it.each<[string, () => string | undefined, () => Endpoint]>([
    ['another of the ranked', () => b.id, () => b],
    ['an endpoint that was not ranked', () => c.id, () => c],
    ['nobody of ours', () => '192.0.2.1:1', () => a],
    ['nobody says who', () => undefined, () => a],
  ])('credits who served: %s', (_, servedBy, credited) => {
    const record = route(a, [b]);
    respond(record, servedBy());
    expect(gauges(credited())).toEqual([0, 1, 0]);
    expect(statsOf(a).inPrefill).toBe(0);
    end(record, completed(100, 2));
    expect(gauges(credited())).toEqual([0, 0, 1]);
    expect(statsOf(credited()).latencyMs).toBe(100);
    expect(statsOf(a).qps).toBe(0.1);
  });

  it('credits who served where that is known at the end only', () => {
    const record = route(a, [b]);
    end(record, { ...completed(100), servedBy: b.id });
    expect(gauges(a)).toEqual([0, 0, 0]);
    expect(gauges(b)).toEqual([0, 0, 1]);
  });

  it('does not mind exchanges that were never routed, and what comes twice or late', () => {
    const refused = aRecord({ outcome: 'rejected' });
    stats.responded(refused);
    stats.ended(refused);
    const record = route(a);
    respond(record, a.id);
    respond(record, a.id);
    expect(gauges(a)).toEqual([0, 1, 0]);
    end(record, completed(100));
    end(record, completed(100));
    respond(record, a.id);
    expect(gauges(a)).toEqual([0, 0, 1]);
  });

  it('tells for how long it has had requests', () => {
    clock.advance(500);
    expect(stats.uptimeMs()).toBe(0);
    route(a);
    clock.advance(1570);
    route(b);
    expect(stats.uptimeMs()).toBe(1570);
  });

  it('update() takes another window, and what is known of the past into it', () => {
    for (let i = 0; i < 10; i++) {
      end(route(a), completed(i < 5 ? 100 : 300));
      clock.advance(1000);
    }
    expect(statsOf(a)).toMatchObject({ qps: 1, latencyMs: 200 });
    stats.update({ windowMs: 5000 });
    expect(statsOf(a)).toMatchObject({ qps: 1, latencyMs: 300 });
    stats.update({ windowMs: 20_000 });
    expect(statsOf(a)).toMatchObject({ qps: 0.25, latencyMs: 300, finished: 10 });
    stats.update({ windowMs: 20_000 });
    expect(statsOf(a).qps).toBe(0.25);
  });
});

describe('RequestStats', () => {
  type Step = 'routed' | 'responded' | 'ended';
  const outcomes: readonly OutcomeKind[] = ['completed', 'aborted', 'failed', 'rejected', 'unknown'];

  it('has each exchange in one place, and in none once it ended', () => {
    const exchange = fc.record({
      routedTo: fc.integer({ min: 0, max: 2 }),
      servedBy: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
      serverKnownAtHead: fc.boolean(),
      outcome: fc.constantFrom(...outcomes),
      responds: fc.boolean(),
    });
    const run = fc.record({
      exchanges: fc.array(exchange, { minLength: 1, maxLength: 20 }),
      // Which exchange takes its next step.
      order: fc.array(fc.nat(19), { maxLength: 100 }),
    });
    fc.assert(
      fc.property(run, ({ exchanges, order }) => {
        const endpoints = [anEndpoint(1), anEndpoint(2), anEndpoint(3)];
        const foreign = anEndpoint(99);
        const tested = createRequestStats(
          { clock: new FakeClock(), snapshot: () => snapshotOf(...endpoints) },
          { windowMs: 10_000 },
        );
        /** Where each exchange must be; index 3 is nobody's. */
        const inPrefill = [0, 0, 0];
        const inDecoding = [0, 0, 0];
        const finished = [0, 0, 0];
        const running = exchanges.map((plan) => {
          const { routedTo, servedBy, serverKnownAtHead, responds } = plan;
          const record = routedRecord([endpoints[routedTo]!, endpoints[(routedTo + 1) % 3]!]);
          const steps: Step[] = responds ? ['routed', 'responded', 'ended'] : ['routed', 'ended'];
          const server = servedBy === undefined || servedBy === 3 ? routedTo : servedBy;
          const name = servedBy === undefined ? undefined : [...endpoints, foreign][servedBy]!.id;
          return { plan, record, steps, server, name, headServer: serverKnownAtHead ? server : routedTo };
        });

        function step(index: number): void {
          const exchange = running[index % running.length]!;
          const { plan, record, server, name, headServer } = exchange;
          const next = exchange.steps.shift();
          switch (next) {
            case 'routed':
              tested.routed(record, endpoints[plan.routedTo]!);
              inPrefill[plan.routedTo]!++;
              break;
            case 'responded':
              record.servedBy = plan.serverKnownAtHead ? name : undefined;
              tested.responded(record);
              inPrefill[plan.routedTo]!--;
              inDecoding[headServer]!++;
              break;
            case 'ended':
              record.servedBy = name;
              record.outcome = plan.outcome;
              tested.ended(record);
              if (plan.responds) inDecoding[headServer]!--;
              else inPrefill[plan.routedTo]!--;
              finished[server]!++;
              break;
            case undefined:
              // It is over: whatever comes still changes nothing.
              if (index % 2 === 0) tested.responded(record);
              else tested.ended(record);
              break;
            default:
              next satisfies never;
          }
          endpoints.forEach((endpoint, i) => {
            const known = tested.of(endpoint) ?? { inPrefill: 0, inDecoding: 0, finished: 0 };
            expect([known.inPrefill, known.inDecoding, known.finished]).toEqual([
              inPrefill[i],
              inDecoding[i],
              finished[i],
            ]);
          });
        }

        for (const index of order) step(index);
        running.forEach(({ steps }, index) => {
          while (steps.length > 0) step(index);
        });
        expect([...inPrefill, ...inDecoding]).toEqual([0, 0, 0, 0, 0, 0]);
        expect(finished.reduce((sum, count) => sum + count)).toBe(exchanges.length);
      }),
    );
  });
});
