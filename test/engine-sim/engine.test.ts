import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { hashTokenBlocks } from '../../src/engine-sim/block-hash.ts';
import type { EngineEvent, EngineRequest } from '../../src/engine-sim/engine.ts';
import { Engine } from '../../src/engine-sim/engine.ts';
import type { EngineProfile } from '../../src/engine-sim/profile.ts';
import { smallProfile } from './support.ts';

function harness(overrides: Partial<EngineProfile> = {}) {
  const events: EngineEvent[] = [];
  const engine = new Engine(smallProfile(overrides), (event) => events.push(event));
  return { engine, events, story: () => events.map((event) => `${event.atMs} ${event.id} ${event.kind}`) };
}

/** A request whose tokens are `first`, `first + 1`, …: equal `first` means equal prefix. */
function request(
  id: string,
  promptTokens: number,
  outputTokens: number,
  first = Number(id) * 1000,
  adapter?: string,
): EngineRequest {
  const tokens = Array.from({ length: promptTokens + outputTokens }, (_, index) => first + index);
  return {
    id,
    promptTokens,
    outputTokens,
    finishReason: 'stop',
    blockHashes: hashTokenBlocks(tokens, 4, adapter),
    adapter,
  };
}

/** Runs until nothing is left to do. */
function drain(engine: Engine): void {
  for (let next = engine.nextEventMs(); next !== undefined; next = engine.nextEventMs()) engine.advance(next);
}

describe('Engine', () => {
  it('submit() and advance() run a request from its queue to its end', () => {
    const { engine, events } = harness();
    engine.advance(5);
    engine.submit(request('1', 6, 3));
    drain(engine);
    expect(events).toEqual([
      { kind: 'queued', id: '1', atMs: 5 },
      { kind: 'first-token', id: '1', atMs: 15, sinceQueuedMs: 10, cachedTokens: 0 },
      { kind: 'token', id: '1', atMs: 25, generated: 2, sinceLastMs: 10 },
      { kind: 'token', id: '1', atMs: 35, generated: 3, sinceLastMs: 10 },
      {
        kind: 'finished',
        id: '1',
        atMs: 35,
        reason: 'stop',
        usage: { promptTokens: 6, cachedTokens: 0, completionTokens: 3 },
        times: { queuedAtMs: 5, scheduledAtMs: 5, firstTokenAtMs: 15 },
      },
    ]);
  });

  it('advance() batches: a request that arrives during a step joins at the next one', () => {
    const { engine, story } = harness();
    engine.submit(request('1', 4, 3));
    engine.advance(3);
    engine.submit(request('2', 4, 1));
    drain(engine);
    expect(story()).toEqual([
      '0 1 queued',
      '3 2 queued',
      '10 1 first-token',
      '20 1 token',
      '20 2 first-token',
      '20 2 finished',
      '30 1 token',
      '30 1 finished',
    ]);
  });

  it('advance() cuts long prompts into chunks, and running sequences decode beside them', () => {
    const { engine, story } = harness({ maxNumBatchedTokens: 8 });
    engine.submit(request('1', 4, 4));
    engine.advance(0);
    engine.submit(request('2', 20, 1));
    drain(engine);
    // Each step has 8 tokens: 1 for the decode, 7 for the prompt; 20 tokens take three steps.
    expect(story().slice(2)).toEqual([
      '10 1 first-token',
      '20 1 token',
      '30 1 token',
      '40 1 token',
      '40 1 finished',
      '40 2 first-token',
      '40 2 finished',
    ]);
  });

  it('advance() admits in order of arrival, and no more than maxNumSeqs', () => {
    const { engine } = harness({ maxNumSeqs: 2 });
    for (const id of ['1', '2', '3']) engine.submit(request(id, 4, 2));
    engine.advance(0);
    expect(engine.stats()).toMatchObject({ running: 2, waiting: 1 });
    engine.advance(20);
    expect(engine.stats()).toMatchObject({ running: 1, waiting: 0 });
  });

  it('advance() makes a step longer with its batch, its context and its prompt tokens', () => {
    const { engine, story } = harness({
      stepPerSequenceMs: 1,
      stepPerContextTokenUs: 1000,
      prefillTokensPerSecond: 1000,
    });
    engine.submit(request('1', 40, 2));
    engine.submit(request('2', 8, 2));
    drain(engine);
    // 48 ms of prompt and 2 of sequences; then 10 ms of weights, 2 of sequences, 40 + 8 of context.
    expect(story().slice(2)).toEqual([
      '50 1 first-token',
      '50 2 first-token',
      '110 1 token',
      '110 1 finished',
      '110 2 token',
      '110 2 finished',
    ]);
  });

  it('advance() finds a shared prefix in the cache, but always computes the last token', () => {
    const { engine, events } = harness();
    engine.submit(request('1', 16, 1, 500));
    drain(engine);
    engine.submit(request('2', 16, 1, 500));
    engine.submit(request('3', 18, 1, 500));
    engine.submit(request('4', 16, 1, 600));
    drain(engine);
    const cached = events.flatMap((event) =>
      event.kind === 'finished' ? [[event.id, event.usage.cachedTokens]] : [],
    );
    expect(cached).toEqual([
      ['1', 0],
      ['2', 12],
      ['3', 16],
      ['4', 0],
    ]);
    expect(engine.stats().totals).toMatchObject({ prefixQueries: 66, prefixHits: 28 });
  });

  it('advance() shares blocks between requests of the same step', () => {
    const { engine } = harness();
    engine.submit(request('1', 16, 1, 500));
    engine.submit(request('2', 16, 1, 500));
    engine.advance(0);
    // Four blocks for the first; three shared and one of its own for the second.
    expect(engine.stats().usedBlocks).toBe(5);
  });

  it('advance() keeps the blocks of adapters apart', () => {
    const { engine, events } = harness();
    engine.submit(request('1', 16, 1, 500, 'a'));
    drain(engine);
    engine.submit(request('2', 16, 1, 500, 'b'));
    engine.submit(request('3', 16, 1, 500, 'a'));
    drain(engine);
    expect(events.flatMap((event) => (event.kind === 'finished' ? [event.usage.cachedTokens] : []))).toEqual([
      0, 0, 12,
    ]);
  });

  it('advance() finds the tokens it generated when they come back as a prompt', () => {
    const { engine, events } = harness();
    engine.submit(request('1', 8, 9, 500));
    drain(engine);
    engine.submit(request('2', 24, 1, 500));
    drain(engine);
    expect(events.at(-1)).toMatchObject({ usage: { cachedTokens: 16 } });
  });

  it('advance() evicts the prefix that was used longest ago', () => {
    const { engine, events } = harness({ kvBlocks: 12, maxModelLen: 48 });
    for (const [id, first] of [
      ['1', 100],
      ['2', 200],
      ['3', 100],
      ['4', 300],
    ] as const) {
      engine.submit(request(id, 16, 1, first));
      drain(engine);
    }
    engine.submit(request('5', 16, 1, 100));
    drain(engine);
    engine.submit(request('6', 16, 1, 400));
    drain(engine);
    engine.submit(request('7', 16, 1, 200));
    drain(engine);
    const cached = events.flatMap((event) => (event.kind === 'finished' ? [event.usage.cachedTokens] : []));
    // 1 is found by 3 and 5; 2 was pushed out by 4 and 6.
    expect(cached).toEqual([0, 0, 12, 0, 12, 0, 0]);
  });

  it('advance() preempts the last sequence when blocks run out, and finishes it later', () => {
    const { engine, events, story } = harness({ kvBlocks: 4, maxModelLen: 16 });
    engine.submit(request('1', 7, 6));
    engine.submit(request('2', 7, 6));
    engine.advance(20);
    expect(engine.stats()).toMatchObject({ running: 1, waiting: 1, totals: { preemptions: 1 } });
    drain(engine);
    expect(story().filter((line) => line.endsWith('finished'))).toEqual(['60 1 finished', '100 2 finished']);
    expect(events.filter((event) => event.kind === 'first-token')).toHaveLength(2);
    expect(engine.stats()).toMatchObject({
      usedBlocks: 0,
      totals: { generationTokens: 12, promptTokens: 14 },
    });
  });

  it('advance() lets an adapter beyond maxLoras wait without holding up the others', () => {
    const { engine } = harness({ maxLoras: 1 });
    engine.submit(request('1', 4, 2, 0, 'a'));
    engine.submit(request('2', 4, 2, 0, 'b'));
    engine.submit(request('3', 4, 2));
    engine.advance(0);
    expect(engine.stats()).toMatchObject({
      running: 2,
      waiting: 1,
      runningAdapters: ['a'],
      waitingAdapters: ['b'],
    });
  });

  it('abort() frees the blocks of a running request and forgets a waiting one', () => {
    const { engine, events } = harness({ maxNumSeqs: 1 });
    engine.submit(request('1', 8, 5));
    engine.submit(request('2', 8, 5));
    engine.advance(15);
    expect(engine.stats()).toMatchObject({ running: 1, waiting: 1, usedBlocks: 3 });
    engine.abort('1');
    engine.abort('2');
    engine.abort('2');
    expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, usedBlocks: 0 });
    drain(engine);
    expect(events.slice(-2)).toMatchObject([
      { kind: 'finished', id: '1', reason: 'abort', usage: { completionTokens: 1 } },
      {
        kind: 'finished',
        id: '2',
        reason: 'abort',
        usage: { completionTokens: 0 },
        times: { scheduledAtMs: undefined },
      },
    ]);
  });

  it('advance() ends a request without output when its prompt is computed', () => {
    const { engine, story } = harness();
    engine.submit(request('1', 8, 0));
    drain(engine);
    expect(story()).toEqual(['0 1 queued', '10 1 finished']);
  });

  it('setSlowdown() stretches the steps that start after it', () => {
    const { engine, story } = harness();
    engine.submit(request('1', 4, 3));
    engine.advance(0);
    engine.setSlowdown(5);
    drain(engine);
    expect(story().slice(1)).toEqual(['10 1 first-token', '60 1 token', '110 1 token', '110 1 finished']);
  });

  it('nextEventMs() is undefined while idle', () => {
    const { engine } = harness();
    expect(engine.nextEventMs()).toBeUndefined();
    engine.submit(request('1', 4, 1));
    drain(engine);
    expect(engine.nextEventMs()).toBeUndefined();
  });

  it.each([
    [request('1', 401, 0), 'Cannot submit "1": it needs 101 KV blocks, the engine has 100'],
    [request('1', 0, 1), 'Cannot submit "1": its prompt is empty'],
    [request('0', 4, 1), 'Cannot submit "0": the id is in use'],
  ])('submit() refuses what cannot run', (refused, message) => {
    const { engine } = harness();
    engine.submit(request('0', 4, 1));
    expect(() => engine.submit(refused)).toThrow(message);
  });

  it('conserves blocks and ends every request exactly once, whatever arrives, leaves and collides', () => {
    const action = fc.record({
      waitMs: fc.nat(40),
      prompt: fc.integer({ min: 1, max: 30 }),
      output: fc.nat(18),
      family: fc.nat(3),
      abort: fc.option(fc.nat(30)),
    });
    const profile = { kvBlocks: 14, maxModelLen: 48, maxNumSeqs: 3, maxNumBatchedTokens: 8, maxLoras: 1 };
    fc.assert(
      fc.property(fc.array(action, { maxLength: 30 }), (actions) => {
        const { engine, events } = harness(profile);
        let nowMs = 0;
        actions.forEach(({ waitMs, prompt, output, family, abort }, index) => {
          engine.advance((nowMs += waitMs));
          engine.submit(
            request(
              String(index),
              prompt,
              output,
              family * 1000,
              family > 1 ? `adapter-${family}` : undefined,
            ),
          );
          if (abort !== null) engine.abort(String(abort));
          const { usedBlocks, running } = engine.stats();
          expect(usedBlocks).toBeLessThanOrEqual(14);
          expect(running).toBeLessThanOrEqual(3);
        });
        drain(engine);
        const ended = events.filter((event) => event.kind === 'finished').map((event) => event.id);
        expect([...ended].sort()).toEqual(actions.map((_, index) => String(index)).sort());
        for (const event of events) {
          if (event.kind === 'finished' && event.reason !== 'abort') {
            expect(event.usage.completionTokens).toBe(actions[Number(event.id)]?.output);
            expect(event.usage.cachedTokens).toBeLessThan(event.usage.promptTokens);
          }
        }
        expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, usedBlocks: 0 });
        expect(engine.nextEventMs()).toBeUndefined();
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});
