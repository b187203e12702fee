import { beforeEach, describe, expect, it } from '@jest/globals';
import { Registry } from 'prom-client';
import { boundedLabel } from '../../src/observability/bounded-label.ts';
import {
  registerFairnessMetrics,
  type FairnessMetrics,
  type FairnessSources,
  type QueueFigures,
  type TokenFigures,
} from '../../src/observability/fairness-metrics.ts';

let registry: Registry;
let metrics: FairnessMetrics;

beforeEach(() => {
  registry = new Registry();
  metrics = registerFairnessMetrics({ registry, prefix: 'sluice_', modelLabel: boundedLabel(2) });
});

/** The samples of a family, without its name. */
async function samples(family: string): Promise<string[]> {
  const page = await registry.metrics();
  const name = `sluice_${family}`;
  return page
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .map((line) => line.slice(name.length).trim());
}

function sources(known: Partial<FairnessSources> = {}): FairnessSources {
  return {
    queues: () => [],
    ledger: { size: 0, evictions: 0, totals: () => [] },
    limits: { size: 0, evictions: 0 },
    redisUp: () => undefined,
    ...known,
  };
}

function queue(model: string, waiting: number, principals: number, running: number): QueueFigures {
  return { model, waiting, principals, running };
}

function tokens(
  inputTokens: number,
  cachedInputTokens: number,
  outputTokens: number,
  estimatedTokens: number,
): TokenFigures {
  return { inputTokens, cachedInputTokens, outputTokens, estimatedTokens };
}

describe('registerFairnessMetrics()', () => {
  it('shows no queue, no tokens and no Redis before it is told of any', async () => {
    for (const family of ['queue_requests', 'queue_left_total', 'ledger_tokens_total', 'redis_up'])
      expect(await samples(family)).toEqual([]);
    expect(await samples('ledger_entries')).toEqual(['0']);
    expect(await samples('limit_buckets')).toEqual(['0']);
  });

  it('reads the queues when it is asked, and drops the series of those that are gone', async () => {
    let queues = [queue('m', 5, 2, 3), queue('n', 0, 0, 1)];
    metrics.watchFairness(sources({ queues: () => queues }));
    expect(await samples('queue_requests')).toEqual(['{model="m"} 5', '{model="n"} 0']);
    expect(await samples('queue_principals')).toEqual(['{model="m"} 2', '{model="n"} 0']);
    expect(await samples('queue_running')).toEqual(['{model="m"} 3', '{model="n"} 1']);
    queues = [queue('m', 4, 1, 3)];
    expect(await samples('queue_requests')).toEqual(['{model="m"} 4']);
  });

  it('bounds the model label, and adds up the models beyond', async () => {
    metrics.watchFairness(
      sources({ queues: () => ['a', 'b', 'c', 'd'].map((model) => queue(model, 2, 1, 1)) }),
    );
    expect(await samples('queue_requests')).toEqual(['{model="a"} 2', '{model="b"} 2', '{model="other"} 4']);
    metrics.queue('d').left('full');
    expect(await samples('queue_left_total')).toEqual(['{model="other",reason="full"} 1']);
  });

  it('counts turns with their wait, and those who left without one', async () => {
    metrics.queue('m').released(0);
    metrics.queue('m').released(1.5);
    metrics.queue('m').left('timeout');
    metrics.queue('m').left('left');
    metrics.queue('m').left('left');
    metrics.queue('n').left('closed');
    expect(await samples('queue_wait_seconds_count')).toEqual(['{model="m"} 2']);
    expect(await samples('queue_wait_seconds_sum')).toEqual(['{model="m"} 1.5']);
    expect(await samples('queue_wait_seconds_bucket')).toEqual(
      expect.arrayContaining(['{le="0.005",model="m"} 1', '{le="1",model="m"} 1', '{le="2.5",model="m"} 2']),
    );
    expect(await samples('queue_left_total')).toEqual([
      '{model="m",reason="timeout"} 1',
      '{model="m",reason="left"} 2',
      '{model="n",reason="closed"} 1',
    ]);
  });

  it('reads the ledger when it is asked, and counts nothing twice', async () => {
    const totals = new Map([['m', tokens(100, 40, 20, 0)]]);
    metrics.watchFairness(sources({ ledger: { size: 7, evictions: 3, totals: () => totals } }));
    for (let time = 0; time < 2; time++) {
      expect(await samples('ledger_tokens_total')).toEqual([
        '{model="m",type="input"} 100',
        '{model="m",type="cached"} 40',
        '{model="m",type="output"} 20',
        '{model="m",type="estimated"} 0',
      ]);
      expect(await samples('ledger_entries')).toEqual(['7']);
      expect(await samples('ledger_evictions_total')).toEqual(['3']);
    }
    totals.set('m', tokens(110, 40, 25, 15));
    expect(await samples('ledger_tokens_total')).toContain('{model="m",type="estimated"} 15');
  });

  it('counts refusals by rule, and reads how many buckets there are', async () => {
    metrics.limitRefused('free');
    metrics.limitRefused('free');
    metrics.watchFairness(sources({ limits: { size: 4, evictions: 1 } }));
    expect(await samples('limit_refusals_total')).toEqual(['{limit="free"} 2']);
    expect(await samples('limit_buckets')).toEqual(['4']);
    expect(await samples('limit_bucket_evictions_total')).toEqual(['1']);
  });

  it('shows Redis where there is one', async () => {
    let up: boolean | undefined = true;
    metrics.watchFairness(sources({ redisUp: () => up }));
    expect(await samples('redis_up')).toEqual(['1']);
    up = false;
    expect(await samples('redis_up')).toEqual(['0']);
    up = undefined;
    expect(await samples('redis_up')).toEqual([]);
  });
});
