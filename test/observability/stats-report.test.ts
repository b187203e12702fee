import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Endpoint } from '../../src/endpoints/endpoint.ts';
import { createLogger } from '../../src/observability/log.ts';
import { createRequestStats, type RequestStats } from '../../src/observability/request-stats.ts';
import { createStatsReport, type StatsReport } from '../../src/observability/stats-report.ts';
import { anEndpoint, someMetrics } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { completed, routedRecord } from './support/records.ts';

let clock: FakeClock;
let endpoints: readonly Endpoint[];
let lines: string[];
let stats: RequestStats;

beforeEach(() => {
  clock = new FakeClock();
  endpoints = [anEndpoint(1)];
  lines = [];
  stats = createRequestStats({ clock, snapshot }, { windowMs: 10_000 });
});

function snapshot() {
  return { generation: 1, endpoints, readyByModel: new Map(), models: new Set<string>() };
}

function aReport(logIntervalMs: number, level: 'info' | 'warn' = 'info'): StatsReport {
  const log = createLogger({
    level,
    format: 'json',
    destination: { write: (line) => void lines.push(line) },
  });
  const prefixCache = ({ slot }: Endpoint) => (slot === 1 ? { queries: 8, hits: 2 } : undefined);
  return createStatsReport({ clock, log, snapshot, stats, prefixCache }, { logIntervalMs });
}

/** The records logged so far. */
function records(): readonly Readonly<Record<string, unknown>>[] {
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

function request(endpoint: Endpoint, known: Parameters<typeof routedRecord>[1]): void {
  const record = routedRecord([endpoint], known);
  stats.routed(record, endpoint);
  stats.ended(record);
}

describe('createStatsReport()', () => {
  it('writes the block of vllm-router, with values where it has none', () => {
    const card = { parent: undefined, maxModelLen: undefined };
    const a = anEndpoint(1, {
      listedModels: new Map([
        ['llama', { id: 'llama', ...card }],
        ['tuned', { id: 'tuned', ...card, parent: 'llama' }],
      ]),
      metrics: someMetrics({ running: 3, waiting: 2 }),
    });
    const b = anEndpoint(2, { configuredModels: ['qwen\nServer: x'], metrics: someMetrics() });
    const c = anEndpoint(3);
    endpoints = [a, b, c];
    request(a, { ...completed(110, 11), ttftMs: 10 });
    clock.advance(570);
    request(a, { ...completed(100, 6), ttftMs: 0 });
    stats.routed(routedRecord([b]), b);
    const open = routedRecord([b]);
    stats.routed(open, b);
    stats.responded(open);
    aReport(1000).start();
    clock.advance(1000);
    expect(records().map(({ msg }) => msg)).toEqual([
      `
==================================================
Server: http://10.0.0.1:8000
Models:
  - llama
  - tuned (adapter for llama)
 Engine Stats: Running Requests: 3.0, Queued Requests: 2.0, GPU Cache Hit Rate: 0.25
 Request Stats: QPS: 0.20, Avg Latency: 0.10, Avg ITL: 0.0150, Prefill Requests: 0, Decoding Requests: 0, Swapped Requests: 0, Finished: 2, Uptime: 1.57 sec
--------------------------------------------------
Server: http://10.0.0.2:8000
Models:
  - qwen Server: x
 Engine Stats: Running Requests: 0.0, Queued Requests: 0.0, GPU Cache Hit Rate: 0.00
 Request Stats: QPS: 0.20, Avg Latency: -1.00, Avg ITL: -1, Prefill Requests: 1, Decoding Requests: 1, Swapped Requests: 0, Finished: 0, Uptime: 1.57 sec
--------------------------------------------------
Server: http://10.0.0.3:8000
Models: No model information available
 Engine Stats: No stats available
 Request Stats: No stats available
--------------------------------------------------
==================================================`,
    ]);
  });

  it('has the values in fields too, and leaves out what is not known', () => {
    endpoints = [
      anEndpoint(1, { configuredModels: ['m'], metrics: someMetrics({ running: 3 }) }),
      anEndpoint(2),
    ];
    request(endpoints[0]!, completed(100, 4));
    aReport(2000).start();
    clock.advance(2000);
    expect(records()[0]).toMatchObject({ level: 'info' });
    expect(records()[0]!['servers']).toEqual([
      {
        server: 'http://10.0.0.1:8000',
        models: ['m'],
        engine: { running: 3, prefixCacheHitRate: 0.25 },
        requests: {
          qps: 0.1,
          latencyMs: 100,
          itlMs: 25,
          decodingLength: 4,
          inPrefill: 0,
          inDecoding: 0,
          finished: 1,
          uptimeMs: 2000,
        },
      },
      { server: 'http://10.0.0.2:8000', models: [] },
    ]);
  });

  it('comes at every interval, from its start to its stop', () => {
    const report = aReport(1000);
    clock.advance(5000);
    expect(lines).toHaveLength(0);
    report.start();
    clock.advance(3000);
    expect(lines).toHaveLength(3);
    report.stop();
    clock.advance(3000);
    expect(lines).toHaveLength(3);
    expect(clock.pending).toBe(0);
  });

  it('never comes where the interval is 0', () => {
    aReport(0).start();
    expect(clock.pending).toBe(0);
  });

  it('update() begins another interval, and lets the same one go on', () => {
    const report = aReport(1000);
    report.start();
    clock.advance(900);
    report.update({ logIntervalMs: 1000 });
    clock.advance(100);
    expect(lines).toHaveLength(1);
    report.update({ logIntervalMs: 300 });
    clock.advance(600);
    expect(lines).toHaveLength(3);
    report.update({ logIntervalMs: 0 });
    expect(clock.pending).toBe(0);
    report.stop();
    report.update({ logIntervalMs: 50 });
    expect(clock.pending).toBe(0);
  });

  it('is silent where that level is, and goes on', () => {
    aReport(1000, 'warn').start();
    clock.advance(1000);
    expect(lines).toEqual([]);
    expect(clock.pending).toBe(1);
  });
});
