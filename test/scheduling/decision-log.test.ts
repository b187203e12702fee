import { describe, expect, it } from '@jest/globals';
import { createDecisionLog } from '../../src/scheduling/decision-log.ts';
import type { DecisionLog } from '../../src/scheduling/decision-log.ts';
import { anEndpoint, anOutcome } from '../support/endpoints.ts';

const names = { filters: ['least-request', 'lora-affinity'], scorers: [{ name: 'kv-cache', weight: 2 }] };
const [a, b, c] = [anEndpoint(0), anEndpoint(1), anEndpoint(2)];

/** Records that the second filter removed b and that c won over a. */
function record(log: DecisionLog, requestId: string): void {
  const trace = log.begin(requestId, 'm', 1_700_000_000_000);
  trace.begin(names, [a, b, c]);
  trace.removedBy.set([0, 2, 0]);
  trace.scores.set([0.25, 0.123456]);
  trace.totals.set([0.5, 0.246912]);
  log.decided({
    kind: 'chosen',
    requestId,
    model: 'm',
    ranked: [a, c],
    totals: [0.5, 0.246912],
    candidates: 3,
    kept: 2,
  });
}

describe('createDecisionLog()', () => {
  it('list() tells what every plugin said', () => {
    const log = createDecisionLog();
    record(log, 'r1');
    expect(log.list()).toEqual([
      {
        requestId: 'r1',
        model: 'm',
        at: '2023-11-14T22:13:20.000Z',
        ranked: [
          { endpoint: '10.0.0.0:8000', total: 0.5 },
          { endpoint: '10.0.0.2:8000', total: 0.2469 },
        ],
        refused: null,
        candidates: 3,
        filters: [
          { name: 'least-request', removed: [] },
          { name: 'lora-affinity', removed: ['10.0.0.1:8000'] },
        ],
        scorers: [
          { name: 'kv-cache', weight: 2, scores: { '10.0.0.0:8000': 0.25, '10.0.0.2:8000': 0.1235 } },
        ],
        totals: { '10.0.0.0:8000': 0.5, '10.0.0.2:8000': 0.2469 },
        outcome: null,
      },
    ]);
  });

  it('list() tells why nobody was left', () => {
    const log = createDecisionLog();
    const trace = log.begin('r1', 'm', 0);
    trace.begin(names, [a]);
    trace.removedBy[0] = 1;
    log.decided({ kind: 'none', filter: 'least-request', whenEmpty: 'saturated', candidates: 1 });
    expect(log.list()).toMatchObject([
      {
        ranked: [],
        refused: { filter: 'least-request', as: 'saturated' },
        filters: [
          { name: 'least-request', removed: ['10.0.0.0:8000'] },
          { name: 'lora-affinity', removed: [] },
        ],
        scorers: [],
        totals: {},
      },
    ]);
  });

  it('list() has the last decisions, newest first', () => {
    const log = createDecisionLog(3);
    for (const id of ['1', '2', '3', '4', '5']) record(log, id);
    expect(log.list().map(({ requestId }) => requestId)).toEqual(['5', '4', '3']);
    expect(log.list(2).map(({ requestId }) => requestId)).toEqual(['5', '4']);
  });

  it('list() leaves out a decision that did not come to an end', () => {
    const log = createDecisionLog();
    log.begin('r1', 'm', 0);
    expect(log.list()).toEqual([]);
  });

  it('settled() adds who served and how it ended', () => {
    const log = createDecisionLog(2);
    for (const id of ['1', '2', '3']) record(log, id);
    log.settled('2', anOutcome(c, { ttftMs: 12, outputTokens: 9 }));
    log.settled('1', anOutcome(a));
    expect(log.list().map(({ outcome }) => outcome)).toEqual([
      null,
      {
        servedBy: '10.0.0.2:8000',
        completed: true,
        durationMs: 100,
        ttftMs: 12,
        inputTokens: null,
        cachedInputTokens: null,
        outputTokens: 9,
      },
    ]);
  });

  it('settled() means the last decision of a request that had several', () => {
    const log = createDecisionLog(3);
    for (const id of ['1', '1', '2', '3']) record(log, id);
    log.settled('1', anOutcome(undefined));
    expect(log.list().map(({ requestId, outcome }) => [requestId, outcome?.servedBy])).toEqual([
      ['3', undefined],
      ['2', undefined],
      ['1', null],
    ]);
  });
});
