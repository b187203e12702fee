import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createAccounting } from '../src/accounting.ts';
import { anonymous } from '../src/auth/principal.ts';
import { parseConfig } from '../src/config/load.ts';
import type { Config } from '../src/config/schema.ts';
import type { Endpoint, EndpointSnapshot } from '../src/endpoints/endpoint.ts';
import type { FairnessMetrics } from '../src/observability/fairness-metrics.ts';
import { requestSettings } from '../src/part-options.ts';
import type { ExchangeRecord } from '../src/request/exchange-record.ts';
import { createRequestHandler } from '../src/request/handle-request.ts';
import { aHead, FakeExchange } from './support/fake-exchange.ts';
import { anEndpoint, someMetrics } from './support/endpoints.ts';
import { FakeClock } from './support/fake-clock.ts';
import { someSettings } from './support/request-settings.ts';

const limits = `
limits:
  rules:
    - { name: each, totalTokens: 2000, requests: 30, per: minute, concurrentRequests: 6 }
    - { name: all, scope: model, outputTokens: 5000, per: minute }`;

/** What an operator may switch between while requests are under way. */
const configurations: readonly Config[] = [
  'fairness: { enabled: true, maxWaitingRequests: 1, maxInFlightPerEndpoint: 2, queueTimeout: 30s }',
  'fairness: { enabled: true, policy: window, maxInFlightPerEndpoint: 2, queueTimeout: 30s }',
  'fairness: { enabled: true, policy: fifo, maxInFlightPerEndpoint: 1, maxQueued: 3 }',
  'fairness: { enabled: true, maxConcurrent: 1, maxQueuedPerPrincipal: 2 }',
  'fairness: { enabled: true, maxQps: 2, queueTimeout: 5s }',
  `fairness: { enabled: true, maxInFlightPerEndpoint: 1 }${limits}`,
  `sessionBoost: { enabled: true, inflightPerPod: 1, gracePeriod: 1s }${limits}`,
  'fairness: { enabled: false }',
].map((yaml) => parseConfig(yaml, 'test.yaml').config);

const silent: FairnessMetrics = {
  queue: () => ({ released: () => undefined, left: () => undefined }),
  limitRefused: () => undefined,
  watchFairness: () => undefined,
};

/** The main path and all it passes before scheduling, with clients, engines and time in the hands of the test. */
class World {
  readonly clock = new FakeClock();
  readonly endpoints = [
    anEndpoint(0, { configuredModels: ['m'] }),
    anEndpoint(1, { configuredModels: ['m'] }),
  ];
  readonly exchanges: FakeExchange[] = [];
  readonly records: ExchangeRecord[] = [];
  readonly failures: unknown[] = [];
  readonly running: Promise<void>[] = [];
  readonly accounting;
  config: Config;
  #alive = new Set<Endpoint>(this.endpoints);
  #snapshot = this.#publish();

  constructor(configuration: number) {
    this.config = configurations[configuration]!;
    this.accounting = createAccounting(
      {
        clock: this.clock,
        random: () => 0.5,
        snapshot: () => this.#snapshot,
        metrics: silent,
        onStore: () => undefined,
        onBug: (error) => this.failures.push(error),
      },
      this.config,
    );
  }

  #publish(): EndpointSnapshot {
    const endpoints = [...this.#alive];
    return {
      generation: 1,
      endpoints,
      readyByModel: new Map(endpoints.length === 0 ? [] : [['m', endpoints]]),
      models: new Set(['m']),
    };
  }

  readonly #handle = createRequestHandler(
    {
      clock: this.clock,
      random: () => 0.5,
      accessLog: {
        reliable: false,
        claim: () => ({ entry: () => Promise.resolve(undefined), abandon: () => undefined }),
      },
      snapshot: () => this.#snapshot,
      admit: { admit: (arrival, onWait) => this.accounting.admit(arrival, onWait) },
      schedule: {
        promptHeadBytes: 0,
        schedule: (request, [first, ...rest]) => ({
          kind: 'chosen',
          requestId: request.id,
          model: request.model,
          ranked: [first!, ...rest],
          totals: [1],
          candidates: rest.length + 1,
          kept: rest.length + 1,
        }),
        settled: () => undefined,
      },
      answerLocally: () => {
        throw new Error('nothing is asked that is answered locally');
      },
      onExchange: (record) => this.records.push(record),
      onFailure: (_, error) => this.failures.push(error),
    },
    () =>
      someSettings({
        ...requestSettings(this.config, {
          authenticate: () => ({ kind: 'accepted', principal: anonymous }),
          strippedHeaders: [],
        } as never),
        authenticate: (headers) => ({
          kind: 'accepted',
          principal: { ...anonymous, id: headers.get('x-user') ?? '' },
        }),
        usageMode: 'streamed',
      }),
  );

  arrive(user: number, maxTokens: number | undefined): void {
    const head = aHead({ fields: { 'x-user': `user-${user}`, 'x-session-id': `session-${user}` } });
    const exchange = new FakeExchange(head, `exchange-${this.exchanges.length}`);
    exchange.sendBody({ model: 'm', stream: true, messages: [], max_tokens: maxTokens });
    this.exchanges.push(exchange);
    this.running.push(this.#handle(exchange));
  }

  /** The engine answers, and goes on as far as it is said. */
  answer(exchange: FakeExchange | undefined, how: 'head' | 'chunk' | 'usage' | 'error'): void {
    if (exchange?.routes.length !== 1) return;
    exchange.respond({ status: how === 'error' ? 500 : 200, servedBy: exchange.routes[0]!.destinations[0] });
    if (how === 'chunk') exchange.pass('data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n');
    if (how === 'usage')
      exchange.pass('data: {"choices":[],"usage":{"prompt_tokens":50,"completion_tokens":100}}\n\n');
  }

  reload(configuration: number): void {
    this.config = configurations[configuration]!;
    this.accounting.update(this.config);
  }

  setAlive(endpoint: number, isAlive: boolean): void {
    const changed = this.endpoints[endpoint]!;
    if (isAlive) this.#alive.add(changed);
    else this.#alive.delete(changed);
    this.#snapshot = this.#publish();
    this.accounting.queues.onEndpoints(this.#snapshot, isAlive ? [] : [changed]);
  }

  scrape(endpoint: number, waiting: number): void {
    const scraped = this.endpoints[endpoint]!;
    const { inFlight } = scraped;
    scraped.metrics = someMetrics({
      waiting: Math.min(waiting, inFlight),
      running: Math.max(0, inFlight - waiting),
      inFlightAtScrape: inFlight,
    });
    this.accounting.queues.onMetrics(scraped);
  }

  /** Nobody waits for whom there is room, and no engine is idle while somebody waits. */
  check(): void {
    expect(this.failures).toEqual([]);
    const { fairness, sessionBoost } = this.config;
    const byEngines = fairness.enabled && fairness.maxQps === 0 && fairness.maxConcurrent === 0;
    for (const { waiting, running, freeSlots } of this.accounting.queues.list(10)) {
      expect(running).toBeGreaterThanOrEqual(0);
      if (waiting === 0 || sessionBoost.enabled || !byEngines) continue;
      expect({ waiting, freeSlots: Math.max(0, freeSlots) }).toEqual({ waiting, freeSlots: 0 });
      for (const endpoint of this.#alive) expect(endpoint.inFlight).toBeGreaterThan(0);
    }
  }

  /** What is held on behalf of requests: nothing, once they are all over. */
  held(): Readonly<Record<string, number>> {
    const { queues, ledger, limits: tokenLimits } = this.accounting;
    const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
    return {
      inFlight: sum(this.endpoints.map(({ inFlight }) => inFlight)),
      waiting: sum(queues.list(1).map(({ waiting }) => waiting)),
      turns: sum(queues.list(1).map(({ running }) => running)),
      reserved: sum(
        ledger
          .list(1000)
          .map(({ reserved }) => reserved.inputTokens + reserved.outputTokens + reserved.requests),
      ),
      concurrent: sum(tokenLimits.list(1000).map(({ levels }) => levels.running)),
    };
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const event = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('arrive' as const),
      user: fc.nat(2),
      maxTokens: fc.option(fc.integer({ min: 1, max: 900 }), { nil: undefined }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('answer' as const),
      exchange: fc.nat(),
      how: fc.constantFrom('head', 'chunk', 'usage', 'error'),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('close' as const), exchange: fc.nat(), whole: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(20_000) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('scrape' as const), endpoint: fc.nat(1), waiting: fc.nat(3) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('die' as const), endpoint: fc.nat(1), back: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('reload' as const), to: fc.nat(configurations.length - 1) }),
  },
);

describe('createAccounting() under the main path', () => {
  it('holds nothing of requests that are over, whatever happened to them, and never keeps anybody waiting for nothing', async () => {
    let waited = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.nat(configurations.length - 1),
        fc.array(fc.tuple(event, fc.boolean()), { minLength: 5, maxLength: 120, size: 'max' }),
        async (configuration, events) => {
          const world = new World(configuration);
          for (const [next, pause] of events) {
            const exchange =
              'exchange' in next ? world.exchanges[next.exchange % world.exchanges.length] : undefined;
            if (next.kind === 'arrive') world.arrive(next.user, next.maxTokens);
            else if (next.kind === 'answer') world.answer(exchange, next.how);
            else if (next.kind === 'close') exchange?.close(next.whole);
            else if (next.kind === 'advance') world.clock.advance(next.ms);
            else if (next.kind === 'scrape') world.scrape(next.endpoint, next.waiting);
            else if (next.kind === 'die') world.setAlive(next.endpoint, next.back);
            else world.reload(next.to);
            if (!pause) continue;
            await turn();
            world.check();
            waited += world.held()['waiting']!;
          }
          for (const endpoint of [0, 1]) world.setAlive(endpoint, true);
          // Whoever waits gets a turn as others end, or leaves when its time is up.
          for (let round = 0; round <= world.exchanges.length; round++) {
            await turn();
            for (const exchange of world.exchanges) if (exchange.decided) exchange.close(true);
          }
          await world.clock.advanceAsync(120_000, 10_000);
          for (const exchange of world.exchanges) exchange.close(true);
          await Promise.all(world.running);
          await turn();
          expect(world.failures).toEqual([]);
          expect(world.held()).toEqual({ inFlight: 0, waiting: 0, turns: 0, reserved: 0, concurrent: 0 });
          expect(world.records.map(({ id }) => id).sort()).toEqual(
            world.exchanges.map(({ id }) => id).sort(),
          );
          await world.accounting.stop();
        },
      ),
      { seed: 4, numRuns: 500 },
    );
    expect(waited).toBeGreaterThan(500);
  }, 60_000);
});
