import { describe, expect, it } from '@jest/globals';
import type { Endpoint, EndpointSnapshot } from '../../src/endpoints/endpoint.ts';
import type { Arrival } from '../../src/fairness/admission.ts';
import type { JoinResult, Turn } from '../../src/fairness/fair-queue.ts';
import { createLedger } from '../../src/fairness/ledger.ts';
import {
  createModelQueues,
  type FairnessSettings,
  type QueueSettings,
  type SessionBoostSettings,
} from '../../src/fairness/model-queues.ts';
import type { TokenCount } from '../../src/fairness/token-count.ts';
import { anEndpoint, someMetrics } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';

const weights = { inputTokenWeight: 1, outputTokenWeight: 2, cachedTokenWeight: 1 };
const expected: TokenCount = { inputTokens: 10, cachedInputTokens: 0, outputTokens: 20 };

const bounds = {
  maxQueued: 100,
  maxQueuedPerFlow: 100,
  maxQueuedBytes: 1000,
  queueTimeoutMs: 60_000,
  agingAfterMs: 0,
  maxConcurrent: 0,
  maxQps: 0,
};

function fair(known: Partial<FairnessSettings> = {}): FairnessSettings {
  return {
    kind: 'fairness',
    policy: 'vtc',
    ...weights,
    priorityTokenWeight: 1,
    priorityRequestNumWeight: 0,
    maxWaitingRequests: 1,
    maxInFlightPerEndpoint: 1,
    ...bounds,
    ...known,
  };
}

function boost(known: Partial<SessionBoostSettings> = {}): SessionBoostSettings {
  return { kind: 'session-boost', maxSessions: 10, inflightPerPod: 1, ...bounds, ...known };
}

function setUp(settings: QueueSettings, endpoints: readonly Endpoint[] = [anEndpoint(0)]) {
  const clock = new FakeClock();
  const ledger = createLedger({ clock }, { ...weights, windowSizeMs: 60_000, maxEntries: 100 });
  let snapshot: EndpointSnapshot = {
    generation: 1,
    endpoints,
    readyByModel: new Map([
      ['m', endpoints],
      ['n', endpoints],
    ]),
    models: new Set(['m', 'n']),
  };
  const left: string[] = [];
  const released: string[] = [];
  const queues = createModelQueues(
    {
      clock,
      ledger,
      snapshot: () => snapshot,
      onRelease: (model) => released.push(model),
      onLeave: (model, reason) => left.push(`${model} ${reason}`),
    },
    settings,
  );
  let asked = 0;
  /** In the order in which they got it. */
  const turns: { readonly who: string; readonly turn: Turn; readonly endpoint: Endpoint }[] = [];

  function take(who: string, turn: Turn): void {
    const endpoint = queues.withRoom(endpoints)[0]!;
    endpoint.inFlight++;
    turn.started();
    turns.push({ who, turn, endpoint });
  }

  return {
    clock,
    ledger,
    queues,
    left,
    released,
    turns,
    join: (who: string, known: Partial<Arrival> = {}): JoinResult | undefined => {
      const id = `request-${asked++}`;
      const arrival: Arrival = {
        id,
        caller: { id: who, groups: [], tier: undefined },
        weight: 1,
        model: 'm',
        promptBytes: 0,
        keptBytes: 0,
        stream: false,
        maxOutputTokens: undefined,
        sessionKey: undefined,
        ...known,
      };
      const reserve = (): void => void ledger.reserve(who, arrival.model, expected);
      const joined = queues.join(arrival, expected, reserve, () => new AbortController().signal);
      if (joined?.kind === 'turn') take(who, joined.turn);
      if (joined?.kind === 'waiting')
        void joined.settled.then((end) => end.kind === 'turn' && take(who, end.turn));
      return joined;
    },
    /** The oldest turn is over. */
    end: async (): Promise<void> => {
      const { turn, endpoint } = turns.shift()!;
      endpoint.inFlight--;
      turn.end();
      queues.freed();
      turn.charge(expected);
      await new Promise((resolve) => setImmediate(resolve));
    },
    publish: (changes: Partial<EndpointSnapshot>, lost: readonly Endpoint[] = []): void => {
      snapshot = { ...snapshot, ...changes };
      queues.onEndpoints(snapshot, lost);
    },
  };
}

describe('createModelQueues()', () => {
  it('has nobody wait where it is off', () => {
    const { queues, join } = setUp(undefined);
    expect(join('a')).toBeUndefined();
    expect(queues.list(10)).toEqual([]);
  });

  it('gives turns of engines that two models share to either', async () => {
    const { join, end, turns, queues } = setUp(fair());
    expect(join('a')?.kind).toBe('turn');
    expect(join('a', { model: 'n' })?.kind).toBe('waiting');
    expect(queues.figures()).toEqual([
      { model: 'm', waiting: 0, running: 1, principals: 0 },
      { model: 'n', waiting: 1, running: 0, principals: 1 },
    ]);
    await end();
    expect(turns.map(({ who }) => who)).toEqual(['a']);
    expect(queues.figures()[1]).toMatchObject({ waiting: 0, running: 1 });
  });

  it('lets no more wait than all queues together may hold', () => {
    const { join, left } = setUp(fair({ maxQueued: 2 }));
    join('a');
    expect([join('a')?.kind, join('b', { model: 'n' })?.kind]).toEqual(['waiting', 'waiting']);
    expect(join('c', { model: 'n' })).toMatchObject({ kind: 'full', scope: 'queue' });
    expect(left).toEqual(['n full']);
  });

  it('keeps no more bytes of those who wait than it may', async () => {
    const { join, end } = setUp(fair());
    join('a', { keptBytes: 5000 });
    expect(join('a', { keptBytes: 600 })?.kind).toBe('waiting');
    expect(join('b', { keptBytes: 600, model: 'n' })?.kind).toBe('full');
    expect(join('b')?.kind).toBe('waiting');
    await end();
    expect(join('b', { keptBytes: 600 })?.kind).toBe('waiting');
  });

  it('sends to engines with room, or to any where none has it', () => {
    const [full, free] = [anEndpoint(0, { inFlight: 1 }), anEndpoint(1)];
    const { queues } = setUp(fair(), [full, free]);
    expect(queues.withRoom([full, free])).toEqual([free]);
    expect(queues.withRoom([full])).toEqual([full]);
    queues.update(fair({ maxConcurrent: 5 }));
    expect(queues.withRoom([full, free])).toEqual([full, free]);
  });

  it.each<[string, QueueSettings]>([
    ['by the room in engines', fair({ maxInFlightPerEndpoint: 9 })],
    ['where sessions are boosted', boost({ inflightPerPod: 1 })],
  ])('sends nobody who can wait to an endpoint that let a request down: %s', async (_, settings) => {
    const endpoint = anEndpoint(0);
    const { clock, queues, join, turns } = setUp(settings, [endpoint]);
    const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    queues.onTried(endpoint, false);
    for (const who of ['a', 'b']) expect(join(who)?.kind).toBe('waiting');
    expect(queues.list(1)).toMatchObject([{ waiting: 2, freeSlots: 0 }]);
    clock.advance(1000);
    await tick();
    expect(turns).toHaveLength(1);
    endpoint.inFlight--;
    queues.onTried(endpoint, true);
    await tick();
    expect(turns).toHaveLength(2);
    queues.close();
    expect(clock.pending).toBe(0);
  });

  it('sends to others while an endpoint is suspected, until another engine is there', () => {
    const [bad, good] = [anEndpoint(0), anEndpoint(1)];
    const { queues, publish } = setUp(fair({ maxConcurrent: 5 }), [bad, good]);
    queues.onTried(bad, false);
    expect(queues.withRoom([bad, good])).toEqual([good]);
    expect(queues.withRoom([bad])).toEqual([bad]);
    publish({}, [bad]);
    expect(queues.withRoom([bad, good])).toEqual([bad, good]);
  });

  it('looks again when metrics come, and when an engine does', async () => {
    const endpoint = anEndpoint(0, { inFlight: 1, metrics: someMetrics({ waiting: 4, running: 1 }) });
    const { queues, join, turns, publish } = setUp(fair({ maxInFlightPerEndpoint: 9 }), [endpoint]);
    queues.onMetrics(endpoint);
    join('a');
    expect(turns).toEqual([]);
    endpoint.metrics = someMetrics({ waiting: 0, running: 1, inFlightAtScrape: 1 });
    queues.onMetrics(endpoint);
    await new Promise((resolve) => setImmediate(resolve));
    expect(turns).toHaveLength(1);

    endpoint.inFlight = 9;
    join('b');
    const another = anEndpoint(1);
    publish({ readyByModel: new Map([['m', [endpoint, another]]]) });
    await new Promise((resolve) => setImmediate(resolve));
    expect(turns).toHaveLength(2);
  });

  it('goes by the ledger with policy window, what is set aside included', async () => {
    const { join, end, turns, ledger } = setUp(fair({ policy: 'window' }));
    ledger.reserve('heavy', 'm', { ...expected, inputTokens: 1000 });
    join('first');
    for (const who of ['heavy', 'light', 'light', 'heavy', 'other']) join(who);
    const order: string[] = [];
    for (let i = 0; i < 6; i++) {
      order.push(turns[0]!.who);
      await end();
    }
    // Each turn of light sets 50 aside.
    expect(order).toEqual(['first', 'light', 'other', 'light', 'heavy', 'heavy']);
  });

  it('follows settings: another policy keeps who waits, and off lets them go', async () => {
    const { join, queues, turns } = setUp(fair());
    join('a');
    join('a');
    join('b');
    queues.update(fair({ policy: 'fifo' }));
    expect(queues.figures()[0]).toMatchObject({ waiting: 2, running: 1 });
    queues.update(undefined);
    await new Promise((resolve) => setImmediate(resolve));
    expect(turns.map(({ who }) => who)).toEqual(['a', 'a', 'b']);
    expect([queues.list(1), join('c')]).toEqual([[], undefined]);
  });

  it('boosts the session that was answered last', async () => {
    const { join, end, turns } = setUp(boost());
    join('x', { sessionKey: 's' });
    join('y');
    await end();
    join('z');
    join('x', { sessionKey: 's' });
    await end();
    expect(turns.map(({ who }) => who)).toEqual(['x']);
  });

  it('boosts nobody into engines that all have a queue', async () => {
    const busy = anEndpoint(0, { inFlight: 1, metrics: someMetrics({ waiting: 1, running: 1 }) });
    const { queues, join, turns } = setUp(boost({ inflightPerPod: 5 }), [busy]);
    join('x');
    expect(turns).toEqual([]);
    busy.metrics = someMetrics({ waiting: 0, running: 2 });
    queues.onMetrics(busy);
    await new Promise((resolve) => setImmediate(resolve));
    expect(turns).toHaveLength(1);
  });

  it('forgets the queue of a model that is gone', async () => {
    const { join, end, queues, publish } = setUp(fair());
    join('a');
    publish({ models: new Set(['n']) });
    expect(queues.list(1)).toHaveLength(1);
    await end();
    publish({});
    expect(queues.list(1)).toEqual([]);
  });

  it('ends', async () => {
    const { join, queues, left } = setUp(fair());
    join('a');
    const waiting = join('b');
    queues.close();
    expect(waiting?.kind === 'waiting' && (await waiting.settled)).toEqual({ kind: 'closed' });
    expect(left).toEqual(['m closed']);
  });
});
