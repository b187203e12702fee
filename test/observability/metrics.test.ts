import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { endpointId, type Endpoint } from '../../src/endpoints/endpoint.ts';
import { createEndpointStore, type EndpointStore } from '../../src/endpoints/endpoint-store.ts';
import { createMetrics, type Metrics } from '../../src/observability/metrics.ts';
import { someMetrics } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';

let clock: FakeClock;
let store: EndpointStore;
let metrics: Metrics;

beforeEach(() => {
  clock = new FakeClock();
  store = createEndpointStore({ clock });
  metrics = createMetrics({ store, clock, version: '1.2.3', maxModelLabels: 2 });
});

afterEach(() => metrics.stop());

/** The samples of a family, as they are on the page. */
async function samples(family: string): Promise<string[]> {
  const page = await metrics.render();
  return page.split('\n').filter((line) => line.startsWith(`${family}{`) || line.startsWith(`${family} `));
}

function setEndpoints(...addresses: readonly string[]): readonly Endpoint[] {
  store.setTargets(
    addresses.map((address) => ({
      id: endpointId(address, 8000),
      address,
      port: 8000,
      tls: false,
      hostname: undefined,
      configuredModels: ['m'],
    })),
  );
  return store.snapshot.endpoints;
}

describe('createMetrics()', () => {
  it('counts an exchange from its start to its end', async () => {
    metrics.exchangeStarted();
    metrics.exchangeStarted();
    expect(await samples('sluice_exchanges_active')).toEqual(['sluice_exchanges_active 2']);
    const model = metrics.model('m');
    model.decided('routed');
    model.firstToken(0.2);
    model.tokens('input', 100);
    model.tokens('output', 7);
    model.exchangeEnded(200, 'completed', 1.5);
    expect(await samples('sluice_exchanges_active')).toEqual(['sluice_exchanges_active 1']);
    expect(await samples('sluice_exchanges_total')).toEqual([
      'sluice_exchanges_total{model="m",code="200",reason="completed"} 1',
    ]);
    expect(await samples('sluice_exchange_duration_seconds_sum')).toEqual([
      'sluice_exchange_duration_seconds_sum{model="m"} 1.5',
    ]);
    expect(await samples('sluice_request_ttft_seconds_count')).toEqual([
      'sluice_request_ttft_seconds_count{model="m"} 1',
    ]);
    expect(await samples('sluice_tokens_total')).toEqual([
      'sluice_tokens_total{model="m",type="input"} 100',
      'sluice_tokens_total{model="m",type="output"} 7',
    ]);
    expect(await samples('sluice_decisions_total')).toEqual([
      'sluice_decisions_total{model="m",result="routed"} 1',
    ]);
  });

  it('bounds the model label', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'a']) metrics.model(name).decided('routed');
    expect(await samples('sluice_decisions_total')).toEqual([
      'sluice_decisions_total{model="a",result="routed"} 2',
      'sluice_decisions_total{model="b",result="routed"} 1',
      'sluice_decisions_total{model="other",result="routed"} 2',
    ]);
  });

  it('reads endpoints from the store, and has no series for what is unknown', async () => {
    const [first, second] = setEndpoints('10.0.0.1', '10.0.0.2');
    if (first === undefined || second === undefined) throw new Error('two endpoints expected');
    store.reportHealthy(first);
    first.inFlight = 3;
    store.reportMetrics(first, someMetrics({ takenAtMs: 0, waiting: 2, running: 5, kvCacheUsage: 0.5 }));
    clock.advance(1500);
    expect(await samples('sluice_endpoint_up')).toEqual([
      'sluice_endpoint_up{endpoint="10.0.0.1:8000"} 1',
      'sluice_endpoint_up{endpoint="10.0.0.2:8000"} 0',
    ]);
    expect(await samples('sluice_endpoint_in_flight')).toContain(
      'sluice_endpoint_in_flight{endpoint="10.0.0.1:8000"} 3',
    );
    const scraped: readonly [string, number][] = [
      ['metrics_age_seconds', 1.5],
      ['kv_cache_usage', 0.5],
      ['waiting', 2],
      ['running', 5],
    ];
    for (const [name, value] of scraped) {
      expect(await samples(`sluice_endpoint_${name}`)).toEqual([
        `sluice_endpoint_${name}{endpoint="10.0.0.1:8000"} ${value}`,
      ]);
    }
  });

  it('drops every series of an endpoint that left', async () => {
    const [first] = setEndpoints('10.0.0.1');
    if (first === undefined) throw new Error('an endpoint expected');
    metrics.endpointServed(first, 'completed');
    metrics.endpointServed(first, 'completed');
    metrics.endpointServed(first, 'aborted');
    expect(await samples('sluice_endpoint_requests_total')).toEqual([
      'sluice_endpoint_requests_total{endpoint="10.0.0.1:8000",result="completed"} 2',
      'sluice_endpoint_requests_total{endpoint="10.0.0.1:8000",result="aborted"} 1',
    ]);
    expect(await samples('sluice_endpoint_requests_total')).toHaveLength(2);
    setEndpoints();
    expect(await metrics.render()).not.toContain('10.0.0.1');
  });

  it('follows the memory of the plugins that are in use', async () => {
    metrics.watchPluginMemory(() => ({ 'prefix-cache': { entries: 10, evictions: 4 } }));
    const entries = 'sluice_plugin_memory_entries';
    const evictions = 'sluice_plugin_memory_evictions_total';
    expect(await samples(entries)).toEqual([`${entries}{plugin="prefix-cache"} 10`]);
    expect(await samples(evictions)).toEqual([`${evictions}{plugin="prefix-cache"} 4`]);
    expect(await samples(evictions)).toEqual([`${evictions}{plugin="prefix-cache"} 4`]);
    metrics.watchPluginMemory(() => ({}));
    expect(await samples(entries)).toEqual([]);
  });

  it('has the series of queues, ledger and limits on its page, with a bound of their own for models', async () => {
    for (const name of ['a', 'b', 'c']) metrics.model(name).decided('routed');
    metrics.queue('m').released(0.3);
    metrics.limitRefused('free');
    metrics.watchFairness({
      queues: () => [{ model: 'm', waiting: 2, running: 1, principals: 1 }],
      ledger: { size: 5, evictions: 0, totals: () => [] },
      limits: { size: 0, evictions: 0 },
      redisUp: () => undefined,
    });
    expect(await samples('sluice_queue_requests')).toEqual(['sluice_queue_requests{model="m"} 2']);
    expect(await samples('sluice_queue_wait_seconds_sum')).toEqual([
      'sluice_queue_wait_seconds_sum{model="m"} 0.3',
    ]);
    expect(await samples('sluice_limit_refusals_total')).toEqual([
      'sluice_limit_refusals_total{limit="free"} 1',
    ]);
    expect(await samples('sluice_ledger_entries')).toEqual(['sluice_ledger_entries 5']);
  });

  it('ends every page with what was appended', async () => {
    metrics.append(() => Promise.resolve('one 1\n'));
    metrics.append(() => Promise.resolve('two 2\n'));
    expect(await metrics.render()).toMatch(/sluice_build_info\{[^]*\none 1\ntwo 2\n$/);
  });

  it('moves the metrics that stand alone', async () => {
    metrics.rejected('saturated');
    metrics.retried(2);
    metrics.scraped('ok', 0.003);
    metrics.accessLogEntry('unmatched');
    metrics.usageFrom('access-log');
    metrics.streamOpened();
    metrics.streamOpened();
    metrics.streamClosed();
    metrics.decisionTook(0.00004);
    const page = await metrics.render();
    for (const line of [
      'sluice_rejections_total{reason="saturated"} 1',
      'sluice_exchange_retries_total 2',
      'sluice_scrapes_total{result="ok"} 1',
      'sluice_scrape_duration_seconds_count 1',
      'sluice_access_log_entries_total{result="unmatched"} 1',
      'sluice_usage_source_total{source="access-log"} 1',
      'sluice_extproc_streams_active 1',
      'sluice_decision_duration_seconds_bucket{le="0.00005"} 1',
      'sluice_build_info{version="1.2.3"} 1',
    ]) {
      expect(page).toContain(`\n${line}\n`);
    }
  });

  it('tells how the process does', async () => {
    const page = await metrics.render();
    for (const name of [
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'process_start_time_seconds',
    ]) {
      expect(Number(new RegExp(`^${name} (.+)$`, 'm').exec(page)?.[1])).toBeGreaterThan(0);
    }
    expect(await samples('sluice_event_loop_delay_seconds')).toHaveLength(4);
  });
});
