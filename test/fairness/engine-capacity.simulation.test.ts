/** Engine capacity against simulated engines in virtual time: does the queue stay with us, and is every engine busy? */
import { describe, expect, it } from '@jest/globals';
import type { Endpoint } from '../../src/endpoints/endpoint.ts';
import { EngineDriver } from '../../src/engine-sim/engine-driver.ts';
import type { EngineProfile } from '../../src/engine-sim/profile.ts';
import { defaultProfile } from '../../src/engine-sim/profile.ts';
import { logNormal, seededRandom } from '../../src/engine-sim/random.ts';
import { createEngineCapacity, type EngineCapacity } from '../../src/fairness/engine-capacity.ts';
import { anEndpoint, someMetrics } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';

interface Scene {
  readonly profile?: Partial<EngineProfile>;
  readonly engines?: number;
  readonly capacity: Pick<EngineCapacity, 'room' | 'learned'>;
  /** Of the median prompt, and of the median answer. */
  readonly tokens: { readonly prompt: number; readonly output: number };
  /** Absent: requests wait all the time. */
  readonly perSecond?: number;
  /** How many requests other clients keep at each engine. */
  readonly others?: number;
  /** Seconds without metrics. */
  readonly silent?: readonly [from: number, to: number];
}

/** What was seen every 20 ms after the first scrapes, engine by engine. */
interface Result {
  /** Lengths of engines' queues. */
  readonly waiting: readonly number[];
  readonly running: readonly number[];
  /** How often an engine did nothing while somebody waited. */
  readonly idle: number;
  /** How long those had waited that were sent meanwhile. */
  readonly waitsMs: readonly number[];
}

const firstScrapesMs = 10_000;
const durationMs = 30_000;
const lookEveryMs = 20;

/** Runs a scene. Requests take up to 20 ms to an engine and 3 ms back; engines are scraped about once a second. */
function play(scene: Scene): Result {
  const { capacity, engines = 1, perSecond } = scene;
  const clock = new FakeClock();
  const random = seededRandom(1);
  const profile = { ...defaultProfile, ...scene.profile };
  const endpoints = Array.from({ length: engines }, (_, slot) => anEndpoint(slot));
  const drivers = endpoints.map(
    () => new EngineDriver({ profile, clock, speed: 1, onEvent: () => undefined }),
  );
  const sinceMs: number[] = [];
  const waitsMs: number[] = [];
  let lastId = 0;

  function send(slot: number, onEnd: () => void): void {
    const { prompt, output } = scene.tokens;
    const request = {
      id: String(lastId++),
      promptTokens: Math.ceil(logNormal(random, prompt, 0.5)),
      outputTokens: Math.ceil(logNormal(random, output, 0.8)),
      finishReason: 'stop' as const,
      blockHashes: [],
    };
    drivers[slot]!.submit([request], ({ kind }) => {
      if (kind === 'finished') clock.after(3, onEnd);
    });
  }

  function roomiest(): Endpoint | undefined {
    return endpoints
      .filter((endpoint) => capacity.room(endpoint) > 0)
      .sort((a, b) => a.inFlight - b.inFlight)[0];
  }

  function release(): void {
    for (;;) {
      const endpoint = roomiest();
      if (endpoint === undefined || (perSecond !== undefined && sinceMs.length === 0)) return;
      const waitedMs = clock.nowMs() - (sinceMs.shift() ?? clock.nowMs());
      if (clock.nowMs() > firstScrapesMs) waitsMs.push(waitedMs);
      endpoint.inFlight++;
      clock.after(2 + 18 * random(), () =>
        send(endpoint.slot, () => {
          endpoint.inFlight--;
          release();
        }),
      );
    }
  }

  function keepSending(slot: number): void {
    send(slot, () => keepSending(slot));
  }

  function scrape(endpoint: Endpoint): void {
    const inFlightAtScrape = endpoint.inFlight;
    clock.after(3, () => {
      const { waiting, running } = drivers[endpoint.slot]!.stats();
      const [from = Infinity, to = 0] = scene.silent ?? [];
      const silent = clock.nowMs() > from * 1000 && clock.nowMs() < to * 1000;
      endpoint.metrics = silent ? undefined : someMetrics({ waiting, running, inFlightAtScrape });
      capacity.learned(endpoint);
      release();
      clock.after(900 + 200 * random(), () => scrape(endpoint));
    });
  }

  function arrive(): void {
    sinceMs.push(clock.nowMs());
    release();
    if (perSecond !== undefined) clock.after((-Math.log(1 - random()) * 1000) / perSecond, arrive);
  }

  for (const endpoint of endpoints) {
    for (let i = 0; i < (scene.others ?? 0); i++) keepSending(endpoint.slot);
    clock.after(1000 * random(), () => scrape(endpoint));
  }
  if (perSecond === undefined) release();
  else arrive();
  clock.advance(firstScrapesMs);
  const looks = { waiting: [] as number[], running: [] as number[], idle: 0 };
  while (clock.nowMs() < durationMs) {
    clock.advance(lookEveryMs);
    for (const driver of drivers) {
      const { running, waiting } = driver.stats();
      looks.waiting.push(waiting);
      looks.running.push(running);
      if (running + waiting === 0 && (perSecond === undefined || sinceMs.length > 0)) looks.idle++;
    }
  }
  return { ...looks, waitsMs };
}

function capacityFor(maxWaitingRequests: number): EngineCapacity {
  return createEngineCapacity({ maxWaitingRequests, maxInFlightPerEndpoint: 600 });
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

const fewSequences = { profile: { maxNumSeqs: 8 }, tokens: { prompt: 200, output: 130 } };
const manySequences = { profile: { maxNumSeqs: 64 }, tokens: { prompt: 200, output: 130 } };
const fewBlocks = { profile: { kvBlocks: 7000 }, tokens: { prompt: 700, output: 200 } };
const longPrompts = { tokens: { prompt: 8000, output: 60 } };

describe('createEngineCapacity() with saturated engines', () => {
  // `ran` is what the engines run on the average when they are sent everything at once.
  it.each([
    { name: 'few sequences', scene: fewSequences, ran: 8, max: 1, meanQueue: 1, longest: 3 },
    { name: 'few sequences', scene: fewSequences, ran: 8, max: 10, meanQueue: 10, longest: 12 },
    { name: 'two of them', scene: { ...fewSequences, engines: 2 }, ran: 8, max: 4, meanQueue: 4, longest: 6 },
    { name: 'many sequences', scene: manySequences, ran: 64, max: 1, meanQueue: 1, longest: 4 },
    { name: 'many sequences', scene: manySequences, ran: 64, max: 4, meanQueue: 4, longest: 8 },
    {
      name: 'and others',
      scene: { ...manySequences, others: 40 },
      ran: 64,
      max: 4,
      meanQueue: 4,
      longest: 8,
    },
    // What an engine can run changes all the time here, and is known once a second.
    { name: 'few blocks', scene: fewBlocks, ran: 115, max: 1, meanQueue: 3, longest: 20 },
    { name: 'few blocks', scene: fewBlocks, ran: 115, max: 4, meanQueue: 6, longest: 20 },
    { name: 'few blocks', scene: fewBlocks, ran: 115, max: 10, meanQueue: 13, longest: 30 },
    { name: 'long prompts', scene: longPrompts, ran: 41, max: 4, meanQueue: 6, longest: 12 },
  ])('keeps about $max in their own queues, and all of them busy: $name', (row) => {
    const { waiting, running, idle } = play({ ...row.scene, capacity: capacityFor(row.max) });
    expect(idle).toBe(0);
    expect(mean(waiting)).toBeLessThan(row.meanQueue + 0.5);
    expect(Math.max(...waiting)).toBeLessThanOrEqual(row.longest);
    expect(mean(running)).toBeGreaterThan(0.95 * row.ran);
  });

  it('goes on while there are no metrics', () => {
    const { waiting, idle } = play({ ...manySequences, capacity: capacityFor(4), silent: [15, 28] });
    expect(idle).toBe(0);
    expect(Math.max(...waiting)).toBeLessThanOrEqual(8);
  });
});

describe('createEngineCapacity() with engines that have room', () => {
  it.each([
    { name: 'few sequences', scene: { ...fewSequences, perSecond: 2.5 } },
    { name: 'many sequences', scene: { ...manySequences, perSecond: 20 } },
    { name: 'few blocks', scene: { ...fewBlocks, perSecond: 8 } },
  ])('hardly makes anybody wait: $name', ({ scene }) => {
    const { waitsMs } = play({ ...scene, capacity: capacityFor(4) });
    expect(waitsMs.length).toBeGreaterThan(40);
    expect(mean(waitsMs)).toBeLessThan(5);
  });
});
