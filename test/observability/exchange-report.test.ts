import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createEndpointStore, type EndpointStore } from '../../src/endpoints/endpoint-store.ts';
import { countExchange, createExchangeLog } from '../../src/observability/exchange-report.ts';
import { createLogger, type LoggerOptions } from '../../src/observability/log.ts';
import { createMetrics, type Metrics } from '../../src/observability/metrics.ts';
import type { ExchangeRecord } from '../../src/request/exchange-record.ts';
import { anEndpoint } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { aRecord as someRecord } from './support/records.ts';

const [a, b] = [anEndpoint(1), anEndpoint(2)];

/** A refused exchange: a head and nothing else. */
const aRecord = (known: Partial<ExchangeRecord> = {}): ExchangeRecord =>
  someRecord({
    startedAtMs: 1000,
    api: undefined,
    model: undefined,
    outcome: 'rejected',
    status: 404,
    reason: 'path-not-found',
    durationMs: 0.26,
    ...known,
  });

/** An exchange with everything there is to know. */
const complete = aRecord({
  requestId: 'r-1',
  principal: { kind: 'anonymous', id: 'ada', groups: [], tier: undefined },
  api: 'completions',
  model: 'm',
  modelKnown: true,
  stream: true,
  requestBytes: 99,
  decision: {
    kind: 'chosen',
    requestId: 'e-1',
    model: 'm',
    ranked: [a, b],
    totals: [3.9004, 1],
    candidates: 3,
    kept: 2,
  },
  decisionMs: 0.0304,
  servedBy: b.id,
  attempts: 2,
  outcome: 'completed',
  status: 200,
  reason: undefined,
  ttftMs: 12.34,
  durationMs: 120.06,
  responseBytes: 500,
  usage: { inputTokens: 12, outputTokens: 40, cachedInputTokens: 8 },
  usageSource: 'streamed',
});

/** The lines that records are logged as. */
function logged(records: readonly ExchangeRecord[], options: Partial<LoggerOptions> = {}): string[] {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const log = createExchangeLog(
    createLogger({ level: 'info', format: 'json', destination, ...options }),
    ({ id }) => `<${id}>`,
  );
  for (const record of records) log(record);
  return lines;
}

describe('createExchangeLog()', () => {
  it('says everything of an exchange in one line', () => {
    const lines = logged([complete]);
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0]!)).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      exchange: 'e-1',
      requestId: 'r-1',
      method: 'POST',
      path: '/v1/completions',
      principal: '<ada>',
      model: 'm',
      stream: true,
      status: 200,
      outcome: 'completed',
      endpoint: '10.0.0.1:8000',
      servedBy: '10.0.0.2:8000',
      attempts: 2,
      candidates: 3,
      kept: 2,
      ranked: ['10.0.0.1:8000', '10.0.0.2:8000'],
      scores: [3.9, 1],
      decisionUs: 30,
      ttftMs: 12.3,
      durationMs: 120.1,
      inputTokens: 12,
      cachedTokens: 8,
      outputTokens: 40,
      usageSource: 'streamed',
      requestBytes: 99,
      responseBytes: 500,
      msg: expect.stringContaining('POST /v1/completions m'),
    });
  });

  it('leaves out what is not known', () => {
    expect(JSON.parse(logged([aRecord()])[0]!)).toEqual({
      level: 'info',
      time: expect.any(String),
      exchange: 'e-1',
      method: 'POST',
      path: '/v1/completions',
      stream: false,
      status: 404,
      outcome: 'rejected',
      reason: 'path-not-found',
      durationMs: 0.3,
      usageSource: 'none',
      requestBytes: 0,
      msg: 'POST /v1/completions 404 path-not-found in 0 ms',
    });
  });

  it.each<[string, Partial<ExchangeRecord>, string]>([
    [
      'who served',
      {},
      'POST /v1/completions m to 10.0.0.2:8000 of 3 (score 3.90) 200 completed in 120 ms 12 (8 cached)+40 tokens',
    ],
    [
      'where it was sent, where nobody says who served',
      { servedBy: undefined, usage: undefined },
      'POST /v1/completions m to 10.0.0.1:8000 of 3 (score 3.90) 200 completed in 120 ms',
    ],
    [
      'no cached tokens where there are none',
      { usage: { inputTokens: 12, outputTokens: 40, cachedInputTokens: 0 } },
      'POST /v1/completions m to 10.0.0.2:8000 of 3 (score 3.90) 200 completed in 120 ms 12+40 tokens',
    ],
  ])('has a sentence for people: %s', (_, known, sentence) => {
    const { msg } = JSON.parse(logged([{ ...complete, ...known }])[0]!) as { msg: string };
    expect(msg).toBe(sentence);
  });

  it('is one line of JSON whatever the client wrote', () => {
    fc.assert(
      fc.property(
        fc.record({
          requestId: fc.string({ unit: 'binary' }),
          method: fc.string({ unit: 'binary' }),
          path: fc.string({ unit: 'binary' }),
          model: fc.string({ unit: 'binary' }),
        }),
        (written) => {
          const [line, ...more] = logged([{ ...complete, ...written }]);
          expect(more).toEqual([]);
          expect(line!.indexOf('\n')).toBe(line!.length - 1);
          expect(JSON.parse(line!)).toMatchObject({ ...written, exchange: 'e-1', status: 200 });
        },
      ),
    );
  });

  it('is the sentence alone where people read', () => {
    const [line] = logged([complete], { format: 'pretty' });
    expect(line).toContain('POST /v1/completions m');
    expect(line).not.toContain('decisionUs');
  });

  it('is silent where that level is', () => {
    expect(logged([complete], { level: 'warn' })).toEqual([]);
  });
});

describe('countExchange()', () => {
  let store: EndpointStore;
  let metrics: Metrics;
  beforeEach(() => {
    const clock = new FakeClock();
    store = createEndpointStore({ clock });
    store.setTargets([a, b]);
    metrics = createMetrics({ store, clock, version: '1' });
  });
  afterEach(() => metrics.stop());

  /** Every sample that these exchanges moved, without buckets. */
  async function samples(...records: readonly ExchangeRecord[]): Promise<string[]> {
    for (const record of records) {
      metrics.exchangeStarted();
      countExchange(metrics, record, store.snapshot);
    }
    const page = await metrics.render();
    return page
      .split('\n')
      .filter(
        (line) =>
          /^sluice_/.test(line) && !/_bucket|build_info|event_loop|plugin|(_total|_count|_sum) 0$/.test(line),
      );
  }

  it('moves every metric of a whole exchange', async () => {
    expect(await samples(complete)).toEqual(
      expect.arrayContaining([
        'sluice_exchanges_active 0',
        'sluice_exchanges_total{model="m",code="200",reason="completed"} 1',
        'sluice_exchange_duration_seconds_count{model="m"} 1',
        'sluice_request_ttft_seconds_count{model="m"} 1',
        'sluice_tokens_total{model="m",type="input"} 12',
        'sluice_tokens_total{model="m",type="cached"} 8',
        'sluice_tokens_total{model="m",type="output"} 40',
        'sluice_decisions_total{model="m",result="chosen"} 1',
        'sluice_decision_duration_seconds_count 1',
        'sluice_usage_source_total{source="streamed"} 1',
        'sluice_exchange_retries_total 1',
      ]),
    );
  });

  it('counts a refusal by its reason, and nothing about tokens or decisions', async () => {
    const lines = await samples(aRecord());
    expect(lines).toContain('sluice_rejections_total{reason="path-not-found"} 1');
    expect(lines).toContain('sluice_exchanges_total{model="unknown",code="404",reason="path-not-found"} 1');
    expect(lines.filter((line) => /tokens|decisions|usage_source|retries|ttft/.test(line))).toEqual([]);
  });

  it.each(['saturated', 'no-endpoint-eligible'] as const)(
    'counts a decision that found nobody: %s',
    async (reason) => {
      const lines = await samples(aRecord({ model: 'm', modelKnown: true, status: 429, reason }));
      expect(lines).toContain(`sluice_decisions_total{model="m",result="${reason}"} 1`);
      expect(lines).toContain(`sluice_exchanges_total{model="m",code="429",reason="${reason}"} 1`);
    },
  );

  it('makes no label of a model that nobody serves', async () => {
    const lines = await samples(aRecord({ model: 'evil', reason: 'model-not-found' }));
    expect(lines.join('\n')).not.toContain('evil');
  });

  it('credits the endpoint that served, if it is one of ours', async () => {
    const lines = await samples(
      complete,
      { ...complete, servedBy: '192.0.2.1:1' },
      { ...complete, servedBy: undefined },
    );
    expect(lines.filter((line) => line.startsWith('sluice_endpoint_requests_total'))).toEqual([
      'sluice_endpoint_requests_total{endpoint="10.0.0.2:8000",result="completed"} 1',
    ]);
  });

  it('counts no retry for one attempt', async () => {
    expect((await samples({ ...complete, attempts: 1 })).join('\n')).not.toContain('retries');
  });
});
