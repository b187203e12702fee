/** What the log and the metrics say of exchanges whose model is renamed, from the request to the page. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createEndpointStore, type EndpointStore } from '../../src/endpoints/endpoint-store.ts';
import { countExchange, createExchangeLog } from '../../src/observability/exchange-report.ts';
import { createLogger } from '../../src/observability/log.ts';
import { createMetrics, type Metrics } from '../../src/observability/metrics.ts';
import { createRequestHandler } from '../../src/request/handle-request.ts';
import { Admissions } from '../support/admissions.ts';
import { anEndpoint } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeExchange } from '../support/fake-exchange.ts';
import { someSettings } from '../support/request-settings.ts';

let store: EndpointStore;
let metrics: Metrics;
let lines: Record<string, unknown>[];
let handle: (exchange: FakeExchange) => Promise<void>;

beforeEach(() => {
  const clock = new FakeClock();
  store = createEndpointStore({ clock });
  store.setTargets([anEndpoint(0, { configuredModels: ['llama'] })]);
  store.reportHealthy(store.snapshot.endpoints[0]!);
  metrics = createMetrics({ store, clock, version: '1', maxModelLabels: 3 });
  lines = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as never) };
  const log = createExchangeLog(
    createLogger({ level: 'info', format: 'json', destination }),
    () => undefined,
  );
  const run = createRequestHandler(
    {
      clock,
      random: () => 0.5,
      accessLog: {
        reliable: false,
        claim: () => ({ entry: async () => undefined, abandon: () => undefined }),
      },
      snapshot: () => store.snapshot,
      admit: new Admissions(),
      schedule: {
        promptHeadBytes: 0,
        schedule: (request, candidates) => ({
          kind: 'chosen',
          requestId: request.id,
          model: request.model,
          ranked: [candidates[0]!],
          totals: [1],
          candidates: 1,
          kept: 1,
        }),
        settled: () => undefined,
      },
      answerLocally: () => {
        throw new Error('nothing local is asked for');
      },
      onExchange: (record) => {
        countExchange(metrics, record, store.snapshot);
        log(record);
      },
      onFailure: (_, error) => {
        throw error;
      },
    },
    () =>
      someSettings({
        usageMode: 'streamed',
        models: {
          aliases: new Map([
            ['gpt', 'llama'],
            ['lost', 'gone'],
          ]),
          rewrites: new Map([['old', 'llama']]),
        },
      }),
  );
  handle = async (exchange) => {
    metrics.exchangeStarted();
    await run(exchange);
  };
});
afterEach(() => metrics.stop());

async function ask(model: string): Promise<void> {
  const exchange = new FakeExchange();
  exchange.sendBody({ model, messages: [] });
  const done = handle(exchange);
  exchange.respond({ fields: { 'content-type': 'application/json' } });
  await new Promise((resolve) => setImmediate(resolve));
  exchange.pass('{"usage":{"prompt_tokens":5,"completion_tokens":7}}');
  exchange.close(true);
  await done;
}

/** The samples of a family, as they are on the page. */
async function samples(family: string): Promise<string[]> {
  return (await metrics.render()).split('\n').filter((line) => line.startsWith(`${family}{`));
}

describe('the log line', () => {
  it('says the name of the client and the one that the engine was asked for', async () => {
    await ask('gpt');
    expect(lines).toEqual([
      expect.objectContaining({
        model: 'gpt',
        servedModel: 'llama',
        status: 200,
        msg: expect.stringContaining('POST /v1/chat/completions gpt as llama to 10.0.0.0:8000'),
      }),
    ]);
  });

  it('says both of a request that is refused', async () => {
    await ask('lost');
    expect(lines).toEqual([
      expect.objectContaining({
        model: 'lost',
        servedModel: 'gone',
        reason: 'model-not-found',
        msg: expect.stringContaining('lost as gone 404'),
      }),
    ]);
  });

  it('says one where it is the same', async () => {
    await ask('llama');
    expect(lines[0]).not.toHaveProperty('servedModel');
  });
});

describe('the metrics', () => {
  it('have both names as labels, and one where it is the same', async () => {
    for (const model of ['gpt', 'llama', 'lost', 'gpt', 'invented']) await ask(model);
    expect(await samples('sluice_exchanges_total')).toEqual([
      'sluice_exchanges_total{model="gpt",served_model="llama",code="200",reason="completed"} 2',
      'sluice_exchanges_total{model="llama",code="200",reason="completed"} 1',
      'sluice_exchanges_total{model="lost",served_model="gone",code="404",reason="model-not-found"} 1',
      // The cap of three is reached.
      'sluice_exchanges_total{model="other",code="404",reason="model-not-found"} 1',
    ]);
    expect(await samples('sluice_tokens_total')).toEqual(
      expect.arrayContaining([
        'sluice_tokens_total{model="gpt",served_model="llama",type="output"} 14',
        'sluice_tokens_total{model="llama",type="output"} 7',
      ]),
    );
    expect(await samples('sluice_decisions_total')).toEqual([
      'sluice_decisions_total{model="gpt",served_model="llama",result="chosen"} 2',
      'sluice_decisions_total{model="llama",result="chosen"} 1',
    ]);
    expect(await samples('sluice_exchange_duration_seconds_count')).toContain(
      'sluice_exchange_duration_seconds_count{model="gpt",served_model="llama"} 2',
    );
  });

  it('count pairs of names against the cap', async () => {
    for (const model of ['llama', 'gpt', 'lost', 'old', 'old']) await ask(model);
    expect(await samples('sluice_decisions_total')).toEqual([
      'sluice_decisions_total{model="llama",result="chosen"} 1',
      'sluice_decisions_total{model="gpt",served_model="llama",result="chosen"} 1',
      'sluice_decisions_total{model="other",result="chosen"} 2',
    ]);
  });
});
