/** How many more requests engines can take now, so that what has to wait waits where its order can still change. */
import type { Endpoint, EngineMetrics } from '../endpoints/endpoint.ts';

export interface EngineCapacityOptions {
  /** How many requests an engine may have in its own queue, where nobody's turn counts: 1 or more. */
  readonly maxWaitingRequests: number;
  /** Most exchanges of this process in flight at one endpoint, whatever its metrics say: 1 or more. */
  readonly maxInFlightPerEndpoint: number;
}

/**
 * Engines do not say how many requests they can work on at once, and it changes with what is asked of them. Each scrape
 * tells a little:
 *
 * - **Its queue is long** (2 requests, and a quarter of `maxWaitingRequests`): the engine is full, and `running` is its
 *   concurrency. Each completion moves one of its queue up, so that the queue is now as long as at the scrape, plus what
 *   was sent since, minus what ended since: room = maxWaitingRequests - queue.
 * - **Hardly anything waits**: what does has only just arrived, since engines take new requests in at their next step.
 *   Then the load, which is what the engine ran and had waiting or we had in flight if that was more, plus what was sent
 *   since, minus what ended since, may grow to the concurrency and a surplus: room = concurrency + surplus - load.
 *
 * The surplus is `maxWaitingRequests` after a full engine was seen, and doubles whenever the engine then runs more than
 * ever since without a long queue; it is never above the concurrency, unless `maxWaitingRequests` is. Of an engine that
 * was never seen full it is the concurrency: a new engine is sent 16, 32, 64, … requests, twice as many with each scrape.
 * Without metrics, or with old ones, the bound is the concurrency known from before, else 16.
 *
 * Requests of other clients are in `running` and `waiting` and take their room. An endpoint without any request of ours
 * has room for one whatever the numbers say: no engine is idle for fear of being full.
 *
 * Two simpler rules did worse with simulated engines. To call an engine full for any queue, also that of a request which
 * had just arrived, holds bursts back until the next scrape and forgets what was learned. To double without regard to a
 * queue seen before makes engines whose KV cache is the limit queue many times what they may.
 */
export interface EngineCapacity {
  /** Room of all endpoints together. Allocates nothing. */
  free(endpoints: readonly Endpoint[]): number;
  /** How many more requests the endpoint can take: 0 or more. */
  room(endpoint: Endpoint): number;
  /** Call it with every scrape, once `endpoint.metrics` is there. */
  learned(endpoint: Endpoint): void;
  /** Another engine may be there now, or none: forgets what was learned. */
  lost(endpoint: Endpoint): void;
  /** What was learned stays. */
  update(options: EngineCapacityOptions): void;
}

/** What is known of an engine. */
interface Known {
  /** Most requests that it was seen to run since it was last full, or when it was. */
  readonly concurrency: number;
  /** The surplus in units of `maxWaitingRequests`: 1 after it was full, infinite where it never was. */
  readonly growth: number;
}

/** What scrapes have taught about the engine of an endpoint. */
interface Lesson extends Known {
  readonly endpoint: Endpoint;
  concurrency: number;
  growth: number;
}

const nothingKnown: Known = { concurrency: 0, growth: Infinity };

/** What an engine of which nothing is known is sent at once. */
const firstRequests = 16;

/** Creates the capacity of engines of which nothing is known yet. */
export function createEngineCapacity(initial: EngineCapacityOptions): EngineCapacity {
  let options = initial;
  /** By the slot of the endpoint. */
  const lessons: (Lesson | undefined)[] = [];

  function lessonOf(endpoint: Endpoint): Lesson | undefined {
    const lesson = lessons[endpoint.slot];
    return lesson?.endpoint === endpoint ? lesson : undefined;
  }

  function isFull(waiting: number): boolean {
    return waiting >= 2 && waiting >= options.maxWaitingRequests / 4;
  }

  function room(endpoint: Endpoint): number {
    const { inFlight, metrics } = endpoint;
    const ownRoom = options.maxInFlightPerEndpoint - inFlight;
    const engineRoom = roomInEngine(inFlight, metrics, lessonOf(endpoint) ?? nothingKnown);
    return Math.max(inFlight === 0 ? 1 : 0, Math.min(ownRoom, engineRoom));
  }

  function roomInEngine(inFlight: number, metrics: EngineMetrics | undefined, lesson: Known): number {
    const waiting = metrics && waitingOf(metrics);
    if (metrics === undefined || waiting === undefined)
      return atLeastFirst(lesson, lesson.concurrency) - inFlight;
    const { inFlightAtScrape } = metrics;
    const sinceScrape = inFlight - inFlightAtScrape;
    if (isFull(waiting)) return options.maxWaitingRequests - (waiting + sinceScrape);
    const load = Math.max(runningOf(metrics, waiting) + waiting, inFlightAtScrape) + sinceScrape;
    return boundOf(lesson) - load;
  }

  /** How much load an engine may have that is not full. */
  function boundOf(lesson: Known): number {
    const { maxWaitingRequests } = options;
    const { concurrency, growth } = lesson;
    const surplus = Math.max(maxWaitingRequests, Math.min(maxWaitingRequests * growth, concurrency));
    return atLeastFirst(lesson, concurrency + surplus);
  }

  return {
    free(endpoints) {
      let free = 0;
      for (const endpoint of endpoints) free += room(endpoint);
      return free;
    },
    room,
    learned(endpoint) {
      const { metrics } = endpoint;
      const waiting = metrics && waitingOf(metrics);
      if (metrics === undefined || waiting === undefined) return;
      const running = runningOf(metrics, waiting);
      const lesson = lessonOf(endpoint);
      if (isFull(waiting)) {
        lessons[endpoint.slot] = { endpoint, concurrency: Math.max(1, running), growth: 1 };
      } else if (lesson === undefined) {
        lessons[endpoint.slot] = { endpoint, concurrency: running, growth: Infinity };
      } else if (running > lesson.concurrency) {
        lesson.concurrency = running;
        lesson.growth *= 2;
      }
    },
    lost(endpoint) {
      if (lessonOf(endpoint) !== undefined) lessons[endpoint.slot] = undefined;
    },
    update(next) {
      options = next;
    },
  };
}

/** An engine that was never seen full is trusted with the first requests. */
function atLeastFirst({ growth }: Known, bound: number): number {
  return growth === Infinity ? Math.max(firstRequests, bound) : bound;
}

/** The length of an engine's queue. Of an engine that does not say it is what was in flight and did not run. */
function waitingOf({ waiting, running, inFlightAtScrape }: EngineMetrics): number | undefined {
  return waiting ?? (running === undefined ? undefined : Math.max(0, inFlightAtScrape - running));
}

/** What an engine ran. Of one that does not say it is what was in flight and did not wait. */
function runningOf({ running, inFlightAtScrape }: EngineMetrics, waiting: number): number {
  return running ?? Math.max(0, inFlightAtScrape - waiting);
}
