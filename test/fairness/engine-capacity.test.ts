import { beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Endpoint, EngineMetrics } from '../../src/endpoints/endpoint.ts';
import { createEngineCapacity, type EngineCapacity } from '../../src/fairness/engine-capacity.ts';
import { anEndpoint, someMetrics } from '../support/endpoints.ts';

const options = { maxWaitingRequests: 10, maxInFlightPerEndpoint: 256 };

let capacity: EngineCapacity;

beforeEach(() => {
  capacity = createEngineCapacity(options);
});

/** A scrape of an engine that says all there is to say, all of it ours unless told otherwise. */
function scraped(
  running: number,
  waiting: number,
  inFlightAtScrape = running + waiting,
): Pick<EngineMetrics, 'running' | 'waiting' | 'inFlightAtScrape'> {
  return { running, waiting, inFlightAtScrape };
}

/** Shows a scrape to an endpoint, which has so many in flight as the scrape found, and to the capacity. */
function scrape(endpoint: Endpoint, running: number, waiting: number, inFlight = running + waiting): void {
  endpoint.inFlight = inFlight;
  endpoint.metrics = someMetrics(scraped(running, waiting, inFlight));
  capacity.learned(endpoint);
}

describe('room()', () => {
  interface Case {
    readonly name: string;
    readonly inFlight: number;
    readonly metrics?: Partial<EngineMetrics>;
    readonly room: number;
  }
  const unknown: readonly Case[] = [
    { name: 'sixteen without metrics', inFlight: 0, room: 16 },
    { name: 'what is left of sixteen without metrics', inFlight: 15, room: 1 },
    { name: 'nothing beyond sixteen without metrics', inFlight: 17, room: 0 },
    { name: 'sixteen for an idle engine', inFlight: 0, metrics: scraped(0, 0), room: 16 },
    {
      name: 'the rest of sixteen for those sent since',
      inFlight: 12,
      metrics: scraped(3, 0),
      room: 16 - 12,
    },
    { name: 'as sixteen, what other clients have there', inFlight: 0, metrics: scraped(6, 0, 0), room: 10 },
    {
      name: 'up to maxWaitingRequests in a queue',
      inFlight: 24,
      metrics: scraped(20, 4),
      room: 10 - 4,
    },
    {
      name: 'more where the queue moved up since',
      inFlight: 21,
      metrics: scraped(20, 4),
      room: 10 - 4 + 3,
    },
    {
      name: 'less where more was sent since',
      inFlight: 29,
      metrics: scraped(20, 4),
      room: 10 - 4 - 5,
    },
    { name: 'nothing in a full queue', inFlight: 30, metrics: scraped(20, 10), room: 0 },
    { name: 'nothing in an overfull queue', inFlight: 50, metrics: scraped(20, 30), room: 0 },
    {
      name: 'nothing in a queue that other clients filled',
      inFlight: 3,
      metrics: scraped(20, 12, 3),
      room: 0,
    },
    {
      name: 'one for an endpoint without requests of ours, however full',
      inFlight: 0,
      metrics: scraped(20, 50, 0),
      room: 1,
    },
    {
      name: 'the same where the engine does not say what waits',
      inFlight: 24,
      metrics: { running: 20, inFlightAtScrape: 24 },
      room: 10 - 4,
    },
    {
      name: 'the same where the engine does not say what runs',
      inFlight: 24,
      metrics: { waiting: 4, inFlightAtScrape: 24 },
      room: 10 - 4,
    },
    {
      name: 'as without metrics where the engine says neither',
      inFlight: 10,
      metrics: { inFlightAtScrape: 10, kvCacheUsage: 1 },
      room: 6,
    },
  ];
  it.each(unknown)('gives an engine that nothing is known of $name', ({ inFlight, metrics, room }) => {
    const endpoint = anEndpoint(0, { inFlight, metrics: metrics && someMetrics(metrics) });
    expect(capacity.room(endpoint)).toBe(room);
  });

  it('never goes beyond maxInFlightPerEndpoint', () => {
    capacity.update({ ...options, maxInFlightPerEndpoint: 8 });
    expect([0, 3, 8, 9].map((inFlight) => capacity.room(anEndpoint(0, { inFlight })))).toEqual([8, 5, 0, 0]);
  });

  it.each([
    { maxWaitingRequests: 1, waiting: 1, full: false },
    { maxWaitingRequests: 1, waiting: 2, full: true },
    { maxWaitingRequests: 8, waiting: 2, full: true },
    { maxWaitingRequests: 10, waiting: 2, full: false },
    { maxWaitingRequests: 10, waiting: 3, full: true },
    { maxWaitingRequests: 40, waiting: 9, full: false },
    { maxWaitingRequests: 40, waiting: 10, full: true },
  ])(
    'takes $waiting waiting of at most $maxWaitingRequests for a full engine: $full',
    ({ maxWaitingRequests, waiting, full }) => {
      capacity.update({ maxWaitingRequests, maxInFlightPerEndpoint: 1000 });
      const endpoint = anEndpoint(0);
      scrape(endpoint, 100, 0);
      scrape(endpoint, 100, waiting);
      // What is not full may double.
      expect(capacity.room(endpoint)).toBe(full ? Math.max(0, maxWaitingRequests - waiting) : 100 - waiting);
    },
  );

  it('doubles with each scrape until the engine is full, and starts from there the next time', () => {
    const endpoint = anEndpoint(0);
    const sent: number[] = [];
    for (const running of [0, 16, 32, 64]) {
      scrape(endpoint, running, 0);
      sent.push(capacity.room(endpoint));
    }
    expect(sent).toEqual([16, 16, 32, 64]);
    scrape(endpoint, 100, 28);
    expect(capacity.room(endpoint)).toBe(0);
    scrape(endpoint, 0, 0);
    expect(capacity.room(endpoint)).toBe(100 + 10);
    endpoint.inFlight = 110;
    expect(capacity.room(endpoint)).toBe(0);
  });

  it('lets an engine that was not seen full double what it ran before, also after a lull', () => {
    const endpoint = anEndpoint(0);
    scrape(endpoint, 40, 0);
    scrape(endpoint, 0, 0);
    expect(capacity.room(endpoint)).toBe(80);
  });

  it('goes by the concurrency that was last seen of a full engine', () => {
    const endpoint = anEndpoint(0);
    scrape(endpoint, 100, 10);
    scrape(endpoint, 30, 10);
    scrape(endpoint, 0, 0);
    expect(capacity.room(endpoint)).toBe(30 + 10);
  });

  it('counts at least one as the concurrency of a full engine', () => {
    const endpoint = anEndpoint(0);
    scrape(endpoint, 0, 16);
    scrape(endpoint, 0, 0);
    expect(capacity.room(endpoint)).toBe(1 + 10);
  });

  it('adds maxWaitingRequests to what a full engine ran, then doubles that while it runs more', () => {
    const endpoint = anEndpoint(0);
    scrape(endpoint, 100, 10);
    const bounds: number[] = [];
    for (const running of [100, 105, 112, 111, 130]) {
      scrape(endpoint, running, 0);
      bounds.push(endpoint.inFlight + capacity.room(endpoint));
    }
    expect(bounds).toEqual([100 + 10, 105 + 20, 112 + 40, 112 + 40, 130 + 80]);
    scrape(endpoint, 130, 10);
    scrape(endpoint, 120, 0);
    expect(endpoint.inFlight + capacity.room(endpoint)).toBe(130 + 10);
  });

  it('never adds more than what the engine ran', () => {
    const endpoint = anEndpoint(0);
    capacity.update({ ...options, maxWaitingRequests: 1 });
    scrape(endpoint, 2, 2);
    for (const running of [3, 4, 5]) scrape(endpoint, running, 0);
    expect(endpoint.inFlight + capacity.room(endpoint)).toBe(5 + 5);
  });

  it('does not take a request that has just arrived for a full engine', () => {
    const endpoint = anEndpoint(0);
    scrape(endpoint, 100, 10);
    scrape(endpoint, 20, 1);
    expect(endpoint.inFlight + capacity.room(endpoint)).toBe(100 + 10);
  });

  it('respects what other clients run and have waiting', () => {
    const endpoint = anEndpoint(0);
    scrape(endpoint, 64, 10);
    scrape(endpoint, 50, 0, 10);
    expect(capacity.room(endpoint)).toBe(64 + 10 - 50);
    endpoint.inFlight = 12;
    expect(capacity.room(endpoint)).toBe(64 + 10 - 52);
  });

  it('counts requests that are on their way to the engine', () => {
    const endpoint = anEndpoint(0);
    scrape(endpoint, 0, 0, 16);
    expect(capacity.room(endpoint)).toBe(0);
  });

  it('keeps to the concurrency of before while there are no metrics', () => {
    const endpoint = anEndpoint(0);
    scrape(endpoint, 40, 0);
    endpoint.metrics = undefined;
    expect(capacity.room(endpoint)).toBe(0);
    endpoint.inFlight = 30;
    expect(capacity.room(endpoint)).toBe(10);
    scrape(endpoint, 3, 10);
    endpoint.metrics = undefined;
    const rooms = [2, 3, 4].map((inFlight) => {
      endpoint.inFlight = inFlight;
      return capacity.room(endpoint);
    });
    expect(rooms).toEqual([1, 0, 0]);
  });
});

describe('free()', () => {
  it('adds up the endpoints, and an overfull one takes nothing away', () => {
    const endpoints = [anEndpoint(0), anEndpoint(1, { inFlight: 12 }), anEndpoint(2, { inFlight: 30 })];
    expect(capacity.free(endpoints)).toBe(16 + 4 + 0);
    expect(capacity.free([])).toBe(0);
  });

  it('is never 0 while an endpoint has nothing in flight, and never negative or a fraction', () => {
    const amount = fc.option(fc.nat(300), { nil: undefined });
    const step = fc.record({
      running: amount,
      waiting: amount,
      inFlightAtScrape: fc.nat(300),
      since: fc.nat(40),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), fc.integer({ min: 1, max: 40 }), (steps, max) => {
        const subject = createEngineCapacity({ maxWaitingRequests: max, maxInFlightPerEndpoint: 100 });
        const endpoint = anEndpoint(3);
        for (const { since, ...metrics } of steps) {
          endpoint.metrics = someMetrics(metrics);
          endpoint.inFlight = since;
          subject.learned(endpoint);
          const free = subject.free([endpoint]);
          expect(Number.isInteger(free) && free >= 0 && since + free <= Math.max(100, since)).toBe(true);
          endpoint.inFlight = 0;
          expect(subject.free([endpoint])).toBeGreaterThanOrEqual(1);
        }
      }),
    );
  });
});

describe('lost()', () => {
  it('forgets what was learned of the endpoint, and of no other', () => {
    const [lost, kept] = [anEndpoint(0), anEndpoint(1)];
    for (const endpoint of [lost, kept]) scrape(endpoint, 100, 10);
    capacity.lost(lost);
    for (const endpoint of [lost, kept]) {
      endpoint.metrics = undefined;
      endpoint.inFlight = 0;
    }
    expect([capacity.room(lost), capacity.room(kept)]).toEqual([16, 100]);
  });
});

describe('learned()', () => {
  it('is about the endpoint and not about its slot', () => {
    scrape(anEndpoint(0), 100, 10);
    expect(capacity.room(anEndpoint(0))).toBe(16);
  });

  it('learns nothing twice from one scrape, and nothing from none', () => {
    const endpoint = anEndpoint(0);
    scrape(endpoint, 100, 10);
    scrape(endpoint, 105, 0);
    capacity.learned(endpoint);
    expect(endpoint.inFlight + capacity.room(endpoint)).toBe(105 + 20);
    endpoint.metrics = undefined;
    capacity.learned(endpoint);
    endpoint.metrics = someMetrics(scraped(105, 0));
    expect(endpoint.inFlight + capacity.room(endpoint)).toBe(105 + 20);
  });
});

describe('update()', () => {
  it('keeps what was learned', () => {
    const endpoint = anEndpoint(0);
    scrape(endpoint, 100, 10);
    capacity.update({ ...options, maxWaitingRequests: 4 });
    scrape(endpoint, 0, 0);
    expect(capacity.room(endpoint)).toBe(104);
  });
});
